//! One piece of device memory, shared by the threads that run CTAs.
//!
//! Bytes are reached through relaxed atomics of the access's own width, which cost what plain loads
//! and stores cost; a race of the simulated program is then never one of this program.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::global_race::Shadow;

/// Device memory from `base` on.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) base: u64,
    pub(crate) size: u64,
    /// What a message calls it: a variable's name, or nothing for plain allocations.
    pub(crate) name: Option<String>,
    pub(crate) read_only: bool,
    words: Box<[AtomicU64]>,
    /// A bit a byte: written or not.
    written: Box<[AtomicU8]>,
    shadow: OnceLock<Box<[Shadow]>>,
}

impl Allocation {
    pub(crate) fn new(base: u64, size: u64, name: Option<String>, read_only: bool) -> Allocation {
        let words = size.div_ceil(8) as usize;
        Allocation {
            base,
            size,
            name,
            read_only,
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            written: (0..words).map(|_| AtomicU8::new(0)).collect(),
            shadow: OnceLock::new(),
        }
    }

    /// The record of who touched the 4-byte word at `offset`.
    pub(crate) fn shadow(&self, offset: u64) -> &Shadow {
        let words = self.shadow.get_or_init(|| {
            (0..self.size.div_ceil(4) as usize).map(|_| Shadow::default()).collect()
        });
        &words[(offset / 4) as usize]
    }

    /// Forgets who touched what.
    pub(crate) fn clear_shadow(&self) {
        self.shadow.get().into_iter().flatten().for_each(Shadow::clear);
    }

    fn byte(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset < self.size.next_multiple_of(8));
        // SAFETY: `offset` is inside the words; callers check it against `size` first.
        unsafe { self.words.as_ptr().cast::<u8>().cast_mut().add(offset as usize) }
    }

    /// Loads 1, 2, 4 or 8 bytes at an `offset` that is inside and a multiple of `bytes`.
    #[inline(always)]
    pub(crate) fn load(&self, offset: u64, bytes: u32) -> u64 {
        debug_assert!(
            offset.is_multiple_of(u64::from(bytes)) && offset + u64::from(bytes) <= self.size
        );
        let at = self.byte(offset);
        // SAFETY: aligned, inside, and only ever reached through atomics.
        unsafe {
            match bytes {
                1 => u64::from(AtomicU8::from_ptr(at).load(Relaxed)),
                2 => u64::from(AtomicU16::from_ptr(at.cast()).load(Relaxed)),
                4 => u64::from(AtomicU32::from_ptr(at.cast()).load(Relaxed)),
                _ => AtomicU64::from_ptr(at.cast()).load(Relaxed),
            }
        }
    }

    /// Stores 1, 2, 4 or 8 bytes, as [`Allocation::load`] loads them.
    #[inline(always)]
    pub(crate) fn store(&self, offset: u64, bytes: u32, value: u64) {
        debug_assert!(
            offset.is_multiple_of(u64::from(bytes)) && offset + u64::from(bytes) <= self.size
        );
        let at = self.byte(offset);
        // SAFETY: as in `load`.
        unsafe {
            match bytes {
                1 => AtomicU8::from_ptr(at).store(value as u8, Relaxed),
                2 => AtomicU16::from_ptr(at.cast()).store(value as u16, Relaxed),
                4 => AtomicU32::from_ptr(at.cast()).store(value as u32, Relaxed),
                _ => AtomicU64::from_ptr(at.cast()).store(value, Relaxed),
            }
        }
        self.mark_written(offset, bytes);
    }

    /// Replaces 2, 4 or 8 bytes by what `change` makes of them, in one step; gives the old value.
    pub(crate) fn update(
        &self,
        offset: u64,
        bytes: u32,
        mut change: impl FnMut(u64) -> Option<u64>,
    ) -> u64 {
        // The word around them is what is exchanged, so that any width is one step.
        let word = &self.words[(offset / 8) as usize];
        let shift = (offset % 8) * 8;
        let field = if bytes == 8 { u64::MAX } else { ((1u64 << (bytes * 8)) - 1) << shift };
        let mut old = word.load(Relaxed);
        loop {
            let value = (old & field) >> shift;
            let Some(new) = change(value) else { return value };
            let next = (old & !field) | ((new << shift) & field);
            match word.compare_exchange_weak(old, next, Relaxed, Relaxed) {
                Ok(_) => {
                    self.mark_written(offset, bytes);
                    return value;
                }
                Err(now) => old = now,
            }
        }
    }

    /// Whether all of these bytes, inside one word of eight, were written.
    #[inline(always)]
    pub(crate) fn is_written(&self, offset: u64, bytes: u32) -> bool {
        let mask = byte_mask(offset, bytes);
        self.written[(offset / 8) as usize].load(Relaxed) & mask == mask
    }

    #[inline(always)]
    fn mark_written(&self, offset: u64, bytes: u32) {
        let mask = byte_mask(offset, bytes);
        let flags = &self.written[(offset / 8) as usize];
        if flags.load(Relaxed) & mask != mask {
            flags.fetch_or(mask, Relaxed);
        }
    }

    /// Copies in from the host, whole words where they fit.
    pub(crate) fn write_bytes(&self, offset: u64, bytes: &[u8]) {
        let head = bytes.len().min((offset.next_multiple_of(8) - offset) as usize);
        let (head, rest) = bytes.split_at(head);
        let (words, tail) = rest.as_chunks::<8>();
        let mut at = offset;
        for &byte in head {
            self.store(at, 1, u64::from(byte));
            at += 1;
        }
        for word in words {
            self.store(at, 8, u64::from_le_bytes(*word));
            at += 8;
        }
        for &byte in tail {
            self.store(at, 1, u64::from(byte));
            at += 1;
        }
    }

    /// Copies out to the host, written or not.
    pub(crate) fn read_bytes(&self, offset: u64, bytes: &mut [u8]) {
        let head = bytes.len().min((offset.next_multiple_of(8) - offset) as usize);
        let (head, rest) = bytes.split_at_mut(head);
        let (words, tail) = rest.as_chunks_mut::<8>();
        let mut at = offset;
        for byte in head {
            *byte = self.load(at, 1) as u8;
            at += 1;
        }
        for word in words {
            *word = self.load(at, 8).to_le_bytes();
            at += 8;
        }
        for byte in tail {
            *byte = self.load(at, 1) as u8;
            at += 1;
        }
    }

    /// Copies from another allocation, with its marks of what was written.
    pub(crate) fn copy_from(&self, offset: u64, from: &Allocation, at: u64, bytes: u64) {
        for step in 0..bytes {
            let value = from.load(at + step, 1);
            if from.is_written(at + step, 1) {
                self.store(offset + step, 1, value);
            }
        }
    }
}

