//! One side of a batch: points in f32 as the cost sees them, norms, weights and boxes.

use std::borrow::Cow;
use std::ops::Range;

use cpu_math::simd_dispatch;
use rayon::prelude::*;

use super::lanes::LANES;
use super::options::Cost;
use crate::error::{KernelError, Result};
use crate::ragged::Ragged;

/// A vector shorter than this has no direction.
const LEAST_NORM: f64 = 1e-8;

/// Points of a checked width and weights, prepared once for all pairs. They come in one part or in several,
/// which are laid one after another.
pub(super) struct Side<'a> {
    /// `(N, D)`: scaled to length 1 for the cosine; 0 where the weight is 0, so that NaN stays out.
    pub points: Cow<'a, [f32]>,
    pub width: usize,
    pub offsets: Vec<usize>,
    pub weights: Vec<f32>,
    /// Half squared norms; for the cosine, inverse norms (0 for points without direction).
    pub norms: Vec<f32>,
    /// Sum of the weights of each item.
    pub mass: Vec<f64>,
    /// Where the points of each part start, and where the last ones end.
    pub parts: Vec<usize>,
}

impl<'a> Side<'a> {
    /// `weights` has an entry a part. All parts have one width.
    pub fn new(
        name: &str,
        batches: &[&'a Ragged<'_>],
        weights: &[Option<&[f32]>],
        cost: Cost,
    ) -> Result<Self> {
        let width = batches[0].points().width();
        let (mut parts, mut packed) = (vec![0], Vec::new());
        let (mut offsets, mut views) = (vec![0], Vec::new());
        for (p, (batch, weights)) in batches.iter().zip(weights).enumerate() {
            let start = parts[p];
            offsets.extend(batch.offsets()[1..].iter().map(|at| start + at));
            parts.push(offsets[offsets.len() - 1]);
            packed.extend(match batches.len() {
                1 => weights_of(name, *weights, batch.offsets())?,
                _ => weights_of(&format!("{name} of layer {p}"), *weights, batch.offsets())?,
            });
            views.push(batch.points().to_f32());
        }
        let weights = packed;
        let mut norms = vec![0.0; weights.len()];
        let rows_at_once = (1usize << 16).div_ceil(width);
        for (view, &start) in views.iter().zip(&parts) {
            let norms = norms[start..].par_chunks_mut(rows_at_once);
            view.par_chunks(rows_at_once * width).zip(norms).for_each(|(points, norms)| {
                half_squares(points, width, norms);
            });
        }
        norms
            .iter_mut()
            .zip(&weights)
            .filter(|(_, w)| **w == 0.0)
            .for_each(|(norm, _)| *norm = 0.0);
        let points = match cost {
            Cost::Cosine => {
                for norm in &mut norms {
                    let length = (2.0 * f64::from(*norm)).sqrt();
                    *norm = if length < LEAST_NORM { 0.0 } else { (1.0 / length) as f32 };
                }
                let unit = |row: usize, from: &[f32], to: &mut [f32]| {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from * norms[row]);
                };
                Cow::Owned(laid(views, &parts, &weights, width, unit))
            }
            _ if batches.len() == 1 && !weights.contains(&0.0) => views.swap_remove(0),
            _ => {
                let copy = |_, from: &[f32], to: &mut [f32]| to.copy_from_slice(from);
                Cow::Owned(laid(views, &parts, &weights, width, copy))
            }
        };
        let mass = masses(&weights, &offsets);
        Ok(Self { points, width, offsets, weights, norms, mass, parts })
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Points of item `k`.
    pub fn count(&self, k: usize) -> usize {
        self.offsets[k + 1] - self.offsets[k]
    }

    /// Numbers of the points of item `k`.
    pub fn range(&self, k: usize) -> Range<usize> {
        self.offsets[k]..self.offsets[k + 1]
    }

    pub fn item_points(&self, k: usize) -> &[f32] {
        &self.points[self.offsets[k] * self.width..self.offsets[k + 1] * self.width]
    }

    pub fn item_weights(&self, k: usize) -> &[f32] {
        &self.weights[self.offsets[k]..self.offsets[k + 1]]
    }

    pub fn item_norms(&self, k: usize) -> &[f32] {
        &self.norms[self.offsets[k]..self.offsets[k + 1]]
    }

