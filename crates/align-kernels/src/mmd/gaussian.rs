//! The Gaussian kernel on tiles of products, with several bandwidths for one exponential.
//!
//! ```text
//! k(x, y) = sum over s of exp(-|x - y|^2 / (2 s^2)),   dk/dx = (y - x) sum over s of exp(..) / s^2
//! ```
//!
//! `|x - y|^2 = |x|^2 + |y|^2 - 2 x . y` loses the digits that both lengths share, so points are
//! moved to their common mean first, and pairs that are much closer to each other than to the mean
//! are taken from their differences.

use cpu_math::math::exp;
use cpu_math::simd_dispatch;

use super::tiles::{Cloud, Sums, Tile, TileKernel};
use crate::vector::{dot, squared_distance};

/// Squared distances below this part of `|x|^2 + |y|^2` are computed from differences.
const CLOSE: f32 = 1.0 / 32.0;

/// Squarings in a row: each doubles the relative error of an exponential.
const MOST_SQUARINGS: u32 = 2;

/// How the exponential of one bandwidth comes about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// `exp(rate * |x - y|^2)`.
    Exp { rate: f32 },
    /// The one before, squared so many times.
    Square { times: u32 },
}

/// One bandwidth: how its exponential is made, and its `1 / s^2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stage {
    pub step: Step,
    pub slope: f32,
}

/// Orders bandwidths from wide to narrow and finds those that are squares of the one before.
pub(crate) fn stages(bandwidths: &[f64]) -> Vec<Stage> {
    let mut sorted = bandwidths.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut before, mut squared) = (f64::NAN, 0);
    sorted
        .into_iter()
        .map(|s| {
            let times = 2.0 * (before / s).log2();
            let whole = times.round();
            before = s;
            let slope = (1.0 / (s * s)) as f32;
            // NaN for the first fails the comparison.
            if (times - whole).abs() < 1e-9 && squared + whole as u32 <= MOST_SQUARINGS {
                squared += whole as u32;
                Stage { step: Step::Square { times: whole as u32 }, slope }
            } else {
                squared = 0;
                Stage { step: Step::Exp { rate: (-0.5 / (s * s)) as f32 }, slope }
            }
        })
        .collect()
}

/// The kernel over one cloud of points that lie around 0.
pub(super) struct Gaussian<'a> {
    cloud: &'a Cloud<'a>,
    stages: &'a [Stage],
    /// `|z|^2` of every point.
    squares: Vec<f32>,
}

impl<'a> Gaussian<'a> {
    pub fn new(cloud: &'a Cloud<'a>, stages: &'a [Stage]) -> Self {
        let squares = cloud.points.chunks_exact(cloud.width).map(|z| dot(z, z) as f32).collect();
        Self { cloud, stages, squares }
    }
}

impl TileKernel for Gaussian<'_> {
    fn apply(&self, tile: Tile<'_>) -> Sums {
        let cols = tile.cols.len();
        let column_squares = &self.squares[tile.cols.clone()];
        let point = |at: usize| &self.cloud.points[at * self.cloud.width..][..self.cloud.width];
        let diagonal = tile.on_diagonal();
        let mut sums = Sums { value: 0.0, rows: vec![], cols: vec![0.0; cols] };
        // Sums down the columns stay in f32 for a block of rows at most.
        let mut down = vec![0.0f32; cols];
        for (r, row) in tile.products.chunks_exact_mut(cols).enumerate() {
            let at = tile.rows.start + r;
            if distances(row, self.squares[at], column_squares) {
                for (c, distance) in row.iter_mut().enumerate() {
                    let other = tile.cols.start + c;
                    // Written so that a distance that is not a number is left alone.
                    if *distance < CLOSE * (self.squares[at] + self.squares[other]) {
                        *distance = squared_distance(point(at), point(other)) as f32;
                    }
                }
            }
            if diagonal {
                row[r] = 0.0;
            }
            let (value, mut slope) = kernel_row(row, self.stages, tile.weight, &mut down);
            sums.value += value;
            if diagonal {
                // A point with itself: every exponential is 1, and nothing moves. (Sums down the
                // columns of such a tile are not used.)
                slope -= f64::from(std::mem::take(&mut row[r]));
                if tile.skip_self {
                    sums.value -= self.stages.len() as f64;
                }
            }
            sums.rows.push(slope);
        }
        sums.cols.iter_mut().zip(&down).for_each(|(sum, &part)| *sum += f64::from(part));
        sums
    }
}

