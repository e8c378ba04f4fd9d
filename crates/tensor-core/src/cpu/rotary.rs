//! Rotary position embedding: rotates pairs of features by angles that grow with the position.

use cpu_math::parallel::{CHUNK, for_each_chunk};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// Extents of `x: (B, T, H, D)` and its tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RotaryShape {
    /// Rows of the tables: `T` when all items share them, else `B T`.
    pub(crate) n_angles: usize,
    pub(crate) heads: usize,
    /// Even.
    pub(crate) head_dim: usize,
}

/// `x` with features `d` and `d + D/2` of every head rotated by the angle of its position.
///
/// `cos` and `sin` are `(n_angles, D/2)`. With `inverse` the angle is negated, which is both the inverse
/// and the transpose of the rotation.
pub(crate) fn rotary<T: Real>(
    x: &[T],
    cos: &[T],
    sin: &[T],
    shape: RotaryShape,
    inverse: bool,
) -> Vec<T> {
    let RotaryShape { n_angles, heads, head_dim } = shape;
    let half = head_dim / 2;
    let mut out = vec![T::ZERO; x.len()];
    let position = heads * head_dim;
    if x.is_empty() {
        return out;
    }
    let direction = if inverse { -T::ONE } else { T::ONE };
    // Whole positions to a chunk.
    let chunk = position * (CHUNK / position).max(1);
    for_each_chunk(&mut out, chunk, |start, part| {
        for (i, out) in part.chunks_mut(position).enumerate() {
            let at = start / position + i;
            let angle = at % n_angles * half;
            let (cos, sin) = (&cos[angle..angle + half], &sin[angle..angle + half]);
            let x = &x[at * position..][..position];
            rotate_heads(out, x, cos, sin, direction);
        }
    });
    out
}

simd_dispatch! {
    fn rotate_heads<T: Real>(out: &mut [T], x: &[T], cos: &[T], sin: &[T], direction: T) {
        let half = cos.len();
        for (out, x) in out.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
            let (out_low, out_high) = out.split_at_mut(half);
            let (low, high) = x.split_at(half);
            for d in 0..half {
                let sin = sin[d] * direction;
                out_low[d] = low[d] * cos[d] - high[d] * sin;
                out_high[d] = high[d] * cos[d] + low[d] * sin;
            }
        }
    }
}
