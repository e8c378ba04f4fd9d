//! Values, potentials, plans and marginal errors against the twin, a plain loop and the host.

use align_kernels::pairwise_cost::{Cost, Pairing};
use align_kernels::reference::sinkhorn as twin;
use align_kernels::sinkhorn::{Acceleration, Fixed, Mode, Options, Output, Weights, sinkhorn};
use gpu_runtime::Stream;

use crate::batch::{Cloud, Form, wide};
use crate::device::stream;
use crate::plain::{self, Errors};

/// A batch and what is asked of it.
#[derive(Clone)]
pub struct Case {
    pub x: Cloud,
    pub y: Cloud,
    pub form: Form,
    pub options: Options,
}

pub fn fixed(eps: f64, max_iters: usize, tol: f64) -> Options {
    let fixed = Fixed { eps, max_iters, tol, acceleration: Acceleration::Plain };
    Options { mode: Mode::Fixed(fixed), ..Options::default() }
}

impl Case {
    pub fn new(lengths: [&[usize]; 2], width: usize, form: Form, options: Options) -> Self {
        let [x, y] = lengths;
        let (x, y) = (Cloud::new(x, width, 3), Cloud::new(y, width, 4));
        Self { x: x.rounded(form), y: y.rounded(form), form, options }
    }

    pub fn with_holes(mut self) -> Self {
        (self.x, self.y) = (self.x.with_holes(), self.y.with_holes());
        self
    }

    pub fn weights(&self) -> Weights<'_> {
        Weights { a: Some(&self.x.weights), b: Some(&self.y.weights) }
    }

    pub fn on_device(&self, stream: &Stream) -> Output {
        let (x, y) = (self.x.send(stream, self.form), self.y.send(stream, self.form));
        sinkhorn(&x.ragged(), &y.ragged(), self.weights(), &self.options).unwrap()
    }

    pub fn on_host(&self) -> Output {
        sinkhorn(&self.x.host(), &self.y.host(), self.weights(), &self.options).unwrap()
    }

    /// Blocks, and items of `x` and of `y` in each.
    fn blocks(&self) -> [usize; 3] {
        let blocks = match self.options.pairing {
            Pairing::Paired => self.x.items(),
            Pairing::AllPairs => 1,
            Pairing::Blocks(blocks) => blocks,
        };
        [blocks, self.x.items() / blocks.max(1), self.y.items() / blocks.max(1)]
    }

    pub fn pairs(&self) -> usize {
        self.blocks().iter().product()
    }

    pub fn items(&self, k: usize) -> (usize, usize) {
        let [_, x, y] = self.blocks();
        let (block, k) = (k / (x * y), k % (x * y));
        (block * x + k / y, block * y + k % y)
    }

    pub fn fixed(&self) -> Fixed {
        let Mode::Fixed(fixed) = self.options.mode else { panic!("no other mode is tested") };
        fixed
    }

    /// Costs of a pair in f64, and what the twin makes of them.
    pub fn twin(&self, k: usize) -> (Vec<f64>, twin::Solution) {
        let ((i, j), fixed) = (self.items(k), self.fixed());
        let kind = match self.options.cost {
            Cost::SqEuclidean => twin::PointCost::SqEuclidean,
            Cost::Euclidean => twin::PointCost::Euclidean,
            Cost::Cosine => twin::PointCost::Cosine,
        };
        let (x, y) = (wide(self.x.item(i)), wide(self.y.item(j)));
        let cost = twin::cost_matrix(kind, &x, &y, self.x.width()).unwrap();
        let solution =
            twin::solve(&cost, &self.a(k), &self.b(k), self.twin_options(fixed)).unwrap();
        (cost, solution)
    }

    pub fn twin_options(&self, fixed: Fixed) -> twin::SolveOptions {
        let Fixed { eps, max_iters, tol, .. } = fixed;
        let rho = self.options.reach.map(|reach| reach.powi(self.options.cost.power()));
        twin::SolveOptions { eps, max_iters, tol, rho }
    }

    pub fn a(&self, k: usize) -> Vec<f64> {
        wide(self.x.item_weights(self.items(k).0))
    }

    pub fn b(&self, k: usize) -> Vec<f64> {
        wide(self.y.item_weights(self.items(k).1))
    }

    /// The plain loop of a pair: potentials, plan and balanced value.
    pub fn plain(&self, k: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>, f32) {
        let ((i, j), fixed) = (self.items(k), self.fixed());
        let cost = plain::costs(self.x.item(i), self.y.item(j), self.options.cost);
        let rho = self.twin_options(fixed).rho.unwrap_or(f64::INFINITY);
        let problem = plain::Problem {
            cost: &cost,
            a: self.x.item_weights(i),
            b: self.y.item_weights(j),
            eps: fixed.eps as f32,
            damping: (1.0 / (1.0 + fixed.eps / rho)) as f32,
        };
        let is_empty = |w: &[f32]| w.iter().all(|&w| w == 0.0);
        if is_empty(problem.a) || is_empty(problem.b) {
            let none = (problem.a.len(), problem.b.len());
            return (vec![0.0; none.0], vec![0.0; none.1], vec![0.0; none.0 * none.1], 0.0);
        }
        let (f, g) = problem.solve(fixed.max_iters);
        let plan = problem.plan(&f, &g);
        let value = problem.value(&f, &g, &plan);
        (f, g, plan, value)
    }
}

