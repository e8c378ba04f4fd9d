//! Where the state spaces lie among the generic addresses.
//!
//! A generic address tells its space by its upper bits. Shared and local addresses of their own
//! space are plain offsets; `cvta` adds and takes the window's base. An address of shared memory in
//! another CTA of the cluster carries that CTA's rank plus one above bit 24, so that zero there
//! means one's own.

use crate::syntax::ast::Space;

const WINDOW_SHIFT: u32 = 40;
const SHARED_WINDOW: u64 = 1;
const LOCAL_WINDOW: u64 = 2;
const PARAM_WINDOW: u64 = 3;
/// The first address that an allocation may have.
pub(crate) const GLOBAL_START: u64 = 0x7f << WINDOW_SHIFT;
/// Bits of an offset in shared memory, below the rank of a CTA.
pub(crate) const RANK_SHIFT: u32 = 24;

/// The generic address of an address in `space`.
pub(crate) fn to_generic(space: Space, address: u64) -> u64 {
    match space {
        Space::Shared => (SHARED_WINDOW << WINDOW_SHIFT) | (address & 0xffff_ffff),
        Space::Local => (LOCAL_WINDOW << WINDOW_SHIFT) | (address & 0xffff_ffff),
        Space::Param => (PARAM_WINDOW << WINDOW_SHIFT) | (address & 0xffff_ffff),
        _ => address,
    }
}

/// The space of a generic address, and the address in it.
pub(crate) fn from_generic(address: u64) -> (Space, u64) {
    let inside = address & ((1 << WINDOW_SHIFT) - 1);
    match address >> WINDOW_SHIFT {
        SHARED_WINDOW => (Space::Shared, inside),
        LOCAL_WINDOW => (Space::Local, inside),
        PARAM_WINDOW => (Space::Param, inside),
        _ => (Space::Global, address),
    }
}

/// The CTA of the cluster that a shared address names, and the offset in its memory.
pub(crate) fn rank_and_offset(address: u64, own: usize) -> (usize, u64) {
    let address = address & 0xffff_ffff;
    let rank = (address >> RANK_SHIFT) as usize;
    let offset = address & ((1 << RANK_SHIFT) - 1);
    (if rank == 0 { own } else { rank - 1 }, offset)
}

/// The address by which every CTA of a cluster reaches `offset` in the memory of `rank`.
pub(crate) fn in_cluster(rank: u32, offset: u64) -> u64 {
    ((u64::from(rank) + 1) << RANK_SHIFT) | (offset & ((1 << RANK_SHIFT) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_addresses_return_to_their_space() {
        for space in [Space::Shared, Space::Local, Space::Param] {
            assert_eq!(from_generic(to_generic(space, 0x1234)), (space, 0x1234));
        }
        assert_eq!(from_generic(GLOBAL_START + 8), (Space::Global, GLOBAL_START + 8));
    }

    #[test]
    fn a_cluster_address_names_its_owner() {
        assert_eq!(rank_and_offset(in_cluster(3, 0x40), 1), (3, 0x40));
        assert_eq!(rank_and_offset(0x40, 1), (1, 0x40));
    }
}
