//! Matrix products in f32 and f64, over the `gemm` crate, in parallel.
//!
//! The crate multiplies one tile on one thread; the cut into tiles is ours and depends on the
//! shape alone, because its own threading would change the order of sums with the thread count.
//! The right operand of a large product is packed once, into one contiguous block a column of
//! tiles: the crate would pack it again for every tile, and slowly when it is transposed.
//!
//! Large f32 products on AVX-512 have a kernel of their own, which packs every operand once or
//! nearly so and reaches nine tenths of what the multipliers can do.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod pack;
#[cfg(target_arch = "x86_64")]
pub(crate) mod panels;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use crate::dispatch::{Isa, isa};
pub use crate::mat_ref::MatRef;
use crate::parallel::{SharedMut, rows_per_chunk};
use crate::real::Real;
use crate::scratch::with_scratch;
use crate::tile_gemm::gemm_at;
use pack::pack_column_blocks;

/// Multiply-adds below which waking the thread pool costs more than it saves.
pub const SERIAL_WORK: usize = 1 << 19;

/// Multiply-adds that a tile aims at: a tenth of a millisecond.
const TILE_WORK: usize = 1 << 22;

/// Wide enough that packing a tile's operands costs a few per cent of multiplying them.
const TILE_SIDE: usize = 256;

/// Tile borders are multiples of this, the micro-kernel's longer side on AVX-512.
const TILE_STEP: usize = 48;

/// How an output is cut: tiles of `rows x cols`, the last ones smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tiling {
    rows: usize,
    cols: usize,
}

impl Tiling {
    fn new((m, n, k): (usize, usize, usize)) -> Self {
        let work = m * n * k;
        if work <= SERIAL_WORK {
            return Self { rows: m, cols: n };
        }
        // At least 8 pieces, so that few threads finish together; more only once they are large.
        let most = (m * n / (TILE_SIDE * TILE_SIDE)).max(8);
        let pieces = work.div_ceil(TILE_WORK).clamp(2, most);
        let side = |extent: usize, parts: usize| {
            extent.div_ceil(parts).next_multiple_of(TILE_STEP).min(extent)
        };
        let mut best = Self { rows: m, cols: n };
        let mut least = (true, usize::MAX);
        for down in 1..=pieces {
            let tile = Self { rows: side(m, down), cols: side(n, pieces.div_ceil(down)) };
            let count = tile.count(m, n);
            // Enough pieces first; then the least packing, which goes with the sum of sides.
            let cost = (count * 4 < pieces * 3, (tile.rows + tile.cols) * count);
            if cost < least {
                (best, least) = (tile, cost);
            }
        }
        best
    }

    fn count(self, m: usize, n: usize) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.cols)
    }
}

/// `out[i] = a[i] x b[i]` for every matrix of a batch.
///
/// # Shapes
///
/// | argument  | shape                     |
/// |-----------|---------------------------|
/// | `extents` | `(M, N, K)`               |
/// | `a`       | B matrices `(M, K)`       |
/// | `b`       | B matrices `(K, N)`       |
/// | `out`     | `(B, M, N)`, row-major    |
///
/// # Panics
///
/// When a matrix lies outside its slice, or the counts differ.
pub fn gemm_batched<T: Real>(
    extents: (usize, usize, usize),
    a: &[MatRef<'_, T>],
    b: &[MatRef<'_, T>],
    out: &mut [T],
) {
    let (m, n, k) = extents;
    assert_eq!((a.len(), out.len()), (b.len(), a.len() * m * n), "one output a pair of operands");
    for (a, b) in a.iter().zip(b) {
        a.check(m, k);
        b.check(k, n);
    }
    if out.is_empty() {
        return;
    }
    if k == 0 {
        return out.fill(T::ZERO);
    }

    #[cfg(target_arch = "x86_64")]
    if avx512::suits(extents, b[0].row_stride == 1) && has_avx512::<T>() {
        let onto = Onto { keep: false, rows: None };
        let items = a.par_iter().zip(b).zip(out.par_chunks_mut(m * n));
        return items.for_each(|((a, b), out)| {
            avx512::gemm(extents, 1.0, narrow(*a), narrow(*b), onto, bytemuck::cast_slice_mut(out));
        });
    }
    tiled(extents, a, b, (T::ONE, T::ZERO), out);
}

/// What [`gemm_onto`] adds a product to; nothing when empty.
#[derive(Debug, Clone, Copy)]
pub struct Onto<'a, T> {
    /// Whether to add to what the output holds, which is not read otherwise.
    pub keep: bool,
    /// Scales `(M,)` and a matrix `(M, N)`, row-major: row `i` times scale `i` is added to row `i`.
    pub rows: Option<(&'a [T], &'a [T])>,
}

/// `out = alpha a b + onto`, for extents `(M, N, K)` and a row-major output.
///
/// # Panics
///
/// When a matrix lies outside its slice, or the output or `onto` has another extent.
pub fn gemm_onto<T: Real>(
    extents: (usize, usize, usize),
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    onto: Onto<'_, T>,
    out: &mut [T],
) {
    let (m, n, k) = extents;
    assert_eq!(out.len(), m * n, "the output holds (M, N)");
    if let Some((scales, rows)) = onto.rows {
        assert_eq!((scales.len(), rows.len()), (m, m * n), "scales (M,) and rows (M, N)");
    }
    a.check(m, k);
    b.check(k, n);
    #[cfg(target_arch = "x86_64")]
    if avx512::suits(extents, b.row_stride == 1) && has_avx512::<T>() {
        let (a, b, alpha) = (narrow(a), narrow(b), bytemuck::cast(alpha));
        let rows = onto.rows.map(|(s, rows)| (bytemuck::cast_slice(s), bytemuck::cast_slice(rows)));
        let onto = Onto { keep: onto.keep, rows };
        return avx512::gemm(extents, alpha, a, b, onto, bytemuck::cast_slice_mut(out));
    }
    if out.is_empty() {
        return;
    }
    let step = rows_per_chunk(n);
    let keep = onto.keep;
    out.par_chunks_mut(step * n).enumerate().for_each(|(part, out)| {
        for (i, out) in out.chunks_mut(n).enumerate() {
            let i = part * step + i;
            let Some((scales, rows)) = onto.rows else {
                if !keep {
                    out.fill(T::ZERO);
                }
                continue;
            };
            for (out, &x) in out.iter_mut().zip(&rows[i * n..]) {
                *out = scales[i].mul_add(x, if keep { *out } else { T::ZERO });
            }
        }
    });
    if k > 0 {
        tiled(extents, &[a], &[b], (alpha, T::ONE), out);
    }
}

/// Whether `T` is f32 and the machine has AVX-512.
#[cfg(target_arch = "x86_64")]
fn has_avx512<T: Real>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<f32>() && isa() == Isa::Avx512
}

