//! How far an approximate result is from the exact one.

use super::super::float::round::{Format, Rounding};
use super::functions::{Answer, Bound};
use crate::options::Approx;
use crate::random::mix;

/// The bits of an approximate result.
///
/// [`Approx::Nearest`] rounds the exact result. [`Approx::Worst`] takes the number farthest from it
/// that lies within the bound, above or below as a hash of the operands (`seed`) has it: the same
/// operands always give the same result, as on the hardware.
#[inline]
pub(super) fn settle(format: Format, ftz: bool, approx: Approx, seed: u64, answer: Answer) -> u64 {
    let flush = |bits: u64| if ftz { format.flush(bits) } else { bits };
    let Answer { exact, bound } = answer;
    let nearest = format.round(exact, Rounding::Nearest);
    let bound = match (approx, bound) {
        (Approx::Nearest, _) | (_, Bound::None) => return flush(nearest),
        (_, Bound::Relative(bound)) => bound * exact.abs(),
        (_, Bound::Absolute(bound)) => bound,
        (_, Bound::Ulps(count)) => count * format.ulp(exact),
    };
    // Overflow, underflow and NaN are what they are.
    let size = format.widen(flush(nearest));
    if exact != 0.0 && (size == 0.0 || !size.is_finite()) {
        return flush(nearest);
    }
    // Rounding back towards the exact result stays within the bound.
    let above = mix(seed) & 1 == 1;
    let (off, back) = match above {
        true => (exact + bound, Rounding::Down),
        false => (exact - bound, Rounding::Up),
    };
    let worst = format.round(off, back);
    let value = format.widen(worst);
    let beyond = if above { value < exact } else { value > exact };
    // Where no number lies between the exact result and the bound, the nearest is all there is;
    // and a result that is not flushed stays so.
    if beyond || (ftz && format.is_subnormal(worst)) { flush(nearest) } else { worst }
}
