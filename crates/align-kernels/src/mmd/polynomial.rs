//! The polynomial kernel on tiles of products.

use cpu_math::simd_dispatch;

use super::tiles::{Sums, Tile, TileKernel};

/// `k = (x . y + offset)^degree`, `dk/dx = degree (x . y + offset)^(degree - 1) y`.
pub(super) struct Power {
    pub degree: u32,
    pub offset: f32,
}

impl TileKernel for Power {
    fn apply(&self, tile: Tile<'_>) -> Sums {
        let cols = tile.cols.len();
        if tile.skip_self && tile.on_diagonal() {
            // A base of 0 has neither value nor derivative, for degrees above 1.
            for k in 0..cols {
                tile.products[k * cols + k] = -self.offset;
            }
        }
        let value = powers(tile.products, cols, self.degree, self.offset, tile.weight);
        Sums { value, ..Sums::default() }
    }
}

simd_dispatch! {
    /// Replaces products by weighted derivatives and returns the sum of the powers.
    fn powers(products: &mut [f32], cols: usize, degree: u32, offset: f32, weight: f64) -> f64 {
        const LANES: usize = 16;
        let factor = (f64::from(degree) * weight) as f32;
        let mut total = 0.0f64;
        for row in products.chunks_exact_mut(cols) {
            let mut sums = [0.0f32; LANES];
            for part in row.chunks_mut(LANES) {
                for (value, sum) in part.iter_mut().zip(&mut sums) {
                    let base = *value + offset;
                    let mut below = base;
                    for _ in 2..degree {
                        below *= base;
                    }
                    *sum = below.mul_add(base, *sum);
                    *value = below * factor;
                }
            }
            total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        }
        total
    }
}