/// The bits of `written` for bytes inside one word of eight.
#[inline(always)]
fn byte_mask(offset: u64, bytes: u32) -> u8 {
    (((1u32 << bytes) - 1) << (offset % 8)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_marks_its_own_bytes_alone() {
        let memory = Allocation::new(0, 16, None, false);
        memory.store(10, 2, 0xbeef);
        assert!(memory.is_written(10, 2));
        assert!(!memory.is_written(8, 4));
        assert_eq!(memory.load(8, 4), 0xbeef_0000);
    }

    #[test]
    fn copies_of_any_place_and_length_come_back() {
        let memory = Allocation::new(0, 64, None, false);
        for (offset, length) in [(0, 0), (0, 8), (3, 2), (3, 5), (5, 30), (8, 17), (1, 63)] {
            let bytes: Vec<u8> = (0..length).map(|k| (k * 7 + offset) as u8).collect();
            memory.write_bytes(offset, &bytes);
            let mut back = vec![0; bytes.len()];
            memory.read_bytes(offset, &mut back);
            assert_eq!(back, bytes);
        }
    }

    #[test]
    fn an_update_leaves_its_neighbours() {
        let memory = Allocation::new(0, 8, None, false);
        memory.store(0, 8, 0x1111_2222_3333_4444);
        assert_eq!(memory.update(4, 4, |old| Some(old + 1)), 0x1111_2222);
        assert_eq!(memory.load(0, 8), 0x1111_2223_3333_4444);
        assert_eq!(memory.update(2, 2, |_| None), 0x3333);
    }
}
