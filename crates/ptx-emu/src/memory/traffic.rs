//! What an access costs the memory system: 32-byte sectors of global memory, wavefronts of shared.

use crate::machine::registers::{LANES, Mask};

/// Bytes of a sector, the unit in which global memory moves.
pub(crate) const SECTOR: u64 = 32;
/// Banks of shared memory, 4 bytes wide.
const BANKS: usize = 32;

/// The end of a chain of words.
const NONE: u8 = u8::MAX;

/// Distinct sectors that the lanes of `mask` touch.
pub(crate) fn sectors(addresses: &[u64; LANES], mask: Mask, bytes: u32) -> u32 {
    let mut seen = [0u64; 2 * LANES];
    let mut count = 0usize;
    for lane in lanes(mask) {
        let first = addresses[lane] / SECTOR;
        // Addresses are not checked yet: any number may stand there.
        let last = addresses[lane].saturating_add(u64::from(bytes) - 1) / SECTOR;
        for sector in first..=last {
            // Neighbouring lanes mostly share or follow, so the newest is looked at first.
            if count < seen.len() && !seen[..count].iter().rev().any(|&other| other == sector) {
                seen[count] = sector;
                count += 1;
            }
        }
    }
    count as u32
}

/// Wavefronts that an access of shared memory takes, and the fewest that its size allows.
///
/// Lanes of 8 bytes go in halves of the warp and lanes of 16 bytes in quarters; within each, a bank
/// serves one word a wavefront.
pub(crate) fn wavefronts(offsets: &[u64; LANES], mask: Mask, bytes: u32) -> (u32, u32) {
    let group = match bytes {
        16 => 8,
        8 => 16,
        _ => 32,
    };
    let (mut taken, mut least) = (0, 0);
    for start in (0..LANES).step_by(group) {
        let part = mask >> start & (Mask::MAX >> (LANES - group));
        if part == 0 {
            continue;
        }
        least += 1;
        // Words of one window as wide as all banks never share a bank.
        let (low, high) = lanes(part).fold((u64::MAX, 0), |(low, high), lane| {
            let offset = offsets[start + lane];
            (low.min(offset / 4), high.max(offset.saturating_add(u64::from(bytes) - 1) / 4))
        });
        if high - low < BANKS as u64 {
            taken += 1;
            continue;
        }
        // The words of each bank as a chain, so that only words of the same bank are compared.
        let mut words = [0u64; LANES];
        let mut next = [NONE; LANES];
        let mut chain = [NONE; BANKS];
        let mut depth = [0u32; BANKS];
        let mut count = 0usize;
        for lane in lanes(part) {
            let offset = offsets[start + lane];
            let end = offset.saturating_add(u64::from(bytes) - 1);
            for word in offset / 4..end / 4 + 1 {
                let bank = word as usize % BANKS;
                let mut at = chain[bank];
                while at != NONE && words[usize::from(at)] != word {
                    at = next[usize::from(at)];
                }
                if at == NONE && count < LANES {
                    (words[count], next[count]) = (word, chain[bank]);
                    chain[bank] = count as u8;
                    depth[bank] += 1;
                    count += 1;
                }
            }
        }
        taken += depth.iter().max().copied().unwrap_or(0);
    }
    (taken, least)
}

/// The lanes of a mask in order.
pub(crate) fn lanes(mask: Mask) -> impl Iterator<Item = usize> {
    let mut left = mask;
    std::iter::from_fn(move || {
        (left != 0).then(|| {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            lane
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(stride: u64) -> [u64; LANES] {
        std::array::from_fn(|lane| lane as u64 * stride)
    }

    #[test]
    fn sectors_of_common_patterns() {
        assert_eq!(sectors(&every(4), u32::MAX, 4), 4);
        assert_eq!(sectors(&every(16), u32::MAX, 16), 16);
        assert_eq!(sectors(&every(32), u32::MAX, 4), 32);
        assert_eq!(sectors(&every(0), u32::MAX, 4), 1);
        assert_eq!(sectors(&every(4).map(|at| at + 4), u32::MAX, 4), 5);
    }

    #[test]
    fn wavefronts_of_common_patterns() {
        assert_eq!(wavefronts(&every(4), u32::MAX, 4), (1, 1));
        assert_eq!(wavefronts(&every(8), u32::MAX, 4), (2, 1));
        assert_eq!(wavefronts(&every(128), u32::MAX, 4), (32, 1));
        assert_eq!(wavefronts(&every(0), u32::MAX, 4), (1, 1));
        assert_eq!(wavefronts(&every(16), u32::MAX, 16), (4, 4));
        assert_eq!(wavefronts(&every(8), u32::MAX, 8), (2, 2));
        assert_eq!(wavefronts(&every(132), u32::MAX, 4), (1, 1));
    }
}