/// Lengths of items, paired one by one.
const X: [usize; 7] = [0, 1, 2, 31, 65, 33, 64];
const Y: [usize; 7] = [5, 1, 130, 32, 33, 0, 2];

fn cases() -> Vec<(&'static str, Case)> {
    let paired = |width, form, options| Case::new([&X, &Y], width, form, options).with_holes();
    let all = |options| Options { pairing: Pairing::AllPairs, ..options };
    let small: [&[usize]; 2] = [&[3, 0, 33], &[1, 32, 6, 17]];
    let cost = |cost, options| Options { cost, ..options };
    let reach = |options| Options { reach: Some(0.6), ..options };
    vec![
        ("plain", paired(17, Form::Tight, fixed(0.05, 12, 0.0))),
        ("width 1", paired(1, Form::Gaps, fixed(0.1, 6, 0.0))),
        ("cosine", paired(8, Form::Gaps, cost(Cost::Cosine, fixed(0.1, 8, 0.0)))),
        ("euclidean", paired(64, Form::Tight, cost(Cost::Euclidean, fixed(0.1, 8, 0.0)))),
        ("half", paired(129, Form::Half, fixed(0.05, 6, 0.0))),
        ("odd half", paired(3, Form::OddHalf, fixed(0.05, 6, 0.0))),
        ("reach", paired(17, Form::Gaps, reach(fixed(0.1, 10, 0.0)))),
        (
            "euclidean reach",
            paired(3, Form::Gaps, reach(cost(Cost::Euclidean, fixed(0.2, 6, 0.0)))),
        ),
        ("all pairs", Case::new(small, 8, Form::Half, all(fixed(0.05, 10, 0.0))).with_holes()),
        ("all pairs, reach", Case::new(small, 17, Form::Tight, all(reach(fixed(0.05, 8, 0.0))))),
        ("cold", Case::new(small, 17, Form::Tight, all(fixed(1e-3, 20, 0.0))).with_holes()),
        ("hot", Case::new(small, 17, Form::Tight, all(fixed(1e3, 3, 0.0))).with_holes()),
        ("no iteration", Case::new(small, 3, Form::Tight, all(fixed(0.5, 0, 0.0)))),
    ]
}

#[test]
fn results_are_within_twice_the_error_of_a_plain_loop() {
    let Some(stream) = stream() else { return };
    for (name, mut case) in cases() {
        let without = case.on_device(&stream);
        case.options.plan = true;
        let got = case.on_device(&stream);
        assert_eq!((&got.f, &got.g), (&without.f, &without.g), "{name}");
        let [mut potentials, mut plans, mut values] = [(); 3].map(|()| Errors::default());
        for k in 0..case.pairs() {
            let (at, (_, want)) = (format!("{name}, pair {k}"), case.twin(k));
            let (f, g, plan, value) = case.plain(k);
            let (mut ours, mut plains) = ([got.f_of(k).to_vec(), got.g_of(k).to_vec()], [f, g]);
            if case.options.reach.is_none() {
                let weights = [&case.a(k)[..], &case.b(k)];
                align(&mut ours, &want, weights);
                align(&mut plains, &want, weights);
            }
            potentials.add_all(&ours[0], &plains[0], &want.f);
            potentials.add_all(&ours[1], &plains[1], &want.g);
            plans.add_all(got.plan_of(k), &plan, &want.plan);
            if case.options.reach.is_none() {
                values.add(got.value[k], f64::from(value), want.value);
            }
            // Rounding of a potential moves a sum by its part over eps, and the value by eps times that
            // of a sum.
            let rounding = want.f.iter().chain(&want.g).fold(1.0f64, |most, h| most.max(h.abs()));
            let eps = case.fixed().eps;
            let bound = 1e-6 * (1.0 + rounding / eps + eps);
            // Whether an error of 0 is met exactly depends on rounding.
            let (iterations, error) = (got.iterations[k], got.marginal_error[k]);
            assert!(iterations == want.iterations || error <= bound, "{at}: {iterations} {error}");
            for got in [&got, &without] {
                let close = |got: f64, want: f64| {
                    assert!((got - want).abs() <= bound * (1.0 + want.abs()), "{at}: {got} {want}");
                };
                close(got.marginal_error[k], want.marginal_error);
                close(got.value[k], want.value);
                close(got.gap[k], want.gap());
            }
        }
        // A logarithm of a sum in units of eps, off by what `ex2` and `lg2` may be.
        let spare = case.fixed().eps * (-21f64).exp2();
        potentials.check(2.0, spare, &format!("{name}, potentials"));
        plans.check(2.0, 0.0, &format!("{name}, plans"));
        values.check(2.0, 0.0, &format!("{name}, values"));
    }
}

