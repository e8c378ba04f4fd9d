//! All pairs of a batch: which there are, their costs, and where their gradients go.

use cpu_math::gemm::{MatRef, Onto, gemm_batched, gemm_onto};
use cpu_math::parallel::{SharedMut, map_tasks};
use rayon::prelude::*;

use super::cost::{
    add_product, add_scaled_rows, from_products, from_rows, products, set_scaled_rows,
};
use super::lanes::{LANES, Lanes, flat, keep_products, take_products, vectors, with_matrices};
use super::options::{Cost, GeomLoss, Mode, Options, Pairing};
use super::output::Output;
use super::pair::{self, PairResult, Pull};
use super::problem::Problem;
use super::side::{Side, diameter};
use super::solved::Solved;
use crate::error::Result;
use crate::reference::sinkhorn::eps_schedule;

/// Inner products of one chunk of all-pairs: 64 MiB.
const CHUNK: usize = 1 << 24;

/// A batch and what is asked of it.
pub(super) struct Batch<'a> {
    pub x: Side<'a>,
    pub y: Side<'a>,
    pub options: &'a Options,
    /// Temperatures of each pair; one list for all where they agree, and none at one temperature.
    schedules: Vec<Vec<f64>>,
}

/// Gradients by the prepared points, while they are summed.
pub(super) struct PointGrads {
    pub x: Vec<f32>,
    pub y: Vec<f32>,
}

impl<'a> Batch<'a> {
    pub fn new(x: Side<'a>, y: Side<'a>, options: &'a Options) -> Result<Self> {
        let mut batch = Self { x, y, options, schedules: Vec::new() };
        if let Mode::GeomLoss(geomloss) = options.mode {
            let power = options.cost.power();
            let from = |d: f64| eps_schedule(power, d, geomloss.blur, geomloss.scaling);
            batch.schedules = match geomloss.diameter {
                Some(diameter) => vec![from(diameter)?],
                None => {
                    let (x, y) = (batch.x.boxes(), batch.y.boxes());
                    let one = |k: usize| {
                        let (i, j) = batch.items(k);
                        from(diameter(&x[i], &y[j]))
                    };
                    (0..batch.pairs()).into_par_iter().map(one).collect::<Result<_>>()?
                }
            };
        }
        Ok(batch)
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.options.pairing.pairs(self.x.items(), self.y.items())
    }

    /// The items of pair `k`.
    pub fn items(&self, k: usize) -> (usize, usize) {
        self.options.pairing.items(k, self.y.items())
    }

    /// Whether both sides of a pair have mass (or NaN).
    pub fn has_mass(&self, k: usize) -> bool {
        let (i, j) = self.items(k);
        self.x.mass[i] != 0.0 && self.y.mass[j] != 0.0
    }

    /// Whether each pair has a schedule of its own.
    pub fn has_own_schedules(&self) -> bool {
        matches!(self.options.mode, Mode::GeomLoss(GeomLoss { diameter: None, .. }))
    }

    pub fn schedule(&self, k: usize) -> &[f64] {
        match self.schedules.len() {
            0 => &[],
            1 => &self.schedules[0],
            _ => &self.schedules[k],
        }
    }

    /// Solves every pair, or takes the potentials from `saved`, and adds to the gradients of the points
    /// where `upstream` weights are given.
    pub fn run(
        &self,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
        grads: Option<&mut PointGrads>,
    ) -> Vec<PairResult> {
        match self.options.pairing {
            Pairing::Paired => self.run_paired(upstream, saved, grads),
            Pairing::AllPairs => self.run_all(upstream, saved, grads),
        }
    }

