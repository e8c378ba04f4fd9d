//! Host memory that a context knows: allocated, registered, or managed.
//!
//! The interpreter keeps device memory in a form of its own, so a kernel cannot reach the host's
//! bytes. Where a range has an address on the device, the bytes that the host has changed are copied
//! there before work runs, and those that the work has changed are copied back after it. Other bytes
//! stay as they are, so that work of one thread leaves alone what another writes meanwhile. A kernel
//! that runs does not see it: programs see a device without concurrent managed access.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ptx_emu::Gpu;

use crate::error::{Error, Result, code};

/// Alignment of what is allocated, a page's.
const ALIGN: usize = 4096;

/// Who gives the memory back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The context, to the allocator.
    Heap(Layout),
    /// The context, to the operating system: managed memory, at the device's own address.
    Pages { start: u64, bytes: usize },
    /// The caller, who registered it.
    Caller,
}

/// A range of host memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) host: u64,
    pub(crate) bytes: usize,
    pub(crate) owner: Owner,
    /// Its address on the device, once it has one.
    pub(crate) device: Option<u64>,
    pub(crate) flags: u32,
}

/// A range, and its bytes when host and device last agreed; empty without an address on the device.
#[derive(Debug)]
struct Held {
    block: Block,
    agreed: Vec<u8>,
}

impl Held {
    fn new(block: Block) -> Held {
        Held { block, agreed: Vec::new() }
    }

    /// Gives the range an address on the device, with the host's bytes there.
    fn map(&mut self, gpu: &Gpu, device: u64) -> Result {
        self.block.device = Some(device);
        self.agreed = self.block.read();
        gpu.write(device, &self.agreed).map_err(|fault| Error::memory(&fault))
    }
}

