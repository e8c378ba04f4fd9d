//! One problem in single precision: a padded cost tile, weights, and potentials.

use rayon::prelude::*;

use super::kernels::{self, PlanSums};
use super::lanes::{LANES, Lanes, flat, flat_mut, pack, vectors};
use super::log_domain;

/// Cost entries of one part of a large problem's rows. Parts run in parallel; their borders depend on
/// the shape alone.
const PART: usize = 1 << 20;

/// Vectors of one strip of a large problem's columns.
const STRIP: usize = 32;

/// Cost, weights and temperature-free facts of one pair.
pub(super) struct Problem<'a> {
    /// `(N, width)` vectors, row after row; padding is 0.
    pub cost: &'a [Lanes],
    /// Row weights, padded with 0.
    pub a: Vec<Lanes>,
    /// Column weights, padded with 0.
    pub b: Vec<Lanes>,
    pub n: usize,
    pub m: usize,
    /// Strength of the marginal penalties; infinite when balanced.
    pub rho: f64,
}

/// Row and column potentials as vectors: minus infinity at points without mass and in padding.
#[derive(Clone)]
pub(super) struct Potentials {
    pub f: Vec<Lanes>,
    pub g: Vec<Lanes>,
}

impl<'a> Problem<'a> {
    pub fn new(cost: &'a [Lanes], a: &[f32], b: &[f32], rho: Option<f64>) -> Self {
        let rho = rho.unwrap_or(f64::INFINITY);
        let (n, m) = (a.len(), b.len());
        Self { cost, a: pack(a, 0.0), b: pack(b, 0.0), n, m, rho }
    }

    /// Vectors in a row of the cost.
    pub fn width(&self) -> usize {
        self.b.len()
    }

    /// `rho / (rho + eps)`, or 1 when balanced.
    pub fn damping(&self, eps: f64) -> f64 {
        1.0 / (1.0 + eps / self.rho)
    }

    /// Rows of one part: all of them, unless the problem is large.
    pub fn part_rows(&self) -> usize {
        (PART / (self.width() * LANES).max(1)).next_multiple_of(LANES)
    }

    /// Potentials 0 where there is mass.
    pub fn zero_potentials(&self) -> Potentials {
        let zeros = |weights: &[Lanes]| {
            let mut h = vec![Lanes::splat(0.0); weights.len()];
            mask(&mut h, weights);
            h
        };
        Potentials { f: zeros(&self.a), g: zeros(&self.b) }
    }

    /// Potentials from plain values.
    pub fn potentials(&self, f: &[f32], g: &[f32]) -> Potentials {
        let (mut f, mut g) = (pack(f, 0.0), pack(g, 0.0));
        mask(&mut f, &self.a);
        mask(&mut g, &self.b);
        Potentials { f, g }
    }

    /// `f_i = -d eps ln sum_j b_j exp((g_j - C_ij) / eps)`.
    pub fn log_rows(&self, at: &mut Potentials, eps: f64) {
        let h = log_domain::terms(&at.g, &self.b, eps);
        let factor = (-eps * self.damping(eps)) as f32;
        let (width, rows) = (self.width(), self.part_rows());
        let part = |cost: &[Lanes], f: &mut [Lanes]| {
            log_domain::rows(cost, &h, (1.0 / eps) as f32, factor, f);
        };
        if self.n <= rows {
            part(self.cost, &mut at.f);
        } else {
            let costs = self.cost.par_chunks(rows * width);
            costs.zip(at.f.par_chunks_mut(rows / LANES)).for_each(|(cost, f)| part(cost, f));
        }
        mask(&mut at.f, &self.a);
    }

    /// `g_j = -d eps ln sum_i a_i exp((f_i - C_ij) / eps)`.
    pub fn log_columns(&self, at: &mut Potentials, eps: f64) {
        let h = log_domain::terms(&at.f, &self.a, eps);
        let factor = (-eps * self.damping(eps)) as f32;
        let width = self.width();
        let strip = |(k, g): (usize, &mut [Lanes])| {
            let cost = &self.cost[k * STRIP..];
            log_domain::columns(cost, width, &h, self.n, (1.0 / eps) as f32, factor, g);
        };
        if self.n <= self.part_rows() {
            strip((0, &mut at.g));
        } else {
            at.g.par_chunks_mut(STRIP).enumerate().for_each(strip);
        }
        mask(&mut at.g, &self.b);
    }

    /// Fills `kernel` with `exp((f_i + g_j - C_ij) / eps)` and returns its columns' sums weighted by `a`.
    pub fn absorb(&self, at: &Potentials, eps: f64, kernel: &mut [Lanes]) -> Vec<Lanes> {
        let inv_eps = (1.0 / eps) as f32;
        self.over_parts(kernel, |rows, kernel, columns| {
            let (cost, f, a) = (self.cost_rows(&rows), &at.f[vec_range(&rows)], &self.a);
            kernels::absorb(cost, f, &at.g, &a[vec_range(&rows)], inv_eps, kernel, columns);
        })
        .1
    }