    fn run_paired(
        &self,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
        grads: Option<&mut PointGrads>,
    ) -> Vec<PairResult> {
        let d = self.x.width;
        let grads = grads.map(|g| (SharedMut::new(&mut g.x), SharedMut::new(&mut g.y)));
        map_tasks(self.pairs(), |k| {
            let (x, y) = (self.x.item_points(k), self.y.item_points(k));
            let (n, m) = (self.x.count(k), self.y.count(k));
            with_matrices(n * vectors(m), |cost, tile| {
                if self.has_mass(k) {
                    products(x, y, d, cost);
                    let norms = (self.x.item_norms(k), self.y.item_norms(k));
                    from_products(self.options.cost, norms, false, cost);
                }
                self.pair(k, upstream, saved, cost, tile, |pull, g, rows, columns| {
                    let Some((grad_x, grad_y)) = &grads else { return };
                    // SAFETY: each item is in one pair, so its rows are reached by one task.
                    let (grad_x, grad_y) = unsafe {
                        let x_at = grad_x.pointer(self.x.offsets[k] * d);
                        let y_at = grad_y.pointer(self.y.offsets[k] * d);
                        (
                            std::slice::from_raw_parts_mut(x_at, n * d),
                            std::slice::from_raw_parts_mut(y_at, m * d),
                        )
                    };
                    if pull != Pull::Columns {
                        self.add_diagonal(rows, x, grad_x);
                        add_product(-1.0, g, (n, m), false, y, d, grad_x);
                    }
                    if pull != Pull::Rows {
                        self.add_diagonal(columns, y, grad_y);
                        add_product(-1.0, g, (n, m), true, x, d, grad_y);
                    }
                })
            })
        })
    }

    /// Begins the gradient of a pair's points, on top of those of own problems.
    fn add_diagonal(&self, sums: &[f32], points: &[f32], grad: &mut [f32]) {
        match self.options.cost {
            Cost::Cosine => {}
            _ if self.options.debias => add_scaled_rows(sums, points, self.x.width, grad),
            // Fresh memory is written before it is read: each of its pages then takes one fault.
            _ => set_scaled_rows(sums, points, self.x.width, grad),
        }
    }

