//! Reads `tests/golden/losses.safetensors`; `make_golden.py` beside it says what the fields are.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tensor_core::{DType, Device, Gradients, Philox, SafeTensors, Tensor, Var};

/// One case of one loss.
pub struct Case {
    file: SafeTensors,
    key: String,
    options: Value,
}

/// All cases of `loss`, by name.
pub fn cases(loss: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/losses.safetensors");
    let metadata: BTreeMap<String, String> =
        SafeTensors::open(&path).unwrap().metadata().into_iter().collect();
    let prefix = format!("{loss}.");
    let of_loss = metadata.into_iter().filter(|(key, _)| key.starts_with(&prefix));
    let cases: Vec<Case> = of_loss
        .map(|(key, options)| Case {
            file: SafeTensors::open(&path).unwrap(),
            key,
            options: serde_json::from_str(&options).unwrap(),
        })
        .collect();
    assert!(!cases.is_empty(), "no golden case of {loss}");
    cases
}

impl Case {
    /// An option that is a number; `None` for null.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.options[name].as_f64()
    }

    /// An option that is true or false; false when absent.
    pub fn flag(&self, name: &str) -> bool {
        self.options[name].as_bool().unwrap_or(false)
    }

    /// A field in f32.
    pub fn tensor(&self, field: &str) -> Tensor {
        self.stored(field).to_dtype(DType::F32).unwrap()
    }

    /// A field in f32 as a leaf of the graph.
    pub fn leaf(&self, field: &str) -> Var {
        Var::new(self.tensor(field))
    }

    /// A field of integers.
    pub fn integers(&self, field: &str) -> Vec<i64> {
        self.stored(field).to_dtype(DType::I64).unwrap().to_vec().unwrap()
    }

    /// The valid tokens of `mask`, row by row.
    pub fn tokens(&self) -> Tokens {
        let length = self.stored("mask").dim(1).unwrap();
        let mask = self.integers("mask");
        let positions: Vec<usize> = (0..mask.len()).filter(|&at| mask[at] != 0).collect();
        Tokens { clip_of: positions.iter().map(|at| at / length).collect(), positions }
    }

    /// Compares with a field, relative to the larger of its largest value and `scale`.
    #[track_caller]
    pub fn check(&self, field: &str, got: &Tensor, scale: f64) {
        // A few roundings of f32 in sums of up to some hundred terms.
        const TOLERANCE: f64 = 2e-6;
        let (got, want) = (got.to_vec_f64().unwrap(), self.stored(field).to_vec_f64().unwrap());
        assert_eq!(got.len(), want.len(), "{}.{field}", self.key);
        let largest = want.iter().fold(scale, |largest, value| largest.max(value.abs()));
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            let error = (got - want).abs();
            assert!(
                error <= TOLERANCE * largest,
                "{}.{field}[{at}]: got {got}, expected {want}, off by {error:.1e} on a scale of {largest}",
                self.key
            );
        }
    }

    /// Compares the gradient of a leaf; a leaf without one has a gradient of 0.
    #[track_caller]
    pub fn check_gradient(&self, field: &str, leaf: &Var, gradients: &Gradients, scale: f64) {
        let zeros = || Tensor::zeros(&leaf.shape(), DType::F32, Device::Cpu).unwrap();
        let gradient = gradients.get(leaf).cloned().unwrap_or_else(zeros);
        self.check(&format!("grad.{field}"), &gradient, scale);
    }

    fn stored(&self, field: &str) -> Tensor {
        self.file.tensor(&format!("{}.{field}", self.key)).unwrap()
    }
}

/// The valid tokens of a padded batch.
pub struct Tokens {
    /// Flat positions.
    pub positions: Vec<usize>,
    /// Clip of each.
    pub clip_of: Vec<usize>,
}

impl Tokens {
    /// Their rows of `(B, L, D)` states.
    pub fn pick(&self, states: &Tensor) -> Tensor {
        let index = self.positions.iter().map(|&at| at as i64).collect();
        let index = Tensor::from_vec(index, &[self.positions.len()], Device::Cpu).unwrap();
        states.flatten(0, 1).unwrap().index_select(0, &index).unwrap()
    }

    /// Index among the valid tokens of each flat position.
    pub fn rows_of(&self, positions: &[i64]) -> Vec<usize> {
        let row = |at: &i64| self.positions.binary_search(&(*at as usize)).unwrap();
        positions.iter().map(row).collect()
    }
}

/// The leaves of a case, with the linear maps of both sides.
pub struct Leaves {
    named: Vec<(&'static str, Var)>,
}

impl Leaves {
    pub fn new(case: &Case, inputs: &[&'static str]) -> Self {
        let maps = ["teacher.weight", "teacher.bias", "student.weight", "student.bias"];
        let named = inputs.iter().chain(&maps).map(|&name| (name, case.leaf(name))).collect();
        Self { named }
    }

    pub fn get(&self, name: &str) -> Tensor {
        self.named.iter().find(|(known, _)| *known == name).unwrap().1.tensor()
    }

    /// Normalised image of `x` under the map of a side.
    pub fn embed(&self, side: &str, x: &Tensor) -> Tensor {
        let (weight, bias) =
            (self.get(&format!("{side}.weight")), self.get(&format!("{side}.bias")));
        unit(&x.linear(&weight, Some(&bias)).unwrap())
    }

    pub fn check(&self, case: &Case, gradients: &Gradients) {
        for (name, leaf) in &self.named {
            case.check_gradient(name, leaf, gradients, 0.0);
        }
    }
}

/// Rows divided by their norm.
pub fn unit(x: &Tensor) -> Tensor {
    x.l2_normalize(-1, 1e-12).unwrap()
}

/// Standard normal values.
pub fn noise(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Philox::new(seed, 0), DType::F32, Device::Cpu).unwrap()
}

#[track_caller]
pub fn assert_near(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "got {got}, expected {expected}");
}