simd_dispatch! {
    /// Products to squared distances; true where some are too small for this formula.
    fn distances(row: &mut [f32], square: f32, squares: &[f32]) -> bool {
        let mut close = 0u32;
        for (value, &other) in row.iter_mut().zip(squares) {
            let both = square + other;
            let distance = (-2.0f32).mul_add(*value, both);
            close |= u32::from(distance < CLOSE * both);
            // NaN stays.
            *value = if distance < 0.0 { 0.0 } else { distance };
        }
        close != 0
    }

    /// Squared distances to weighted derivatives, which are added to `down`; returns the sums of
    /// the kernel and of the derivatives.
    fn kernel_row(row: &mut [f32], stages: &[Stage], weight: f64, down: &mut [f32]) -> (f64, f64) {
        const LANES: usize = 32;
        let weight = weight as f32;
        let (mut values, mut slopes) = ([0.0f32; LANES], [0.0f32; LANES]);
        let mut parts = row.chunks_exact_mut(LANES);
        let mut downs = down.chunks_exact_mut(LANES);
        for (part, down) in (&mut parts).zip(&mut downs) {
            let mut lanes = [0.0f32; LANES];
            lanes.copy_from_slice(part);
            let (k, w) = evaluate(&lanes, stages);
            for lane in 0..LANES {
                let w = w[lane] * weight;
                values[lane] += k[lane];
                slopes[lane] += w;
                down[lane] += w;
                part[lane] = w;
            }
        }
        let (part, down) = (parts.into_remainder(), downs.into_remainder());
        if !part.is_empty() {
            let mut lanes = [0.0f32; LANES];
            lanes[..part.len()].copy_from_slice(part);
            let (k, w) = evaluate(&lanes, stages);
            for lane in 0..part.len() {
                let w = w[lane] * weight;
                values[lane] += k[lane];
                slopes[lane] += w;
                down[lane] += w;
                part[lane] = w;
            }
        }
        let wide = |lanes: [f32; LANES]| lanes.iter().map(|&sum| f64::from(sum)).sum();
        (wide(values), wide(slopes))
    }
}

/// Kernel values and their slopes `sum of exp(..) / s^2` at squared distances.
#[inline(always)]
fn evaluate<const LANES: usize>(
    distances: &[f32; LANES],
    stages: &[Stage],
) -> ([f32; LANES], [f32; LANES]) {
    let (mut k, mut w) = ([0.0f32; LANES], [0.0f32; LANES]);
    let mut e = [0.0f32; LANES];
    for stage in stages {
        match stage.step {
            Step::Exp { rate } => {
                for lane in 0..LANES {
                    e[lane] = exp(rate * distances[lane]);
                }
            }
            Step::Square { times } => {
                for _ in 0..times {
                    for e in &mut e {
                        *e *= *e;
                    }
                }
            }
        }
        for lane in 0..LANES {
            k[lane] += e[lane];
            w[lane] = e[lane].mul_add(stage.slope, w[lane]);
        }
    }
    (k, w)
}

/// The kernel of one pair, with its slope.
pub(super) fn of_distance(distance: f32, stages: &[Stage]) -> (f32, f32) {
    let ([k], [w]) = evaluate(&[distance], stages);
    (k, w)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_whose_squares_lie_powers_of_two_apart_share_an_exponential() {
        let times = |bandwidths: &[f64]| -> Vec<Option<u32>> {
            let step = |stage: Stage| match stage.step {
                Step::Exp { .. } => None,
                Step::Square { times } => Some(times),
            };
            stages(bandwidths).into_iter().map(step).collect()
        };
        assert_eq!(times(&[1.0, 2.0, 4.0]), [None, Some(2), None]);
        let five: Vec<f64> = (-2..3).map(|k| (7.3 * 2f64.powi(k)).sqrt()).collect();
        assert_eq!(times(&five), [None, Some(1), Some(1), None, Some(1)]);
        // A ninth is no power of two; equal bandwidths are.
        assert_eq!(times(&[3.0, 1.0, 3.0]), [None, Some(0), None]);
    }

    #[test]
    fn stages_give_the_sum_of_exponentials() {
        let bandwidths = [0.5, 1.0, 1.3, 2.0, 8.0];
        for distance in [0.0f32, 1e-3, 0.7, 5.0, 60.0, 1e6] {
            let (k, w) = of_distance(distance, &stages(&bandwidths));
            let e = |s: f64| (-f64::from(distance) / (2.0 * s * s)).exp();
            let want: f64 = bandwidths.iter().map(|&s| e(s)).sum();
            let slope: f64 = bandwidths.iter().map(|&s| e(s) / (s * s)).sum();
            assert!((f64::from(k) - want).abs() < 4e-6 * want.max(1e-30), "{distance}: {k} {want}");
            assert!((f64::from(w) - slope).abs() < 4e-6 * slope.max(1e-30), "{distance}: {w}");
        }
    }
}