impl Block {
    /// A copy of its bytes.
    fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes];
        // SAFETY: the range is allocated or registered, hence alive, until it is removed.
        unsafe {
            std::ptr::copy_nonoverlapping(self.host as *const u8, bytes.as_mut_ptr(), self.bytes);
        }
        bytes
    }

    /// Changes some of its bytes.
    fn write(&self, from: usize, bytes: &[u8]) {
        debug_assert!(from + bytes.len() <= self.bytes);
        let to = (self.host as usize + from) as *mut u8;
        // SAFETY: as in `read`; the place is inside the range.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

/// All ranges of a context, by their address on the host.
#[derive(Debug, Default)]
pub(crate) struct HostMemory {
    blocks: Mutex<BTreeMap<u64, Held>>,
}

impl HostMemory {
    fn blocks(&self) -> MutexGuard<'_, BTreeMap<u64, Held>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates zeroed memory.
    pub(crate) fn alloc(&self, bytes: usize, flags: u32) -> Result<u64> {
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| code::OUT_OF_MEMORY)?;
        if bytes == 0 {
            return Err(code::INVALID_VALUE.into());
        }
        // SAFETY: the layout is not empty.
        let host = unsafe { alloc_zeroed(layout) } as u64;
        if host == 0 {
            return Err(code::OUT_OF_MEMORY.into());
        }
        let block = Block { host, bytes, owner: Owner::Heap(layout), device: None, flags };
        self.blocks().insert(host, Held::new(block));
        Ok(host)
    }

    /// Notes memory of the caller's.
    pub(crate) fn register(&self, host: u64, bytes: usize, flags: u32) -> Result {
        let end = host.checked_add(bytes as u64).ok_or(code::INVALID_VALUE)?;
        let mut blocks = self.blocks();
        let before = blocks.range(..end).next_back();
        if before.is_some_and(|(_, held)| held.block.host + held.block.bytes as u64 > host) {
            return Err(code::HOST_MEMORY_ALREADY_REGISTERED.into());
        }
        let block = Block { host, bytes, owner: Owner::Caller, device: None, flags };
        blocks.insert(host, Held::new(block));
        Ok(())
    }

    /// Allocates memory that host and device reach at the same address.
    pub(crate) fn alloc_managed(&self, gpu: &Gpu, bytes: usize, flags: u32) -> Result<u64> {
        let device = gpu.alloc(bytes).map_err(|fault| Error::with(code::OUT_OF_MEMORY, fault))?;
        // Device allocations lie more than a page apart, so their pages do not meet.
        let start = device / ALIGN as u64 * ALIGN as u64;
        let length = (device - start) as usize + bytes;
        if let Err(error) = pages::map(start, length) {
            // The address was given a moment ago, so that it can be freed.
            let _ = gpu.free(device);
            return Err(error);
        }
        let owner = Owner::Pages { start, bytes: length };
        let mut held = Held::new(Block { host: device, bytes, owner, device: None, flags });
        let mapped = held.map(gpu, device);
        self.blocks().insert(device, held);
        mapped.map(|()| device)
    }

    /// The range that holds `address`.
    pub(crate) fn find(&self, address: u64) -> Option<Block> {
        let blocks = self.blocks();
        let block = blocks.range(..=address).next_back()?.1.block;
        (address < block.host + block.bytes as u64).then_some(block)
    }

    /// The range whose address on the device begins there.
    pub(crate) fn mapped_at(&self, device: u64) -> Option<Block> {
        let blocks = self.blocks();
        blocks.values().map(|held| held.block).find(|block| block.device == Some(device))
    }

    /// The address on the device of the range that holds `host`; it gets one if it has none.
    pub(crate) fn device_address(&self, gpu: &Gpu, host: u64) -> Result<u64> {
        let found = self.find(host).ok_or(code::INVALID_VALUE)?;
        let mut blocks = self.blocks();
        let held = blocks.get_mut(&found.host).ok_or(code::INVALID_VALUE)?;
        if let Some(device) = held.block.device {
            return Ok(device + (host - found.host));
        }
        let device =
            gpu.alloc(found.bytes).map_err(|fault| Error::with(code::OUT_OF_MEMORY, fault))?;
        held.map(gpu, device)?;
        Ok(device + (host - found.host))
    }

    /// Forgets the range that begins at `host`, if `wanted` says so, and gives its memory back.
    pub(crate) fn remove(
        &self,
        gpu: &Gpu,
        host: u64,
        wanted: impl FnOnce(&Block) -> bool,
    ) -> Result {
        let mut blocks = self.blocks();
        let found = blocks.get(&host).map(|held| held.block).filter(wanted);
        let block = found.ok_or(code::INVALID_VALUE)?;
        blocks.remove(&host);
        if let Some(device) = block.device {
            gpu.free(device).map_err(|fault| Error::memory(&fault))?;
        }
        give_back(&block);
        Ok(())
    }

    /// Copies to the device what the host has changed.
    pub(crate) fn push(&self, gpu: &Gpu) -> Result {
        for held in self.blocks().values_mut() {
            let Some(device) = held.block.device else { continue };
            let now = held.block.read();
            for run in changes(&held.agreed, &now) {
                gpu.write(device + run.start as u64, &now[run])
                    .map_err(|fault| Error::memory(&fault))?;
            }
            held.agreed = now;
        }
        Ok(())
    }

    /// Copies to the host what the device has changed.
    pub(crate) fn pull(&self, gpu: &Gpu) -> Result {
        for held in self.blocks().values_mut() {
            let Some(device) = held.block.device else { continue };
            let mut now = vec![0; held.block.bytes];
            gpu.read(device, &mut now).map_err(|fault| Error::memory(&fault))?;
            for run in changes(&held.agreed, &now) {
                held.block.write(run.start, &now[run]);
            }
            held.agreed = now;
        }
        Ok(())
    }
}

/// Where two texts of the same length differ, as runs of bytes.
fn changes(old: &[u8], new: &[u8]) -> Vec<Range<usize>> {
    /// Most ranges are the same as before; this many bytes are passed over at a time.
    const STRIDE: usize = 4096;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (part, (old, new)) in old.chunks(STRIDE).zip(new.chunks(STRIDE)).enumerate() {
        if old == new {
            continue;
        }
        for at in (0..new.len()).filter(|&at| old[at] != new[at]) {
            let at = part * STRIDE + at;
            match runs.last_mut().filter(|run| run.end == at) {
                Some(run) => run.end += 1,
                None => runs.push(at..at + 1),
            }
        }
    }
    runs
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        let blocks = self.blocks.get_mut().unwrap_or_else(PoisonError::into_inner);
        blocks.values().for_each(|held| give_back(&held.block));
    }
}

