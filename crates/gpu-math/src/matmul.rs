//! `out = alpha A B + beta out`.

use gpu_runtime::{Arg, DeviceBuffer, Launch, Stream, args};

use crate::error::{MathError, Result};
use crate::matrix::{Element, Matrix, MatrixMut};
use crate::output::{Place, Scale};
use crate::products::{Precision, Products};
use crate::registry::SUM;
use crate::rungs::{MAPPED_BF16, Wish};
use crate::{library, mapped};

/// Matrices of a batch, at most: CTAs of a grid along z.
const MOST_ITEMS: usize = 65535;
/// CTAs of a grid along x, at most.
const MOST_TILES: u64 = (1 << 31) - 1;
/// Columns of a CTA that adds partial sums.
const SUM_COLUMNS: usize = 128;

/// Puts `out = alpha a b + beta out` on a stream, and returns.
///
/// `a (m, k)` and `b (k, n)` are of one type, `out (m, n)` of the same or another. Rows may start
/// anywhere; padding between them is neither read nor written. Products of f32 are exact fma chains;
/// products of bf16 are exact and summed in f32 by tensor cores. A bf16 `out` is rounded once, at the
/// end. With `k = 0` the product is 0. Batches are multiplied matrix by matrix.
///
/// Results have the same bits in every run on one device: there are no atomics. Where the output is
/// small and `k` long, the terms are split over the device and added in a second pass, in order, which
/// takes memory of the stream's pool: such a product cannot be captured into a graph.
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
    if let Some(blas) = products.library() {
        let precision = products.precision();
        if library::multiply(blas, stream, (&a, &b), &mut out, scale, precision)? {
            return Ok(());
        }
    }
    let wish = Wish {
        extents: [m, n, k],
        items,
        is_bf16: T::IS_BF16,
        may_round: products.precision() == Precision::Tf32,
        is_aligned: a.is_aligned() && b.is_aligned(),
        both_turned: a.is_turned && b.is_turned,
        is_hopper: products.is_hopper(),
    };
    let rung = wish.rung();
    let (splits, depth) = wish.splits(rung);
    if splits == 1 && (rung.narrows || !C::IS_BF16) {
        let (values, form) = (Arg::from(&mut out.values), out.form);
        let place = Place { values, stride: form.stride, step: form.step, is_bf16: C::IS_BF16 };
        return multiply(products, stream, &wish, (&a, &b), place, scale, (1, depth));
    }
    let len = items.checked_mul(splits).and_then(|parts| parts.checked_mul(m * n));
    let mut partials = DeviceBuffer::<f32>::uninit(stream, len.unwrap_or(usize::MAX))?;
    let values = Arg::from(&mut partials);
    let place = Place { values, stride: n, step: m * n, is_bf16: false };
    multiply(products, stream, &wish, (&a, &b), place, Scale::default(), (splits, depth))?;
    let blocks = u32::try_from(n.div_ceil(SUM_COLUMNS) * m).unwrap_or(u32::MAX);
    let launch = Launch::new([blocks, 1, items as u32], [SUM_COLUMNS as u32, 1, 1]);
    let args = args![
        &mut out.values,
        &partials,
        out.form.step as u64,
        m as u32,
        n as u32,
        out.form.stride as u32,
        splits as u32,
        u32::from(C::IS_BF16),
        scale.alpha,
        scale.beta,
    ];
    // SAFETY: `partials` has a matrix for each split of each item, filled above on the same stream, and
    // `out` one for each item; a grid longer than a device allows is refused.
    unsafe { products.kernel(&SUM, 0)?.launch(stream, &launch, args)? };
    Ok(())
}

/// One launch over all tiles, items and splits.
fn multiply<T: Element>(
    products: &Products,
    stream: &Stream,
    wish: &Wish,
    (a, b): (&Matrix<'_, T>, &Matrix<'_, T>),
    place: Place<'_>,
    scale: Scale,
    (splits, depth): (usize, usize),
) -> Result<()> {
    let (rung, [m, n, k]) = (wish.rung(), wish.extents);
    let [rows, columns] = rung.tile;
    let tiles = m.div_ceil(rows) as u64 * n.div_ceil(columns) as u64;
    if tiles.saturating_mul((wish.items * splits) as u64) > MOST_TILES {
        let items = wish.items;
        let detail = format!("{tiles} tiles of {items} outputs of {m} x {n}, expected below 2^31");
        return Err(MathError::shape("matmul", detail).hint("multiply parts of the output"));
    }
    if *rung == MAPPED_BF16 {
        return mapped::multiply(products, stream, wish, (a, b), place, scale, (splits, depth));
    }
    let grid = [tiles as u32, 1, (wish.items * splits) as u32];
    let launch = Launch::new(grid, [rung.threads, 1, 1]).dynamic_shared(rung.shared);
    let args = args![
        place.values,
        Arg::address(a.values.address()),
        Arg::address(b.values.address()),
        a.form.step as u64,
        b.form.step as u64,
        place.step as u64,
        m as u32,
        n as u32,
        k as u32,
        a.form.stride as u32,
        b.form.stride as u32,
        place.stride as u32,
        u32::from(a.is_turned) + 2 * u32::from(b.is_turned),
        splits as u32,
        depth as u32,
        u32::from(place.is_bf16),
        scale.alpha,
        scale.beta,
    ];
    let kernel = products.kernel(&rung.variant, rung.shared)?;
    // SAFETY: the operands lie inside their values, checked when they were made, and fit each other; the
    // place has a matrix for each item and split; extents and strides are below 2^30, and alignment is
    // what the rung was chosen by; the grid has a CTA for each tile of each item and split.
    unsafe { kernel.launch(stream, &launch, args)? };
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