    /// Fills `plan` with `a_i b_j exp((f_i + g_j - C_ij) / eps)` and returns its sums.
    pub fn plan(&self, at: &Potentials, eps: f64, plan: &mut [Lanes]) -> PlanSums {
        let inv_eps = (1.0 / eps) as f32;
        let (parts, columns) = self.over_parts(plan, |rows, plan, columns| {
            let (cost, f, a) = (self.cost_rows(&rows), &at.f[vec_range(&rows)], &self.a);
            let weights = (&a[vec_range(&rows)], &self.b[..]);
            kernels::plan(cost, f, &at.g, weights, inv_eps, plan, columns)
        });
        let entropy = parts.iter().map(|(_, e)| e).sum();
        let rows = parts.into_iter().flat_map(|(rows, _)| rows).collect();
        PlanSums { rows, columns: flat(&columns)[..self.m].to_vec(), entropy }
    }

    /// Sums of `exp((f_i + g_j - C_ij) / eps)` over columns weighted by `b`, and over rows weighted by
    /// `a`, without storing a matrix.
    pub fn joint_sums(&self, at: &Potentials, eps: f64) -> (Vec<Lanes>, Vec<Lanes>) {
        let inv_eps = (1.0 / eps) as f32;
        let (parts, columns) = self.over_parts(&mut [], |rows, _, columns| {
            let (cost, f, a) = (self.cost_rows(&rows), &at.f[vec_range(&rows)], &self.a);
            let weights = (&a[vec_range(&rows)], &self.b[..]);
            kernels::joint_sums(cost, f, &at.g, weights, inv_eps, columns)
        });
        (parts.concat(), columns)
    }

    fn cost_rows(&self, rows: &std::ops::Range<usize>) -> &'a [Lanes] {
        &self.cost[rows.start * self.width()..rows.end * self.width()]
    }

    /// Runs `work(rows, matrix rows, column sums)` on every part, and adds the column sums in order.
    /// `matrix` is `(N, width)` or empty.
    pub fn over_parts<R: Send>(
        &self,
        matrix: &mut [Lanes],
        work: impl Fn(std::ops::Range<usize>, &mut [Lanes], &mut [Lanes]) -> R + Sync,
    ) -> (Vec<R>, Vec<Lanes>) {
        self.over_parts_from(matrix, false, work)
    }

    /// As [`over_parts`](Self::over_parts), the last part first where `backwards` says so. The results
    /// do not depend on it.
    pub fn over_parts_from<R: Send>(
        &self,
        matrix: &mut [Lanes],
        backwards: bool,
        work: impl Fn(std::ops::Range<usize>, &mut [Lanes], &mut [Lanes]) -> R + Sync,
    ) -> (Vec<R>, Vec<Lanes>) {
        let (width, step) = (self.width(), self.part_rows());
        let mut columns = vec![Lanes::splat(0.0); width];
        if self.n <= step {
            let result = work(0..self.n, matrix, &mut columns);
            return (vec![result], columns);
        }
        let count = self.n.div_ceil(step);
        let mut pieces: Vec<&mut [Lanes]> = matrix.chunks_mut(step * width).collect();
        pieces.resize_with(count, Default::default);
        let run = |(k, piece): (usize, &mut [Lanes])| {
            let mut columns = vec![Lanes::splat(0.0); width];
            let result = work(k * step..self.n.min((k + 1) * step), piece, &mut columns);
            (result, columns)
        };
        let pieces = pieces.into_par_iter().enumerate();
        let parts: Vec<_> = if backwards {
            let mut parts: Vec<_> = pieces.rev().map(run).collect();
            parts.reverse();
            parts
        } else {
            pieces.map(run).collect()
        };
        let add = |(result, part): (R, Vec<Lanes>)| {
            flat_mut(&mut columns).iter_mut().zip(flat(&part)).for_each(|(sum, x)| *sum += x);
            result
        };
        let results = parts.into_iter().map(add).collect();
        (results, columns)
    }
}

/// Vectors that hold the rows of a part, whose start is a multiple of [`LANES`].
pub(super) fn vec_range(rows: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    rows.start / LANES..vectors(rows.end)
}

/// Minus infinity where the weight is 0.
pub(super) fn mask(h: &mut [Lanes], weights: &[Lanes]) {
    for (h, &w) in flat_mut(h).iter_mut().zip(flat(weights)) {
        if w == 0.0 {
            *h = f32::NEG_INFINITY;
        }
    }
}
