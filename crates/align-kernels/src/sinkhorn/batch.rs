//! All pairs of a batch: which there are, their costs, and where their gradients go.

use cpu_math::gemm::{MatRef, Onto, gemm_batched, gemm_onto};
use cpu_math::parallel::{SharedMut, map_tasks};
use rayon::prelude::*;

use super::cost::{
    add_product, add_scaled_rows, from_products, from_rows, products, set_scaled_rows,
};
use super::grid::Grid;
use super::inner_products::{Chunk, InnerProducts, chunks};
use super::lanes::{LANES, Lanes, flat, vectors, with_matrices};
use super::options::{Cost, GeomLoss, Mode, Options, Pairing};
use super::output::Output;
use super::pair::{self, PairResult, Pull, PullSums};
use super::point_grads::PointGrads;
use super::problem::Problem;
use super::side::{Side, diameter};
use super::solved::Solved;
use crate::error::Result;
use crate::reference::sinkhorn::eps_schedule;

/// A batch and what is asked of it.
pub(super) struct Batch<'a> {
    pub x: Side<'a>,
    pub y: Side<'a>,
    pub options: &'a Options,
    pub grid: Grid,
    /// Temperatures of each pair; one list for all where they agree, and none at one temperature.
    schedules: Vec<Vec<f64>>,
}

/// What is asked of the pairs.
#[derive(Clone, Copy)]
pub(super) enum Job<'j> {
    Values,
    /// Values, and gradients of their sum with these weights. Potentials are taken from `saved` if given.
    Gradients {
        upstream: &'j [f32],
        saved: Option<&'j Output>,
    },
    /// Gradients alone, for pairs of this batch that were solved.
    Pulls {
        upstream: &'j [f32],
        found: &'j [PairResult],
    },
}

impl Job<'_> {
    fn upstream(&self) -> Option<&[f32]> {
        match self {
            Self::Values => None,
            Self::Gradients { upstream, .. } | Self::Pulls { upstream, .. } => Some(upstream),
        }
    }
}

impl<'a> Batch<'a> {
    pub fn new(x: Side<'a>, y: Side<'a>, options: &'a Options) -> Result<Self> {
        let grid = options.pairing.grid(x.items(), y.items());
        let mut batch = Self { x, y, options, grid, schedules: Vec::new() };
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
        self.grid.pairs()
    }

