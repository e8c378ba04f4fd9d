//! Loops over the lanes of a warp, from which the families make their closures.

use super::vector::vectorised;
use crate::machine::registers::{LANES, Mask, Plane, Predicate, Registers, Word};
use crate::program::LaneBody;

/// `to = f(a)`, lane by lane.
#[inline(always)]
pub(crate) fn map1<A: Word, R: Word>(
    to: Plane,
    a: Plane,
    f: impl Fn(A) -> R + Send + Sync + 'static,
) -> LaneBody {
    vectorised(move |registers: &mut Registers, mask: Mask| {
        let a: [A; LANES] = registers.read(a);
        let mut out = [R::default(); LANES];
        for lane in 0..LANES {
            out[lane] = f(a[lane]);
        }
        registers.write(to, mask, &out);
    })
}

/// `to = f(a, b)`, lane by lane.
#[inline(always)]
pub(crate) fn map2<A: Word, B: Word, R: Word>(
    to: Plane,
    a: Plane,
    b: Plane,
    f: impl Fn(A, B) -> R + Send + Sync + 'static,
) -> LaneBody {
    vectorised(move |registers: &mut Registers, mask: Mask| {
        let (a, b): ([A; LANES], [B; LANES]) = (registers.read(a), registers.read(b));
        let mut out = [R::default(); LANES];
        for lane in 0..LANES {
            out[lane] = f(a[lane], b[lane]);
        }
        registers.write(to, mask, &out);
    })
}

/// `to = f(a, b, c)`, lane by lane.
#[inline(always)]
pub(crate) fn map3<A: Word, B: Word, C: Word, R: Word>(
    to: Plane,
    a: Plane,
    b: Plane,
    c: Plane,
    f: impl Fn(A, B, C) -> R + Send + Sync + 'static,
) -> LaneBody {
    vectorised(move |registers: &mut Registers, mask: Mask| {
        let (a, b): ([A; LANES], [B; LANES]) = (registers.read(a), registers.read(b));
        let c: [C; LANES] = registers.read(c);
        let mut out = [R::default(); LANES];
        for lane in 0..LANES {
            out[lane] = f(a[lane], b[lane], c[lane]);
        }
        registers.write(to, mask, &out);
    })
}

/// The lanes for which `f(a, b)` holds.
#[inline(always)]
pub(crate) fn test2<A: Word, B: Word>(
    registers: &Registers,
    a: Plane,
    b: Plane,
    f: impl Fn(A, B) -> bool,
) -> Mask {
    let (a, b): ([A; LANES], [B; LANES]) = (registers.read(a), registers.read(b));
    lane_bits(|lane| f(a[lane], b[lane]))
}

/// A bit for each lane for which `f` holds.
#[inline(always)]
pub(crate) fn lane_bits(f: impl Fn(usize) -> bool) -> Mask {
    // As bytes first, a loop that becomes vector code. The product then moves the low bits of eight
    // bytes next to each other in the top byte: bit 8i goes to bit 56 + i, and no two terms meet.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut flags = [0u8; LANES];
    for (lane, flag) in flags.iter_mut().enumerate() {
        *flag = u8::from(f(lane));
    }
    let mut out = 0;
    for (group, bytes) in flags.chunks_exact(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        let bits = u64::from_le_bytes(word).wrapping_mul(GATHER) >> 56;
        out |= (bits as Mask) << (8 * group);
    }
    out
}

/// A predicate's lanes, negated where the flag is set.
#[inline(always)]
pub(crate) fn signed_predicate(
    registers: &Registers,
    (predicate, negated): (Predicate, bool),
) -> Mask {
    let value = registers.predicate(predicate);
    if negated { !value } else { value }
}