    /// One block product for the costs of a chunk of items of `x` with all of `y`; each pair then works on
    /// its tile, and leaves `G` there for one block product a side.
    fn run_all(
        &self,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
        mut grads: Option<&mut PointGrads>,
    ) -> Vec<PairResult> {
        let (d, total) = (self.x.width, self.y.norms.len());
        let items_y = self.y.items();
        let two = upstream.is_some() && matches!(self.options.mode, Mode::GeomLoss(_));
        let mut results = Vec::with_capacity(self.pairs());
        let [mut dots, mut second] = take_products();
        for items in self.chunks() {
            let (from, to) = (self.x.offsets[items.start], self.x.offsets[items.end]);
            let rows = to - from;
            let x = &self.x.points[from * d..to * d];
            dots.resize(rows * total, 0.0);
            if two {
                second.resize(rows * total, 0.0);
            }
            let (left, right) = (MatRef::new(x, (d, 1)), MatRef::new(&self.y.points, (1, d)));
            gemm_batched((rows, total, d), &[left], &[right], &mut dots);
            let (block, other) = (SharedMut::new(&mut dots), SharedMut::new(&mut second));
            results.extend(map_tasks(items.len() * items_y, |t| {
                let (i, j) = (items.start + t / items_y, t % items_y);
                let (n, m) = (self.x.count(i), self.y.count(j));
                let start = (self.x.offsets[i] - from) * total + self.y.offsets[j];
                with_matrices(n * vectors(m), |cost, tile| {
                    let stride = vectors(m) * LANES;
                    let k = i * items_y + j;
                    let row = |r: usize| {
                        // SAFETY: inside the chunk's products; only this task reaches the tile.
                        unsafe { std::slice::from_raw_parts(block.pointer(start + r * total), m) }
                    };
                    if self.has_mass(k) {
                        let norms = (self.x.item_norms(i), self.y.item_norms(j));
                        from_rows(self.options.cost, norms, row, cost);
                    }
                    let write = |to: &SharedMut<'_, f32>, g: &[Lanes]| {
                        let rows = flat(g).chunks_exact(stride.max(1)).take(n);
                        for (r, row) in rows.enumerate() {
                            // SAFETY: as above.
                            unsafe { to.write(start + r * total, &row[..m]) };
                        }
                    };
                    if upstream.is_some() && !self.has_mass(k) {
                        tile.fill(Lanes::splat(0.0));
                        write(&block, tile);
                        if two {
                            write(&other, tile);
                        }
                    }
                    self.pair(k, upstream, saved, cost, tile, |pull, g, _, _| {
                        write(if pull == Pull::Columns { &other } else { &block }, g);
                    })
                })
            }));
            let Some(grads) = grads.as_deref_mut() else { continue };
            let sums = self.chunk_sums(&results[items.start * items_y..]);
            let pulls = MatRef::new(&dots, (total, 1));
            let right = MatRef::new(&self.y.points, (d, 1));
            // Without own problems the memory is fresh, and written before it is read.
            let (out, keep) = (&mut grads.x[from * d..to * d], self.options.debias);
            self.add_block((rows, d, total), pulls, right, (&sums.0, x), keep, out);
            let pulls = MatRef::new(if two { &second } else { &dots }, (1, total));
            let right = MatRef::new(x, (d, 1));
            let own = (&sums.1[..], &self.y.points[..]);
            let keep = self.options.debias || items.start > 0;
            self.add_block((total, d, rows), pulls, right, own, keep, &mut grads.y);
        }
        keep_products([dots, second]);
        results
    }

    /// `out = diag(sums) points - G other`, and what `out` held where `keep` says so.
    fn add_block(
        &self,
        extents: (usize, usize, usize),
        g: MatRef<'_, f32>,
        other: MatRef<'_, f32>,
        diagonal: (&[f32], &[f32]),
        keep: bool,
        out: &mut [f32],
    ) {
        let rows = (self.options.cost != Cost::Cosine).then_some(diagonal);
        gemm_onto(extents, -1.0, g, other, Onto { keep, rows }, out);
    }

    /// Row and column sums of a chunk's block of `G`, from those of its pairs.
    fn chunk_sums(&self, results: &[PairResult]) -> (Vec<f32>, Vec<f32>) {
        let mut columns = vec![0f64; self.y.norms.len()];
        let mut all_rows = Vec::new();
        for of_item in results.chunks(self.y.items().max(1)) {
            let mut rows = vec![0f64; of_item[0].pull_sums.0.len()];
            for (j, result) in of_item.iter().enumerate() {
                let (row_sums, column_sums) = &result.pull_sums;
                rows.iter_mut().zip(row_sums).for_each(|(sum, &s)| *sum += f64::from(s));
                let columns = &mut columns[self.y.offsets[j]..];
                columns.iter_mut().zip(column_sums).for_each(|(sum, &s)| *sum += f64::from(s));
            }
            all_rows.extend(rows.iter().map(|&s| s as f32));
        }
        (all_rows, columns.iter().map(|&s| s as f32).collect())
    }

    /// Runs of items of `x` whose products with all of `y` fit in a chunk; at least one item each.
    fn chunks(&self) -> Vec<std::ops::Range<usize>> {
        let most = CHUNK / self.y.norms.len().max(1);
        let (mut out, mut start) = (Vec::new(), 0);
        while start < self.x.items() {
            let mut end = start + 1;
            while end < self.x.items() && self.x.offsets[end + 1] - self.x.offsets[start] <= most {
                end += 1;
            }
            out.push(start..end);
            start = end;
        }
        out
    }

    /// One pair, of which `cost` holds the costs and `tile` is work memory.
    fn pair(
        &self,
        k: usize,
        upstream: Option<&[f32]>,
        saved: Option<&Output>,
        cost: &[Lanes],
        tile: &mut [Lanes],
        pull: impl FnMut(Pull, &[Lanes], &[f32], &[f32]),
    ) -> PairResult {
        let (i, j) = self.items(k);
        let (n, m) = (self.x.count(i), self.y.count(j));
        if !self.has_mass(k) {
            return PairResult::empty(n, m, self.x.width, self.options);
        }
        let weights = (self.x.item_weights(i), self.y.item_weights(j));
        let problem = Problem::new(cost, weights.0, weights.1, self.options.rho());
        let solved = match saved {
            Some(saved) => restored(&problem, saved, k),
            None => pair::solve(&problem, self.options, self.schedule(k), tile),
        };
        let points = (self.x.item_points(i), self.y.item_points(j), self.x.width);
        let upstream = upstream.map(|upstream| upstream[k]);
        pair::finish(&problem, &solved, self.options, Some(points), upstream, tile, pull)
    }
}

fn restored(problem: &Problem<'_>, saved: &Output, k: usize) -> Solved {
    let trace = &saved.trace;
    let (rows, columns) =
        (saved.f_offsets[k]..saved.f_offsets[k + 1], saved.g_offsets[k]..saved.g_offsets[k + 1]);
    let before = (trace.f_before.len() == saved.f.len() && !trace.g_before.is_empty()).then(|| {
        problem.potentials(&trace.f_before[rows.clone()], &trace.g_before[columns.clone()])
    });
    let at = problem.potentials(&saved.f[rows], &saved.g[columns]);
    Solved { at, before, eps: trace.eps[k], iterations: saved.iterations[k] }
}
