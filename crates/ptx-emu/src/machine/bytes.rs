//! Runs of bytes in global memory, as bulk copies read and write them.

use super::device::Device;
use super::reduce::Reduce;

/// Writes bytes at a place that was checked when the copy was issued.
pub(crate) fn write(device: &Device, address: u64, from: &[u8], reduce: Option<&Reduce>) {
    let Some(allocation) = device.view.find(address) else { return };
    let offset = address - allocation.base;
    let word = |at: usize, part: usize| {
        let mut raw = [0; 8];
        raw[..part].copy_from_slice(&from[at..at + part]);
        u64::from_le_bytes(raw)
    };
    match reduce {
        Some(reduce) => {
            let each = reduce.element_bytes();
            for at in (0..from.len()).step_by(each) {
                let new = word(at, each);
                allocation
                    .update(offset + at as u64, each as u32, |old| Some(reduce.element(old, new)));
            }
        }
        None => {
            for (at, part) in steps(offset, from.len()) {
                allocation.store(offset + at as u64, part as u32, word(at, part));
            }
        }
    }
}

/// Cuts `count` bytes from `offset` on into aligned parts of 1 to 8 bytes: start and size of each.
pub(crate) fn steps(offset: u64, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let left = count - at;
        if left == 0 {
            return None;
        }
        let aligned = 1 << (offset + at as u64).trailing_zeros().min(3);
        let part = aligned.min(1 << left.ilog2().min(3));
        at += part;
        Some((at - part, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_aligned_and_cover_all() {
        for offset in 0..17 {
            for count in 0..33 {
                let mut next = 0;
                for (at, part) in steps(offset, count) {
                    assert_eq!(at, next);
                    assert!((offset + at as u64).is_multiple_of(part as u64));
                    next += part;
                }
                assert_eq!(next, count);
            }
        }
    }
}
