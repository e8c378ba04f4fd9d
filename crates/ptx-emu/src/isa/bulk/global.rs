//! Global memory as bulk copies reach it: any number of bytes inside one allocation.

use crate::fault::{FaultKind, Trouble};
use crate::machine::access::Access;
use crate::machine::bytes::steps;
use crate::memory::allocation::Allocation;
use crate::memory::global_race::Touch;

/// Checks bytes that a copy reads or writes, and tells the race detector of them.
pub(super) fn check<'a>(
    access: &Access<'a>,
    does: &str,
    address: u64,
    bytes: u32,
    lane: usize,
    touch: Touch,
) -> Result<(&'a Allocation, u64), Trouble> {
    let view = &access.device.view;
    let found = view.index(address).and_then(|index| view.get(index));
    let found = found.filter(|found| address - found.base + u64::from(bytes) <= found.size);
    let Some(allocation) = found else {
        let (kind, detail) = view.explain(does, address, bytes.into());
        return Err(Trouble::at(kind, lane as u32, detail));
    };
    if allocation.read_only && !matches!(touch, Touch::Read { .. }) {
        let detail = format!("{does} to constant memory at {address:#x}, which is read-only");
        return Err(Trouble::at(FaultKind::OutOfBounds, lane as u32, detail));
    }
    let offset = address - allocation.base;
    if access.device.options.races && !allocation.read_only {
        let mut word = offset & !3;
        while word < offset + u64::from(bytes) {
            access.watch_global(allocation, word, 4, lane, touch)?;
            word += 4;
        }
    }
    Ok((allocation, offset))
}

/// Reads bytes that a copy asks for, all of which must have been written.
pub(super) fn read(
    access: &Access<'_>,
    address: u64,
    to: &mut [u8],
    lane: usize,
) -> Result<(), Trouble> {
    let does = "bulk copy from global memory";
    let touch = Touch::Read { strong: false };
    let (allocation, offset) = check(access, does, address, to.len() as u32, lane, touch)?;
    for (at, part) in steps(offset, to.len()) {
        if !allocation.is_written(offset + at as u64, part as u32) {
            let detail = format!(
                "{does} at {:#x}, offset {} of {} bytes: never written",
                address + at as u64,
                offset + at as u64,
                allocation.size
            );
            return Err(Trouble::at(FaultKind::Uninitialised, lane as u32, detail));
        }
        let value = allocation.load(offset + at as u64, part as u32).to_le_bytes();
        to[at..at + part].copy_from_slice(&value[..part]);
    }
    Ok(())
}

/// Sectors of 32 bytes that a run of bytes touches.
pub(super) fn sectors(address: u64, bytes: u32) -> u64 {
    match bytes {
        0 => 0,
        _ => (address + u64::from(bytes) - 1) / 32 - address / 32 + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_count_both_ends() {
        assert_eq!(sectors(0, 32), 1);
        assert_eq!(sectors(16, 32), 2);
        assert_eq!(sectors(31, 2), 2);
        assert_eq!(sectors(5, 0), 0);
    }
}
