//! The cases of `golden/sinkhorn/sinkhorn.json`, with their inputs generated as `make_sinkhorn.py`
//! does.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file that includes this uses its own part, and golden files are whole"
)]

use align_kernels::reference::sinkhorn::{PointCost, SolveOptions, cost_matrix};
use serde_json::Value;

/// A congruential generator (Knuth's MMIX constants) that gives its 20 top bits.
pub struct Generator {
    state: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.state >> 44
    }

    /// From -1 to 1, exact in f32.
    pub fn uniform(&mut self) -> f64 {
        self.bits() as f64 / f64::from(1 << 19) - 1.0
    }

    pub fn points(&mut self, count: usize, width: usize) -> Vec<f64> {
        (0..count * width).map(|_| self.uniform()).collect()
    }
}

/// Two weighted clouds. Coordinates are exact in f32, whole-numbered weights only before division.
#[derive(Debug, Clone)]
pub struct Clouds {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub width: usize,
}

impl Clouds {
    /// `kind` is `random`, `clustered` or `duplicates`, `weighting` `uniform`, `random` or `zeros`.
    pub fn new(
        kind: &str,
        weighting: &str,
        (n, m, width): (usize, usize, usize),
        seed: u64,
    ) -> Self {
        let mut make = Generator::new(seed);
        let (x, y) = if kind == "clustered" {
            let centres = make.points(3, width);
            let mut near = |i: usize| {
                let centre = &centres[i % 3 * width..(i % 3 + 1) * width];
                centre.iter().map(|c| c + make.uniform() / 16.0).collect::<Vec<f64>>()
            };
            let x = (0..n).flat_map(&mut near).collect();
            (x, (1..=m).flat_map(&mut near).collect())
        } else {
            let (mut x, mut y) = (make.points(n, width), make.points(m, width));
            if kind == "duplicates" {
                for i in (2..n).step_by(3) {
                    x.copy_within(0..width, i * width);
                }
                for j in (0..m).step_by(2) {
                    let from = j / 2 % n * width;
                    y[j * width..(j + 1) * width].copy_from_slice(&x[from..from + width]);
                }
            }
            (x, y)
        };
        let a = weights(weighting, n, &mut make);
        let b = weights(weighting, m, &mut make);
        Self { x, y, a, b, width }
    }
}

fn weights(kind: &str, count: usize, make: &mut Generator) -> Vec<f64> {
    if kind == "uniform" {
        return vec![1.0 / count as f64; count];
    }
    let mut whole: Vec<f64> = (0..count).map(|_| (1 + make.bits() % 16) as f64).collect();
    if kind == "zeros" {
        whole.iter_mut().skip(1).step_by(3).for_each(|w| *w = 0.0);
    }
    let sum: f64 = whole.iter().sum();
    whole.iter().map(|w| w / sum).collect()
}

/// One golden case.
pub struct Case(Value);

impl Case {
    /// All cases that `library` (`geomloss`, `pot` or `ott`) computed.
    pub fn of(library: &str) -> Vec<Self> {
        let text = include_str!("../golden/sinkhorn/sinkhorn.json");
        let Value::Array(cases) = serde_json::from_str(text).unwrap() else { panic!("no array") };
        let cases: Vec<Self> = cases.into_iter().map(Self).collect();
        cases.into_iter().filter(|case| case.text("library") == library).collect()
    }

    pub fn clouds(&self) -> Clouds {
        let shape = (self.whole("n"), self.whole("m"), self.whole("width"));
        Clouds::new(self.text("clouds"), self.text("weights"), shape, self.whole("seed") as u64)
    }

    pub fn cost(&self) -> PointCost {
        match self.text("cost") {
            "sqeuclidean" => PointCost::SqEuclidean,
            "euclidean" => PointCost::Euclidean,
            _ => PointCost::Cosine,
        }
    }

    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    pub fn whole(&self, key: &str) -> usize {
        self.0[key].as_u64().unwrap() as usize
    }

    pub fn number(&self, key: &str) -> f64 {
        self.0[key].as_f64().unwrap()
    }

    pub fn optional(&self, key: &str) -> Option<f64> {
        self.0[key].as_f64()
    }

    pub fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap()
    }

    /// The value the library found, where it is part of the case.
    pub fn value(&self) -> Option<f64> {
        self.0["expected"]["value"].as_f64()
    }

    /// Largest difference between `got` and the stored elements of `key`, with the largest of
    /// those; `None` where the case has no such array. Elements where `keep` is false are passed
    /// over.
    pub fn difference(
        &self,
        key: &str,
        got: &[f64],
        keep: impl Fn(usize) -> bool,
    ) -> Option<(f64, f64)> {
        let stored = self.0["expected"][key].as_array()?;
        let step = got.len().div_ceil(24).max(1);
        assert_eq!(stored.len(), got.len().div_ceil(step), "{self}: {key} is of another length");
        let pairs = stored.iter().map(|v| v.as_f64().unwrap()).zip(got.iter().step_by(step));
        let kept = pairs.enumerate().filter(|(k, _)| keep(k * step));
        Some(kept.fold((0.0, 0.0), |(worst, largest), (_, (want, &got))| {
            let error = if got.is_nan() { f64::INFINITY } else { (want - got).abs() };
            (f64::max(worst, error), f64::max(largest, want.abs()))
        }))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = self.0.clone();
        shown.as_object_mut().unwrap().remove("expected");
        write!(f, "{shown}")
    }
}

pub const COSTS: [PointCost; 3] = [PointCost::SqEuclidean, PointCost::Euclidean, PointCost::Cosine];

pub fn options(eps: f64) -> SolveOptions {
    SolveOptions { eps, max_iters: 400_000, tol: 1e-11, rho: None }
}

pub fn cost_of(kind: PointCost, c: &Clouds) -> Vec<f64> {
    cost_matrix(kind, &c.x, &c.y, c.width).unwrap()
}

#[track_caller]
pub fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (k, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "element {k}: {g}, expected {w}");
    }
}
