//! `out = alpha A B + beta out`.

use gpu_runtime::{Arg, Launch, Stream, args};

use crate::error::{MathError, Result};
use crate::matrix::{Element, Matrix, MatrixMut};
use crate::products::Products;
use crate::registry::{TILE_BF16, TILE_F32};

/// Matrices of a batch, at most: CTAs of a grid along z.
const MOST_ITEMS: usize = 65535;
/// CTAs of a grid along x, at most.
const MOST_TILES: u64 = (1 << 31) - 1;
/// Rows and columns of a tile.
const TILE: usize = 64;

/// Factors of the product, and of what `out` held before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the old `out`; at 0 it is not read.
    pub beta: f32,
}

impl Default for Scale {
    /// The product alone.
    fn default() -> Self {
        Self { alpha: 1.0, beta: 0.0 }
    }
}

/// Puts `out = alpha a b + beta out` on a stream, and returns.
///
/// `a (m, k)` and `b (k, n)` are of one type, `out (m, n)` of the same or another. Rows may start
/// anywhere; padding between them is neither read nor written. Products of f32 are exact fma chains;
/// products of bf16 are exact and summed in f32 by tensor cores. A bf16 `out` is rounded once, at the
/// end. With `k = 0` the product is 0. Batches are multiplied matrix by matrix.
///
/// Results have the same bits in every run on one device: there are no atomics.
///
/// What the operands hold must be on the stream, or waited for by it.
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) for operands that do not fit each other, and for batches above
/// 65535; [`Device`](crate::ErrorKind::Device) when the driver refuses.
pub fn matmul<T: Element, C: Element>(
    products: &Products,
    stream: &Stream,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    mut out: MatrixMut<'_, C>,
    scale: Scale,
) -> Result<()> {
    check(&a, &b, &out)?;
    let (m, n, k, items) = (a.rows(), b.cols(), a.cols(), a.count());
    if m.min(n).min(items) == 0 {
        return Ok(());
    }
    let (variant, block) = if T::IS_BF16 { (&TILE_BF16, 128) } else { (&TILE_F32, 256) };
    let tiles = m.div_ceil(TILE) as u64 * n.div_ceil(TILE) as u64;
    if tiles > MOST_TILES {
        let detail = format!("{tiles} tiles of an output of {m} x {n}, expected below 2^31");
        return Err(MathError::shape("matmul", detail).hint("multiply parts of the output"));
    }
    let launch = Launch::new([tiles as u32, 1, items as u32], [block, 1, 1]);
    let turned = u32::from(a.is_turned) + 2 * u32::from(b.is_turned);
    let args = args![
        &mut out.values,
        Arg::address(a.values.address()),
        Arg::address(b.values.address()),
        a.form.step as u64,
        b.form.step as u64,
        out.form.step as u64,
        m as u32,
        n as u32,
        k as u32,
        a.form.stride as u32,
        b.form.stride as u32,
        out.form.stride as u32,
        turned,
        1u32,
        k as u32,
        u32::from(C::IS_BF16),
        scale.alpha,
        scale.beta,
    ];
    // SAFETY: the operands lie inside their values, checked when they were made, and fit each other;
    // extents and strides are below 2^30; the grid has a CTA for each tile of each item.
    unsafe { products.kernel(variant)?.launch(stream, &launch, args)? };
    Ok(())
}

/// Refuses operands that do not fit each other.
fn check<T: Element, C: Element>(
    a: &Matrix<'_, T>,
    b: &Matrix<'_, T>,
    out: &MatrixMut<'_, C>,
) -> Result<()> {
    let (m, k) = (a.rows(), a.cols());
    if b.rows() != k || out.rows() != m || out.cols() != b.cols() {
        let detail = format!(
            "a is {m} x {k}, b {} x {} and out {} x {}, expected (m, k) (k, n) = (m, n)",
            b.rows(),
            b.cols(),
            out.rows(),
            out.cols()
        );
        return Err(MathError::shape("matmul", detail));
    }
    let counts = [a.count(), b.count(), out.form.count];
    if counts.iter().any(|&count| count != counts[0]) {
        let detail = format!("batches of {counts:?} matrices a, b and out, expected one count");
        return Err(MathError::shape("matmul", detail).hint("a step of 0 repeats a matrix"));
    }
    if counts[0] > MOST_ITEMS {
        let detail = format!("{} matrices, expected at most {MOST_ITEMS}", counts[0]);
        return Err(MathError::shape("matmul", detail).hint("multiply parts of the batch"));
    }
    Ok(())
}