    /// The items of pair `k`.
    pub fn items(&self, k: usize) -> (usize, usize) {
        self.grid.items(k)
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

    /// The chunks that products are made in.
    pub fn chunks(&self) -> Vec<Chunk> {
        chunks(&self.x, &self.y, self.grid)
    }

    /// Does a job for every pair, and adds to the gradients of the points where there are some. Results
    /// come out unless gradients alone are asked for.
    pub fn run(
        &self,
        job: Job<'_>,
        products: &mut InnerProducts,
        grads: Option<&mut PointGrads>,
    ) -> Vec<PairResult> {
        match self.options.pairing {
            Pairing::Paired => self.run_paired(job, grads),
            Pairing::AllPairs | Pairing::Blocks(_) => self.run_all(job, products, grads),
        }
    }

    fn run_paired(&self, job: Job<'_>, mut grads: Option<&mut PointGrads>) -> Vec<PairResult> {
        let d = self.x.width;
        let [grads_x, grads_y] = match &mut grads {
            Some(PointGrads { x, y }) => [x, y].map(|of| of.as_mut().map(|of| of.shared())),
            None => [None, None],
        };
        let results = map_tasks(self.pairs(), |k| {
            let (x, y) = (self.x.item_points(k), self.y.item_points(k));
            let (n, m) = (self.x.count(k), self.y.count(k));
            with_matrices(n * vectors(m), |cost, tile| {
                if self.has_mass(k) {
                    products(x, y, d, cost);
                    let norms = (self.x.item_norms(k), self.y.item_norms(k));
                    from_products(self.options.cost, norms, false, cost);
                }
                self.pair(k, job, cost, tile, |pull, g, rows, columns| {
                    if let Some(grads) = grads_x.as_ref().filter(|_| pull != Pull::Columns) {
                        // SAFETY: each item is in one pair, so its points are reached by one task.
                        let grad = unsafe { grads.rows(self.x.range(k)) };
                        self.add_diagonal(rows, x, grad);
                        add_product(-1.0, g, (n, m), false, y, d, grad);
                    }
                    if let Some(grads) = grads_y.as_ref().filter(|_| pull != Pull::Rows) {
                        // SAFETY: as above.
                        let grad = unsafe { grads.rows(self.y.range(k)) };
                        self.add_diagonal(columns, y, grad);
                        add_product(-1.0, g, (n, m), true, x, d, grad);
                    }
                })
            })
        });
        results.into_iter().filter_map(|(result, _)| result).collect()
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

    /// One block product for the costs of a chunk of items of `x` with all of `y` that they meet; each pair
    /// then works on its tile, and leaves `G` there for one block product a side.
    fn run_all(
        &self,
        job: Job<'_>,
        products: &mut InnerProducts,
        mut grads: Option<&mut PointGrads>,
    ) -> Vec<PairResult> {
        let d = self.x.width;
        let has_grads = job.upstream().is_some();
        // GeomLoss has a matrix of its own for either side.
        let sides = self.options.gradients;
        let is_annealed = matches!(self.options.mode, Mode::GeomLoss(_));
        let two = has_grads && is_annealed && sides.has_x() && sides.has_y();
        let mut results = Vec::with_capacity(self.pairs());
        for chunk in self.chunks() {
            let Chunk { x_rows, y_rows, items, others, .. } = chunk.clone();
            let (rows, total) = (x_rows.len(), y_rows.len());
            let x = &self.x.points[x_rows.start * d..x_rows.end * d];
            let y = &self.y.points[y_rows.start * d..y_rows.end * d];
            let (dots, second) = products.of(&chunk, two, |dots| {
                let (left, right) = (MatRef::new(x, (d, 1)), MatRef::new(y, (1, d)));
                gemm_batched((rows, total, d), &[left], &[right], dots);
            });
            let (block, other) = (SharedMut::new(dots), SharedMut::new(second));
            let found = map_tasks(items.len() * others.len(), |t| {
                let (i, j) = (items.start + t / others.len(), others.start + t % others.len());
                let k = self.grid.run_of_x(i).first + j - others.start;
                let (n, m) = (self.x.count(i), self.y.count(j));
                let start =
                    (self.x.offsets[i] - x_rows.start) * total + self.y.offsets[j] - y_rows.start;
                with_matrices(n * vectors(m), |cost, tile| {
                    let stride = vectors(m) * LANES;
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
                    if has_grads && !self.has_mass(k) {
                        tile.fill(Lanes::splat(0.0));
                        write(&block, tile);
                        if two {
                            write(&other, tile);
                        }
                    }
                    self.pair(k, job, cost, tile, |pull, g, _, _| {
                        write(if two && pull == Pull::Columns { &other } else { &block }, g);
                    })
                })
            });
            let (of_chunk, sums): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            results.extend(of_chunk.into_iter().flatten());
            let Some(grads) = grads.as_deref_mut() else { continue };
            let sums = self.chunk_sums(&chunk, &sums);
            if let Some(grads) = &mut grads.x {
                let pulls = MatRef::new(dots, (total, 1));
                let right = MatRef::new(y, (d, 1));
                // Without own problems the memory is fresh, and written before it is read.
                let (out, keep) = (grads.rows(x_rows), self.options.debias);
                self.add_block((rows, d, total), pulls, right, (&sums.0, x), keep, out);
            }
            if let Some(grads) = &mut grads.y {
                let pulls = MatRef::new(if two { second } else { dots }, (1, total));
                let right = MatRef::new(x, (d, 1));
                let is_first = items.start.is_multiple_of(self.grid.x);
                let (out, keep) = (grads.rows(y_rows), self.options.debias || !is_first);
                self.add_block((total, d, rows), pulls, right, (&sums.1, y), keep, out);
            }
        }
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
    fn chunk_sums(&self, chunk: &Chunk, sums: &[PullSums]) -> (Vec<f32>, Vec<f32>) {
        let mut columns = vec![0f64; chunk.y_rows.len()];
        let mut all_rows = Vec::new();
        for (t, i) in chunk.items.clone().enumerate() {
            let mut rows = vec![0f64; self.x.count(i)];
            let of_item = &sums[t * chunk.others.len()..];
            for (of_pair, j) in of_item.iter().zip(chunk.others.clone()) {
                rows.iter_mut().zip(&of_pair.rows).for_each(|(sum, &s)| *sum += f64::from(s));
                let columns = &mut columns[self.y.offsets[j] - chunk.y_rows.start..];
                columns.iter_mut().zip(&of_pair.columns).for_each(|(sum, &s)| *sum += f64::from(s));
            }
            all_rows.extend(rows.iter().map(|&s| s as f32));
        }
        (all_rows, columns.iter().map(|&s| s as f32).collect())
    }

    /// One pair, of which `cost` holds the costs and `tile` is work memory.
    fn pair(
        &self,
        k: usize,
        job: Job<'_>,
        cost: &[Lanes],
        tile: &mut [Lanes],
        pull: impl FnMut(Pull, &[Lanes], &[f32], &[f32]),
    ) -> (Option<PairResult>, PullSums) {
        let (i, j) = self.items(k);
        let (n, m) = (self.x.count(i), self.y.count(j));
        if !self.has_mass(k) {
            let result = match job {
                Job::Pulls { .. } => None,
                _ => Some(PairResult::empty(n, m, self.x.width, self.options)),
            };
            return (result, PullSums { rows: vec![0.0; n], columns: vec![0.0; m] });
        }
        let weights = (self.x.item_weights(i), self.y.item_weights(j));
        let problem = Problem::new(cost, weights.0, weights.1, self.options.rho());
        let points = (self.x.item_points(i), self.y.item_points(j), self.x.width);
        let (solved, weight) = match job {
            Job::Pulls { upstream, found } => {
                let solved = found[k].solved(&problem);
                if solved.before.is_none() {
                    problem.plan(&solved.at, solved.eps, tile);
                }
                return (
                    None,
                    pair::pulls(&problem, &solved, self.options, upstream[k], tile, pull),
                );
            }
            Job::Gradients { upstream, saved: Some(saved) } => {
                (restored(&problem, saved, k), Some(upstream[k]))
            }
            Job::Gradients { upstream, saved: None } => {
                let solved = pair::solve(&problem, self.options, self.schedule(k), tile);
                (solved, Some(upstream[k]))
            }
            Job::Values => (pair::solve(&problem, self.options, self.schedule(k), tile), None),
        };
        let (result, sums) =
            pair::finish(&problem, &solved, self.options, Some(points), weight, tile, pull);
        (Some(result), sums)
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
