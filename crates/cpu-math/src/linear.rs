//! Products of f32 rows with a weight matrix in the form that it is stored in.
//!
//! A linear layer multiplies every row of its input by one matrix. Where that is kept in fewer bits, no
//! f32 copy of it is made: a few columns at a time are widened into a cache, and sums are kept in f32.
//!
//! Up to 32 rows are dot products along the weights' rows (decoding: bound by reading the weights once).
//! A row's result then depends on that row and the weights alone: it has the same bits whatever other
//! rows are multiplied beside it, on any number of threads and on every instruction set. More rows go
//! through register tiles (prefill, encoders), whose sums have another order.

mod dots;
#[cfg(target_arch = "x86_64")]
mod dots_avx512;
mod int8;
mod panels;
mod tile;

use half::{bf16, f16};

#[cfg(target_arch = "x86_64")]
use crate::dispatch::{Isa, isa};
use crate::gemm::{MatRef, gemm_batched};
#[cfg(target_arch = "x86_64")]
use crate::gemm::{Onto, avx512};
use crate::lines::Lines;
use crate::operand::Operand;
use crate::stored::Stored;
use int8::QuantizedLines;
pub use int8::{GROUP, Int8, quantize_row};

/// Rows, columns and depth of a product.
pub type Extents = (usize, usize, usize);

/// A weight matrix `(O, I)`, row-major.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// bfloat16.
    BF16(&'a [bf16]),
    /// IEEE half.
    F16(&'a [f16]),
    /// 8-bit integers with scales.
    Int8(Int8<'a>),
}

impl Weights<'_> {
    fn len(&self) -> usize {
        match self {
            Weights::F32(values) => values.len(),
            Weights::BF16(values) => values.len(),
            Weights::F16(values) => values.len(),
            Weights::Int8(weights) => weights.values.len(),
        }
    }
}

/// `y = x W'`.
///
/// # Shapes
///
/// | argument  | shape                |
/// |-----------|----------------------|
/// | `extents` | `(M, O, I)`          |
/// | `x`       | `(M, I)`, row-major  |
/// | `weights` | `(O, I)`             |
/// | `y`       | `(M, O)`, row-major  |
///
/// # Numerics
///
/// The product of `x` and the weights' exact values, with sums in f32.
///
/// # Panics
///
/// When a slice has another length.
pub fn forward(extents: Extents, x: &[f32], weights: Weights<'_>, y: &mut [f32]) {
    let (rows, outputs, inputs) = extents;
    check((rows, outputs, inputs), x.len(), weights, y.len());
    if y.is_empty() || inputs == 0 {
        return y.fill(0.0);
    }
    match weights {
        Weights::F32(w) if rows > dots::MOST_ROWS => {
            let (x, w) = (MatRef::new(x, (inputs, 1)), MatRef::new(w, (1, inputs)));
            gemm_batched(extents, &[x], &[w], y);
        }
        Weights::F32(w) => along(extents, x, w, y),
        Weights::BF16(w) => along(extents, x, w, y),
        Weights::F16(w) => along(extents, x, w, y),
        Weights::Int8(weights) => {
            let w = int8::Rows { weights, outputs, inputs };
            match rows {
                0..=dots::MOST_ROWS => dots::product(extents, x, w, y),
                _ => panelled(extents, x, QuantizedLines::along_inputs(w), y),
            }
        }
    }
}

/// `dx = dy W`: what [`forward`]'s input receives of its output's gradient.
///
/// # Shapes
///
/// `extents`: `(M, O, I)`, `dy`: `(M, O)`, `weights`: `(O, I)`, `dx`: `(M, I)`.
///
/// # Panics
///
/// As [`forward`].
pub fn input_gradient(extents: Extents, dy: &[f32], weights: Weights<'_>, dx: &mut [f32]) {
    let (rows, outputs, inputs) = extents;
    check((rows, outputs, inputs), dx.len(), weights, dy.len());
    if dx.is_empty() || outputs == 0 {
        return dx.fill(0.0);
    }
    let extents = (rows, inputs, outputs);
    match weights {
        Weights::F32(w) => panelled(extents, dy, across_outputs(w, inputs), dx),
        Weights::BF16(w) => panelled(extents, dy, across_outputs(w, inputs), dx),
        Weights::F16(w) => panelled(extents, dy, across_outputs(w, inputs), dx),
        Weights::Int8(weights) => {
            let w = int8::Rows { weights, outputs, inputs };
            panelled(extents, dy, QuantizedLines::across_outputs(w), dx);
        }
    }
}

fn check((rows, outputs, inputs): Extents, x: usize, weights: Weights<'_>, y: usize) {
    assert_eq!(
        (x, weights.len(), y),
        (rows * inputs, outputs * inputs, rows * outputs),
        "lengths of x (M, I), weights (O, I) and y (M, O)"
    );
    if let Weights::Int8(weights) = weights {
        assert_eq!(weights.scales.len(), inputs.div_ceil(GROUP) * outputs, "a scale a group");
    }
}

fn across_outputs<E>(data: &[E], inputs: usize) -> Lines<'_, E> {
    Lines { data, line_stride: 1, depth_stride: inputs }
}

/// Where the rows of a weight matrix come from.
trait Source: Copy + Send + Sync {
    /// What a matrix holds that can be read as it is.
    type Direct: Stored;

    /// The matrix `(O, I)`, where it can be read as it is.
    fn direct(&self) -> Option<&[Self::Direct]>;

    /// A part of the row of one output, from one input on.
    fn widen(&self, output: usize, from: usize, out: &mut [f32]);
}

/// Rows of `inputs` numbers.
#[derive(Clone, Copy)]
struct Matrix<'a, E> {
    data: &'a [E],
    inputs: usize,
}

impl<E: Stored> Source for Matrix<'_, E> {
    type Direct = E;

    fn direct(&self) -> Option<&[E]> {
        Some(self.data)
    }

    #[inline(always)]
    fn widen(&self, output: usize, from: usize, out: &mut [f32]) {
        E::widen(&self.data[output * self.inputs + from..][..out.len()], out);
    }
}

/// `y = x W'`, along the rows of both; extents are not zero.
fn along<E: Stored>(extents: Extents, x: &[f32], w: &[E], y: &mut [f32]) {
    let (m, _, inputs) = extents;
    if m <= dots::MOST_ROWS {
        return dots::product(extents, x, Matrix { data: w, inputs }, y);
    }
    panelled(extents, x, Lines { data: w, line_stride: inputs, depth_stride: 1 }, y);
}

/// `out: (M, N) = x: (M, K) times b`, whose lines are the N columns; extents are not zero.
fn panelled(extents: Extents, x: &[f32], b: impl Operand, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    let (_, _, k) = extents;
    #[cfg(target_arch = "x86_64")]
    if isa() == Isa::Avx512 {
        let (x, onto) = (MatRef::new(x, (k, 1)), Onto { keep: false, rows: None });
        return avx512::product(extents, 1.0, x, b, onto, out);
    }
    panels::product(extents, x, b, out);
}

#[cfg(test)]
mod tests;
