//! What a call returns.

use std::ops::Range;

use ndarray::Array2;

use super::grid::Grid;

/// Results of every pair, in the order of [`Pairing`](super::Pairing).
#[derive(Debug, Clone)]
pub struct Output {
    /// Transport value or divergence of each pair.
    pub value: Vec<f64>,
    /// Primal minus dual objective of each pair's plan, `<f, P 1 - a> + <g, P' 1 - b>` when balanced.
    pub gap: Vec<f64>,
    /// `sum_i |P 1 - a|_i + sum_j |P' 1 - b|_j`; unbalanced, against `a exp(-f / rho)` and
    /// `b exp(-g / rho)`.
    pub marginal_error: Vec<f64>,
    /// Iterations done; with the schedule of GeomLoss, its length.
    pub iterations: Vec<usize>,
    /// Potentials of the rows of each pair, packed; 0 at points without mass.
    pub f: Vec<f32>,
    /// Where each pair's `f` starts, and where the last one ends.
    pub f_offsets: Vec<usize>,
    /// Potentials of the columns of each pair, packed.
    pub g: Vec<f32>,
    /// As `f_offsets`.
    pub g_offsets: Vec<usize>,
    /// Plans `(N, M)` of each pair, row-major and packed; empty unless asked for.
    pub plan: Vec<f32>,
    /// Each point of `x` as a mean of `y`'s, `sum_j P_ij y_j / sum_j P_ij`: `(N, D)` a pair, packed as
    /// `f` is; empty unless asked for. Rows without mass are 0.
    pub projected_x: Vec<f32>,
    /// Each point of `y` as a mean of `x`'s, packed as `g` is.
    pub projected_y: Vec<f32>,
    pub(super) trace: Trace,
}

impl Output {
    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.value.len()
    }

    /// Row potentials of pair `k`.
    pub fn f_of(&self, k: usize) -> &[f32] {
        &self.f[self.f_offsets[k]..self.f_offsets[k + 1]]
    }

    /// Column potentials of pair `k`.
    pub fn g_of(&self, k: usize) -> &[f32] {
        &self.g[self.g_offsets[k]..self.g_offsets[k + 1]]
    }

    /// Plan of pair `k`, `(N, M)` row-major. Empty unless plans were asked for.
    pub fn plan_of(&self, k: usize) -> &[f32] {
        if self.plan.is_empty() {
            return &[];
        }
        let size = |k: usize| self.f_of(k).len() * self.g_of(k).len();
        let start: usize = (0..k).map(size).sum();
        &self.plan[start..start + size(k)]
    }
}

impl Output {
    /// The pairs of each block of a grid by themselves.
    pub(crate) fn split(&self, grid: Grid) -> Vec<Self> {
        let mut plan_end = 0;
        let mut block = |b: usize| {
            let pairs = b * grid.of_block()..(b + 1) * grid.of_block();
            let (x, y) = (b * grid.x..(b + 1) * grid.x, b * grid.y..(b + 1) * grid.y);
            let rows = self.f_offsets[pairs.start]..self.f_offsets[pairs.end];
            let columns = self.g_offsets[pairs.start]..self.g_offsets[pairs.end];
            let moved = |offsets: &[usize]| {
                let offsets = &offsets[pairs.start..=pairs.end];
                offsets.iter().map(|at| at - offsets[0]).collect()
            };
            let plan_start = plan_end;
            let size = |k: usize| self.f_of(k).len() * self.g_of(k).len();
            plan_end += if self.plan.is_empty() { 0 } else { pairs.clone().map(size).sum() };
            // Points of a width, packed as potentials are.
            let wide = |values: &[f32], potentials: usize, range: &Range<usize>| {
                let d = values.len() / potentials.max(1);
                values[range.start * d..range.end * d].to_vec()
            };
            let some = |values: &[f32], range: &Range<usize>| match values.is_empty() {
                true => Vec::new(),
                false => values[range.clone()].to_vec(),
            };
            let own = |all: &[Vec<OwnTrace>], items: Range<usize>| match all.is_empty() {
                true => Vec::new(),
                false => all[items].to_vec(),
            };
            let trace = Trace {
                eps: self.trace.eps[pairs.clone()].to_vec(),
                f_before: some(&self.trace.f_before, &rows),
                g_before: some(&self.trace.g_before, &columns),
                own: [own(&self.trace.own[0], x), own(&self.trace.own[1], y)],
            };
            Self {
                value: self.value[pairs.clone()].to_vec(),
                gap: self.gap[pairs.clone()].to_vec(),
                marginal_error: self.marginal_error[pairs.clone()].to_vec(),
                iterations: self.iterations[pairs.clone()].to_vec(),
                f: self.f[rows.clone()].to_vec(),
                f_offsets: moved(&self.f_offsets),
                g: self.g[columns.clone()].to_vec(),
                g_offsets: moved(&self.g_offsets),
                plan: self.plan[plan_start..plan_end].to_vec(),
                projected_x: wide(&self.projected_x, self.f.len(), &rows),
                projected_y: wide(&self.projected_y, self.g.len(), &columns),
                trace,
            }
        };
        (0..grid.blocks).map(&mut block).collect()
    }
}

#[cfg(feature = "cuda")]
impl Output {
    /// Potentials before the last update of GeomLoss.
    pub(crate) fn before(&self) -> Option<(&[f32], &[f32])> {
        let Trace { f_before, g_before, .. } = &self.trace;
        (!f_before.is_empty() || !g_before.is_empty()).then_some((f_before, g_before))
    }

    /// Own problems of the items of `x`, or of `y`.
    pub(crate) fn own(&self, side: usize) -> &[Vec<OwnTrace>] {
        &self.trace.own[side]
    }
}

/// Gradients of `sum_k upstream_k value_k`. Those of a side that
/// [`Options::gradients`](super::Options) leaves out are empty.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// By the points of `x`, `(N, D)`, packed as they are; `(0, D)` if left out.
    pub x: Array2<f32>,
    /// By the points of `y`, `(M, D)`.
    pub y: Array2<f32>,
    /// By the weights of `x`, `(N,)`: exactly 0 at weights of 0.
    pub a: Vec<f32>,
    /// By the weights of `y`, `(M,)`.
    pub b: Vec<f32>,
    /// By the temperature, potentials held: `KL(P | ab)`, and less those of each cloud with itself.
    pub eps: f64,
}

/// What [`Output::backward`] needs beyond the output.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    /// Last temperature of each pair.
    pub eps: Vec<f64>,
    /// Potentials before the last update, packed as `f` and `g`; empty for one temperature.
    pub f_before: Vec<f32>,
    pub g_before: Vec<f32>,
    /// Own problems of the items of `x` and of `y`.
    pub own: [Vec<Vec<OwnTrace>>; 2],
}

/// A solved problem of an item with itself.
#[derive(Debug, Clone)]
pub(crate) struct OwnTrace {
    pub eps: f64,
    pub f: Vec<f32>,
    pub f_before: Option<Vec<f32>>,
}
