//! Every operator of `tests/golden/ops.safetensors` against PyTorch in f64, forward and backward.

#![expect(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::BTreeMap;

use serde_json::Value;
use tensor_core::{
    AdamW, AdamWOptions, AttentionOptions, Conv1dOptions, CrossEntropyOptions, DType, Gradients,
    SafeTensors, Tensor, Var, attention, cross_entropy, ctc_loss,
};

/// One case: its tensors by field, its options, and a leaf for every input with a gradient.
struct Case<'a> {
    file: &'a SafeTensors,
    key: &'a str,
    options: Value,
}

impl Case<'_> {
    fn has(&self, field: &str) -> bool {
        self.file.shape(&format!("{}.{field}", self.key)).is_some()
    }

    fn tensor(&self, field: &str) -> Tensor {
        self.file.tensor(&format!("{}.{field}", self.key)).unwrap()
    }

    fn maybe(&self, field: &str) -> Option<Tensor> {
        self.has(field).then(|| self.tensor(field))
    }

    fn number(&self, option: &str) -> f64 {
        self.options[option].as_f64().unwrap()
    }

    fn count(&self, option: &str) -> usize {
        self.options[option].as_u64().unwrap() as usize
    }

    fn ids(&self, field: &str) -> Vec<i64> {
        self.tensor(field).to_vec::<i64>().unwrap()
    }

    /// Errors are relative to the largest golden value, or to 1 where all are small.
    #[track_caller]
    fn close(&self, field: &str, got: &Tensor, bound: f64) {
        let want = self.tensor(field);
        assert_eq!(got.shape(), want.shape(), "{} {field}", self.key);
        let (got, want) = (got.to_vec_f64().unwrap(), want.to_vec_f64().unwrap());
        let finite = want.iter().filter(|v| v.is_finite());
        let scale = finite.fold(1.0f64, |scale, v| scale.max(v.abs()));
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            let equal = got == want || (got - want).abs() <= bound * scale;
            assert!(equal, "{} {field}[{at}]: {got}, PyTorch has {want}", self.key);
        }
    }

    /// Runs `forward` on leaves of the named inputs that exist and compares output and gradients.
    fn check(&self, names: &[&str], forward: impl Fn(&BTreeMap<&str, Tensor>) -> Tensor) {
        let leaves: BTreeMap<&str, Var> =
            names.iter().filter_map(|&name| Some((name, Var::new(self.maybe(name)?)))).collect();
        let inputs = leaves.iter().map(|(&name, leaf)| (name, leaf.tensor())).collect();
        let output = forward(&inputs);
        self.close("output", &output, 1e-11);
        let gradients = match self.maybe("grad_output") {
            Some(seed) => output.backward_with(&seed),
            None => output.backward(),
        };
        let gradients = gradients.unwrap();
        for (name, leaf) in &leaves {
            self.close(&format!("grad.{name}"), gradients.get(leaf).unwrap(), 1e-10);
        }
    }

    fn run(&self) {
        let (op, _) = self.key.split_once('.').unwrap();
        match op {
            "ctc_loss" => self.ctc_loss(),
            "group_norm" => self.check(&["input", "weight", "bias"], |x| {
                let (groups, norm_eps) = (self.count("groups"), self.number("norm_eps"));
                x["input"].group_norm(groups, &x["weight"], &x["bias"], norm_eps).unwrap()
            }),
            "layer_norm" => self.check(&["input", "weight", "bias"], |x| {
                x["input"].layer_norm(&x["weight"], &x["bias"], self.number("norm_eps")).unwrap()
            }),
            "rms_norm" => self.check(&["input", "weight"], |x| {
                x["input"].rms_norm(&x["weight"], self.number("norm_eps")).unwrap()
            }),
            "conv1d" => self.check(&["input", "weight", "bias"], |x| {
                let options = Conv1dOptions {
                    stride: self.count("stride"),
                    padding: self.count("padding"),
                    dilation: self.count("dilation"),
                    groups: self.count("groups"),
                };
                x["input"].conv1d(&x["weight"], x.get("bias"), options).unwrap()
            }),
            "gelu" => self.check(&["input"], |x| x["input"].gelu().unwrap()),
            "gelu_tanh" => self.check(&["input"], |x| x["input"].gelu_tanh().unwrap()),
            "silu" => self.check(&["input"], |x| x["input"].silu().unwrap()),
            "quick_gelu" => self.check(&["input"], |x| x["input"].quick_gelu().unwrap()),
            "attention" => self.attention(),
            "cross_entropy" => self.check(&["logits"], |x| {
                let options = CrossEntropyOptions {
                    ignore_index: self.options["ignore_index"].as_i64().unwrap(),
                    label_smoothing: self.number("label_smoothing"),
                };
                cross_entropy(&x["logits"], &self.tensor("labels"), options).unwrap()
            }),
            "adamw" => self.adamw(),
            "rotary" => self.check(&["input"], |x| {
                x["input"].rotary(&self.tensor("cos"), &self.tensor("sin")).unwrap()
            }),
            other => panic!("no test for the golden operator `{other}`"),
        }
    }

    fn ctc_loss(&self) {
        let leaf = Var::new(self.tensor("logits"));
        let lengths: Vec<usize> =
            self.ids("logit_lengths").iter().map(|&length| length as usize).collect();
        let sizes = self.ids("target_lengths");
        let padded = self.ids("targets");
        let width = padded.len() / sizes.len();
        let targets: Vec<Vec<u32>> = padded
            .chunks(width)
            .zip(sizes)
            .map(|(row, size)| row[..size as usize].iter().map(|&id| id as u32).collect())
            .collect();
        let run = |zero_infinity| {
            let blank = self.count("blank");
            ctc_loss(&leaf.tensor(), &lengths, &targets, blank, zero_infinity).unwrap()
        };
        self.close("losses", &run(false), 1e-11);
        let losses = run(true);
        self.close("losses_zero_infinity", &losses, 1e-11);
        let gradients = losses.backward_with(&self.tensor("grad_output")).unwrap();
        self.close("grad.logits", gradients.get(&leaf).unwrap(), 1e-10);
    }

    fn attention(&self) {
        self.check(&["q", "k", "v", "bias"], |x| {
            let options = AttentionOptions {
                scale: self.number("scale"),
                causal: self.options["causal"].as_bool().unwrap(),
                key_mask: self.maybe("key_mask"),
                bias: x.get("bias").cloned(),
                dropout: None,
            };
            attention(&x["q"], &x["k"], &x["v"], &options).unwrap()
        });
    }

    /// Five steps in f32, as the optimiser keeps its state, against a trajectory in f64.
    fn adamw(&self) {
        let single = |field: &str| self.tensor(field).to_dtype(DType::F32).unwrap();
        let leaf = Var::new(single("p.0"));
        let beta = |at: usize| self.options["betas"][at].as_f64().unwrap();
        let options = AdamWOptions {
            betas: (beta(0), beta(1)),
            eps: self.number("eps"),
            weight_decay: self.number("weight_decay"),
        };
        let mut optimiser = AdamW::new(options, [("p", &leaf, true)]).unwrap();
        for step in 1..=5 {
            let mut gradients = Gradients::new();
            // Half the scale on twice the gradient.
            let grad = single(&format!("g.{step}")).mul_scalar(2.0).unwrap();
            gradients.add(&leaf, grad).unwrap();
            let lr = self.options["lr_per_step"][step - 1].as_f64().unwrap();
            optimiser.step(&gradients, lr, 0.5).unwrap();
            self.close(&format!("p.{step}"), &leaf.value(), 1e-6);
        }
        let state = optimiser.state().unwrap();
        self.close("first_moment", &state[1].1, 1e-6);
        self.close("second_moment", &state[2].1, 1e-6);
    }
}

#[test]
fn every_golden_case_agrees_with_pytorch() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ops.safetensors");
    let file = SafeTensors::open(file).unwrap();
    let cases: BTreeMap<String, String> = file.metadata().into_iter().collect();
    assert!(cases.len() > 40, "{} cases", cases.len());
    for (key, options) in &cases {
        let options = serde_json::from_str(options).unwrap();
        Case { file: &file, key, options }.run();
    }
}