/// Balanced potentials are unique but for a constant that moves from `f` to `g`. Errors of one sign take
/// it along, and it changes nothing else, so it is taken out.
pub fn align([f, g]: &mut [Vec<f32>; 2], want: &twin::Solution, [a, b]: [&[f64]; 2]) {
    let lead = |h: &[f32], want: &[f64], weights: &[f64]| -> f64 {
        let off = h.iter().zip(want).map(|(h, want)| f64::from(*h) - want);
        off.zip(weights).map(|(off, w)| off * w).sum()
    };
    let shift = (lead(f, &want.f, a) - lead(g, &want.g, b)) / 2.0;
    let moved = |h: &mut [f32], weights: &[f64], by: f64| {
        for (h, _) in h.iter_mut().zip(weights).filter(|(_, w)| **w != 0.0) {
            *h = (f64::from(*h) - by) as f32;
        }
    };
    moved(f, a, shift);
    moved(g, b, -shift);
}

#[test]
fn solutions_are_those_of_the_host() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[31, 1, 65], &[33, 4, 64]];
    for reach in [None, Some(0.8)] {
        let options = Options { reach, plan: true, ..fixed(0.1, 300, 1e-5) };
        let mut case = Case::new(lengths, 17, Form::Tight, options).with_holes();
        let got = case.on_device(&stream);
        for k in 0..3 {
            let (_, want) = case.twin(k);
            let iterations = want.iterations as isize;
            // Rounding may tip the last test of convergence.
            assert!((got.iterations[k] as isize - iterations).abs() <= 1, "pair {k}: {iterations}");
            assert!(got.iterations[k] < 300 && got.marginal_error[k] < 2e-5, "pair {k}");
        }
        // However the host gets there.
        for acceleration in [Acceleration::Plain, Acceleration::OverRelaxation] {
            case.options.mode = Mode::Fixed(Fixed { acceleration, ..case.fixed() });
            let host = case.on_host();
            let again = case.on_device(&stream);
            for k in 0..3 {
                assert!((got.value[k] - again.value[k]).abs() < 2e-6, "pair {k}: a hint");
                assert!((got.value[k] - host.value[k]).abs() < 2e-6, "pair {k}");
                for (got, host) in got.plan_of(k).iter().zip(host.plan_of(k)) {
                    assert!((got - host).abs() < 2e-5, "pair {k}: {got} {host}");
                }
            }
        }
    }
}

#[test]
fn pairs_stop_one_by_one() {
    let Some(stream) = stream() else { return };
    // One point against one is done at once; the others go on past the host's first look.
    let lengths: [&[usize]; 2] = [&[1, 33, 9], &[1, 31, 12]];
    let case = Case::new(lengths, 8, Form::Tight, fixed(0.03, 25, 1e-3));
    let got = case.on_device(&stream);
    for k in 0..3 {
        let alone = Case {
            x: Cloud { points: case.x.item(k).to_owned(), ..only(&case.x, k) },
            y: Cloud { points: case.y.item(k).to_owned(), ..only(&case.y, k) },
            ..case.clone()
        };
        let want = alone.on_device(&stream);
        assert_eq!((got.f_of(k), got.g_of(k)), (&want.f[..], &want.g[..]), "pair {k}");
        assert_eq!(got.iterations[k], want.iterations[0], "pair {k}");
        assert_eq!(got.value[k].to_bits(), want.value[0].to_bits(), "pair {k}");
    }
    assert_eq!(got.iterations[0], 1);
    assert!(got.iterations[1] > 1);
}

pub fn only(cloud: &Cloud, k: usize) -> Cloud {
    let weights = cloud.item_weights(k).to_vec();
    Cloud { points: cloud.points.clone(), offsets: vec![0, weights.len()], weights }
}