/// A matrix of f32 under its own name.
#[cfg(target_arch = "x86_64")]
fn narrow<T: Real>(x: MatRef<'_, T>) -> MatRef<'_, f32> {
    MatRef::new(bytemuck::cast_slice(x.data), (x.row_stride, x.col_stride))
}

/// `out[i] = alpha a[i] b[i] + beta out[i]` over the `gemm` crate.
fn tiled<T: Real>(
    extents: (usize, usize, usize),
    a: &[MatRef<'_, T>],
    b: &[MatRef<'_, T>],
    factors: (T, T),
    out: &mut [T],
) {
    let (m, n, k) = extents;
    let tiling = Tiling::new(extents);
    // Packing pays from the second tile on that reads a block.
    if m > tiling.rows {
        with_scratch(n * k, |packed| {
            for ((a, b), out) in a.iter().zip(b).zip(out.chunks_mut(m * n)) {
                pack_column_blocks(b, (n, k), tiling.cols, packed);
                let packed = &*packed;
                multiply_tiles(extents, tiling, 1, factors, out, |_, col| {
                    let width = tiling.cols.min(n - col);
                    (*a, MatRef::new(&packed[col * k..], (width, 1)))
                });
            }
        });
    } else {
        multiply_tiles(extents, tiling, a.len(), factors, out, |item, col| {
            let b = b[item];
            (a[item], MatRef { data: &b.data[col * b.col_stride..], ..b })
        });
    }
}

/// Multiplies every tile of `items` products. `operands(item, col)` is the left matrix and the
/// right one from column `col` on.
fn multiply_tiles<'a, T: Real>(
    (m, n, k): (usize, usize, usize),
    tiling: Tiling,
    items: usize,
    (alpha, beta): (T, T),
    out: &mut [T],
    operands: impl Fn(usize, usize) -> (MatRef<'a, T>, MatRef<'a, T>) + Sync + Send,
) {
    let (per_item, across) = (tiling.count(m, n), n.div_ceil(tiling.cols));
    let out = SharedMut::new(out);
    let run = |job: usize| {
        let (item, tile) = (job / per_item, job % per_item);
        let (row, col) = (tile / across * tiling.rows, tile % across * tiling.cols);
        let (rows, cols) = (tiling.rows.min(m - row), tiling.cols.min(n - col));
        let (a, b) = operands(item, col);
        let a = MatRef { data: &a.data[row * a.row_stride..], ..a };
        a.check(rows, k);
        b.check(k, cols);
        // SAFETY: the checks keep every operand element in its slice, and no two jobs share an output
        // tile.
        unsafe {
            let tile = out.pointer((item * m + row) * n + col);
            gemm_at((rows, cols, k), alpha, a, b, beta, (tile, (n, 1)));
        }
    };
    let jobs = items * per_item;
    let grain = SERIAL_WORK.div_ceil(tiling.rows * tiling.cols * k);
    if jobs <= grain {
        (0..jobs).for_each(run);
    } else {
        (0..jobs).into_par_iter().with_min_len(grain).for_each(run);
    }
}

#[cfg(test)]
mod tests;