    /// Least and largest coordinates of each item's points with mass, `(B, D)` each. NaN is passed over.
    pub fn boxes(&self) -> Vec<(Vec<f32>, Vec<f32>)> {
        let one = |k: usize| {
            let mut low = vec![f32::INFINITY; self.width];
            let mut high = vec![f32::NEG_INFINITY; self.width];
            let rows = self.item_points(k).chunks_exact(self.width).zip(self.item_weights(k));
            for (row, _) in rows.filter(|(_, w)| **w != 0.0) {
                grow(row, &mut low, &mut high);
            }
            (low, high)
        };
        (0..self.items()).into_par_iter().map(one).collect()
    }
}

/// The rows of all views in one piece, each made by `row(number, from, to)`; 0 at weights of 0.
fn laid(
    views: Vec<Cow<'_, [f32]>>,
    parts: &[usize],
    weights: &[f32],
    width: usize,
    row: impl Fn(usize, &[f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut out = vec![0.0; weights.len() * width];
    for (view, part) in views.into_iter().zip(parts.windows(2)) {
        let to = out[part[0] * width..part[1] * width].par_chunks_mut(width);
        to.zip(view.par_chunks(width)).enumerate().for_each(|(r, (to, from))| {
            if weights[part[0] + r] != 0.0 {
                row(part[0] + r, from, to);
            }
        });
    }
    out
}

/// Checked weights, or `1 / N` for every point of an item of `N`.
pub(crate) fn weights_of(
    name: &str,
    weights: Option<&[f32]>,
    offsets: &[usize],
) -> Result<Vec<f32>> {
    let count = offsets[offsets.len() - 1];
    let Some(weights) = weights else {
        let uniform = |pair: &[usize]| {
            let n = pair[1] - pair[0];
            std::iter::repeat_n((1.0 / n.max(1) as f64) as f32, n)
        };
        return Ok(offsets.windows(2).flat_map(uniform).collect());
    };
    if weights.len() != count {
        let detail = format!("{name} has {} weights, expected its {count} points", weights.len());
        return Err(KernelError::shape("sinkhorn", detail));
    }
    match weights.iter().position(|&w| w < 0.0 || w == f32::INFINITY) {
        None => Ok(weights.to_vec()),
        Some(k) => {
            let detail =
                format!("weight {k} of {name} is {}, expected finite and >= 0", weights[k]);
            Err(KernelError::value("sinkhorn", detail))
        }
    }
}

/// Sum of the weights of each item.
pub(super) fn masses(weights: &[f32], offsets: &[usize]) -> Vec<f64> {
    let sum = |pair: &[usize]| weights[pair[0]..pair[1]].iter().map(|&w| f64::from(w)).sum();
    offsets.windows(2).map(sum).collect()
}

/// Diagonal of the box around two boxes.
pub(super) fn diameter(x: &(Vec<f32>, Vec<f32>), y: &(Vec<f32>, Vec<f32>)) -> f64 {
    diagonal(&x.0, &x.1, &y.0, &y.1).sqrt()
}

simd_dispatch! {
    /// Half the squared norm of each point: lanes in f32 over 256 coordinates, then f64.
    fn half_squares(points: &[f32], width: usize, out: &mut [f32]) -> () {
        for (point, out) in points.chunks_exact(width).zip(out) {
            let mut sum = 0.0f64;
            for block in point.chunks(16 * LANES) {
                let mut lanes = [0f32; LANES];
                let (whole, rest) = block.as_chunks::<LANES>();
                for x in whole {
                    for l in 0..LANES {
                        lanes[l] = x[l].mul_add(x[l], lanes[l]);
                    }
                }
                for (lane, x) in lanes.iter_mut().zip(rest) {
                    *lane = x.mul_add(*x, *lane);
                }
                sum += lanes.iter().map(|&s| f64::from(s)).sum::<f64>();
            }
            *out = (sum / 2.0) as f32;
        }
    }

    fn grow(row: &[f32], low: &mut [f32], high: &mut [f32]) -> () {
        for ((&x, low), high) in row.iter().zip(low).zip(high) {
            *low = if x < *low { x } else { *low };
            *high = if x > *high { x } else { *high };
        }
    }

    fn diagonal(low_x: &[f32], high_x: &[f32], low_y: &[f32], high_y: &[f32]) -> f64 {
        let mut sums = [0f64; LANES];
        for (d, (lows, highs)) in low_x.iter().zip(low_y).zip(high_x.iter().zip(high_y)).enumerate() {
            let low = if lows.0 < lows.1 { lows.0 } else { lows.1 };
            let high = if highs.0 > highs.1 { highs.0 } else { highs.1 };
            let side = f64::from(*high) - f64::from(*low);
            sums[d % LANES] += side * side;
        }
        sums.iter().sum()
    }
}