fn give_back(block: &Block) {
    match block.owner {
        // SAFETY: allocated with this layout, and removed from the list by the caller.
        Owner::Heap(layout) => unsafe { dealloc(block.host as *mut u8, layout) },
        Owner::Pages { start, bytes } => pages::unmap(start, bytes),
        Owner::Caller => {}
    }
}

/// Memory at an address of our choice.
#[cfg(target_os = "linux")]
mod pages {
    use std::ffi::{c_int, c_void};

    use crate::error::{Error, Result, code};

    const READ_WRITE: c_int = 1 | 2;
    const PRIVATE: c_int = 2;
    const ANONYMOUS: c_int = 0x20;
    const FIXED_NOREPLACE: c_int = 0x10_0000;

    unsafe extern "C" {
        fn mmap(
            at: u64,
            bytes: usize,
            prot: c_int,
            flags: c_int,
            file: c_int,
            from: i64,
        ) -> *mut c_void;
        fn munmap(at: *mut c_void, bytes: usize) -> c_int;
    }

    /// Maps zeroed pages at `start`, unless something is there.
    pub(super) fn map(start: u64, bytes: usize) -> Result {
        let flags = PRIVATE | ANONYMOUS | FIXED_NOREPLACE;
        // SAFETY: the flags make a new mapping and never replace one.
        let got = unsafe { mmap(start, bytes, READ_WRITE, flags, -1, 0) };
        if got as u64 == start {
            return Ok(());
        }
        if got as i64 != -1 {
            // Kernels before 4.17 take the address as a hint.
            unmap(got as u64, bytes);
        }
        let story = format!("managed memory: the host uses the addresses from {start:#x} on");
        Err(Error::with(code::OUT_OF_MEMORY, story))
    }

    /// Takes pages of [`map`] away.
    pub(super) fn unmap(start: u64, bytes: usize) {
        // SAFETY: mapped by `map`, and no longer in any list.
        let _ = unsafe { munmap(start as *mut c_void, bytes) };
    }
}

/// Memory at an address of our choice: on this system there is none.
#[cfg(not(target_os = "linux"))]
mod pages {
    use crate::error::{Result, code};

    pub(super) fn map(_start: u64, _bytes: usize) -> Result {
        Err(code::NOT_SUPPORTED.into())
    }

    pub(super) fn unmap(_start: u64, _bytes: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_runs() {
        assert_eq!(changes(b"abcdef", b"abcdef"), []);
        assert_eq!(changes(b"abcdef", b"xbcDEf"), [0..1, 3..5]);
        let (old, mut new) = (vec![0; 10_000], vec![0; 10_000]);
        new[4095..4097].fill(1);
        new[9_999] = 1;
        assert_eq!(changes(&old, &new), [4095..4097, 9_999..10_000]);
    }

    #[test]
    fn what_one_side_left_alone_keeps_the_other_sides_bytes() {
        let (gpu, memory) = (Gpu::default(), HostMemory::default());
        let host = memory.alloc(4, 0).unwrap();
        let device = memory.device_address(&gpu, host).unwrap();
        let block = memory.find(host).unwrap();
        block.write(0, &[1, 2]);
        memory.push(&gpu).unwrap();
        let mut seen = [9; 4];
        gpu.read(device, &mut seen).unwrap();
        assert_eq!(seen, [1, 2, 0, 0]);
        // Work changes the first byte; the host changes the last before it ends.
        gpu.write(device, &[7]).unwrap();
        block.write(3, &[8]);
        memory.pull(&gpu).unwrap();
        assert_eq!(block.read(), [7, 2, 0, 8]);
        memory.push(&gpu).unwrap();
        gpu.read(device, &mut seen).unwrap();
        assert_eq!(seen, [7, 2, 0, 8]);
        memory.remove(&gpu, host, |_| true).unwrap();
        assert!(memory.find(host).is_none());
    }
}
