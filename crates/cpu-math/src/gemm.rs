//! Matrix products in f32 and f64, over the `gemm` crate, in parallel.
//!
//! The crate multiplies one tile on one thread; the cut into tiles is ours and depends on the
//! shape alone, because its own threading would change the order of sums with the thread count.
//! The right operand of a large product is packed once, into one contiguous block a column of
//! tiles: the crate would pack it again for every tile, and slowly when it is transposed.

mod pack;

use rayon::prelude::*;

pub use crate::mat_ref::MatRef;
use crate::parallel::SharedMut;
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

    let tiling = Tiling::new(extents);
    // Packing pays from the second tile on that reads a block.
    if m > tiling.rows {
        with_scratch(n * k, |packed| {
            for ((a, b), out) in a.iter().zip(b).zip(out.chunks_mut(m * n)) {
                pack_column_blocks(b, (n, k), tiling.cols, packed);
                let packed = &*packed;
                multiply_tiles(extents, tiling, 1, out, |_, col| {
                    let width = tiling.cols.min(n - col);
                    (*a, MatRef::new(&packed[col * k..], (width, 1)))
                });
            }
        });
    } else {
        multiply_tiles(extents, tiling, a.len(), out, |item, col| {
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
        // SAFETY: the checks keep every operand element in its slice, no two jobs share an output
        // tile, and the old output is not read.
        unsafe {
            let tile = out.pointer((item * m + row) * n + col);
            gemm_at((rows, cols, k), T::ONE, a, b, T::ZERO, (tile, (n, 1)));
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
mod tests {
    use super::*;
    use crate::testing::{ramp, same_bits_on_one_and_two_threads};

    /// Plain loops over strided operands.
    fn naive((m, n, k): (usize, usize, usize), a: MatRef<f64>, b: MatRef<f64>) -> Vec<f64> {
        let at = |x: &MatRef<f64>, i: usize, j: usize| x.data[i * x.row_stride + j * x.col_stride];
        (0..m * n).map(|c| (0..k).map(|p| at(&a, c / n, p) * at(&b, p, c % n)).sum()).collect()
    }

    #[test]
    fn every_layout_and_odd_shape_agrees_with_plain_loops() {
        for (m, n, k) in [(1, 1, 1), (1, 7, 129), (3, 17, 5), (129, 33, 17), (130, 120, 110)] {
            let (a, b) = (ramp::<f64>(2 * m * k + 5, 1), ramp::<f64>(2 * k * n + 5, 2));
            for a_strides in [(k, 1), (1, m)] {
                for b_strides in [(n, 1), (1, k)] {
                    let views = |skip: usize| {
                        (
                            MatRef::new(&a[skip * m * k..], a_strides),
                            MatRef::new(&b[skip * k * n..], b_strides),
                        )
                    };
                    let ((a0, b0), (a1, b1)) = (views(0), views(1));
                    let mut out = vec![f64::NAN; 2 * m * n];
                    gemm_batched((m, n, k), &[a0, a1], &[b0, b1], &mut out);
                    let mut want = naive((m, n, k), a0, b0);
                    want.extend(naive((m, n, k), a1, b1));
                    for (got, want) in out.iter().zip(&want) {
                        assert!((got - want).abs() < 1e-11, "{m}x{n}x{k}: {got} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_inner_extent_gives_zeros() {
        let mut out = vec![f32::NAN; 6];
        let empty = MatRef::new(&[][..], (0, 1));
        gemm_batched((2, 3, 0), &[empty], &[empty], &mut out);
        assert_eq!(out, [0.0; 6]);
    }

    #[test]
    fn thread_count_changes_no_bit() {
        let (m, n, k) = (301, 257, 129);
        let (a, b) = (ramp::<f32>(m * k, 1), ramp::<f32>(k * n, 2));
        same_bits_on_one_and_two_threads(|| {
            let mut out = vec![0.0; m * n];
            let (a, b) = (MatRef::new(&a, (k, 1)), MatRef::new(&b, (1, k)));
            gemm_batched((m, n, k), &[a], &[b], &mut out);
            out
        });
    }

    #[test]
    fn tiles_cover_the_output_with_pieces_enough_for_threads() {
        for extents in [(1500, 384, 384), (1024, 384, 1536), (384, 384, 24_000), (7, 51_865, 384)] {
            let tiling = Tiling::new(extents);
            assert!(tiling.count(extents.0, extents.1) >= 6, "{extents:?}: {tiling:?}");
        }
        assert_eq!(Tiling::new((64, 64, 64)), Tiling { rows: 64, cols: 64 });
    }
}
