//! Golden files, comparison, and small models.

use std::path::{Path, PathBuf};

use model_zoo::bert::BertConfig;
use model_zoo::decoding::Hypothesis;
use model_zoo::llama::{LlamaConfig, LlamaSession};
use model_zoo::whisper::WhisperConfig;
use model_zoo::{Builder, Parameters};
use serde_json::Value;
use tensor_core::{Context, DType, Device, Gradients, Philox, SafeTensors, Tensor};

/// Largest absolute error over the largest expected value, for the tiny models: four times the
/// worst that f32 arithmetic leaves against golden numbers computed in f64.
pub const GOLDEN: f64 = 2e-5;

pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Folders whose name begins with `prefix`, sorted; never none.
pub fn golden_cases(prefix: &str) -> Vec<PathBuf> {
    golden_cases_in(&golden_dir(), prefix)
}

/// As `golden_cases`, of a family with a folder of its own.
pub fn golden_cases_in(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && name_of(path).starts_with(prefix))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no golden folder begins with {prefix}");
    cases
}

pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Folder of data beside the project, or `None` with a message.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let dir = match std::env::var_os("CONSONANCE_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
    };
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped {test}: no shared data (set CONSONANCE_DATA)");
    None
}

/// The tensors of one golden file.
pub struct Golden(SafeTensors);

impl Golden {
    pub fn open(dir: &Path) -> Self {
        Self(SafeTensors::open(dir.join("golden.safetensors")).unwrap())
    }

    pub fn file(path: &Path) -> Self {
        Self(SafeTensors::open(path).unwrap())
    }

    pub fn get(&self, name: &str) -> Tensor {
        self.0.tensor(name).unwrap()
    }

    pub fn try_get(&self, name: &str) -> Option<Tensor> {
        self.0.shape(name).map(|_| self.get(name))
    }

    pub fn ids(&self, name: &str) -> Vec<i64> {
        self.get(name).to_vec::<i64>().unwrap()
    }

    pub fn names_below(&self, prefix: &str) -> Vec<String> {
        let names = self.0.names();
        names.iter().filter_map(|n| n.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    /// The remarks of the case.
    pub fn case(&self) -> Value {
        serde_json::from_str(&self.0.metadata()["case"]).unwrap()
    }

    /// The remark `key` of the case.
    pub fn remark(&self, key: &str) -> Value {
        self.case()[key].clone()
    }
}

/// Largest absolute difference, and the largest expected value. NaN counts as infinite.
pub fn difference(got: &[f64], expected: &[f64]) -> (f64, f64) {
    assert_eq!(got.len(), expected.len());
    let worst = got.iter().zip(expected).fold(0f64, |worst, (g, e)| {
        let gap = (g - e).abs();
        if gap.is_nan() { f64::INFINITY } else { worst.max(gap) }
    });
    (worst, expected.iter().fold(0f64, |top, e| top.max(e.abs())))
}

/// Collects what is over its bound, so that one run lists everything.
#[derive(Default)]
pub struct Verdict {
    failures: Vec<String>,
    pub compared: usize,
}

impl Verdict {
    /// Compares whole tensors.
    pub fn close(&mut self, what: &str, got: &Tensor, expected: &Tensor, bound: f64) {
        self.close_above(what, got, expected, bound, 0.0);
    }

    /// As `close`, with a largest expected value of at least `floor`.
    pub fn close_above(
        &mut self,
        what: &str,
        got: &Tensor,
        expected: &Tensor,
        bound: f64,
        floor: f64,
    ) {
        self.compared += 1;
        if got.shape() != expected.shape() {
            let (g, e) = (got.shape(), expected.shape());
            self.failures.push(format!("{what}: shape {g:?}, expected {e:?}"));
            return;
        }
        let (error, top) = difference(&got.to_vec_f64().unwrap(), &expected.to_vec_f64().unwrap());
        if error > bound * top.max(floor) {
            self.failures.push(format!("{what}: error {error:e}, largest value {top:e}"));
        }
    }

    /// Compares the rows (all but the last dimension) for which `binds` is nonzero.
    pub fn close_rows(&mut self, what: &str, got: &Tensor, expected: &Tensor, binds: &[i64]) {
        let zero_others = |t: &Tensor| {
            let width = t.shape()[t.rank() - 1];
            let mut values = t.to_vec_f32().unwrap();
            assert_eq!(values.len(), binds.len() * width, "{what}");
            for (row, _) in values.chunks_mut(width).zip(binds).filter(|(_, binds)| **binds == 0) {
                row.fill(0.0);
            }
            Tensor::from_vec(values, t.shape(), Device::Cpu).unwrap()
        };
        self.close(what, &zero_others(got), &zero_others(expected), GOLDEN);
    }

    /// Compares the gradient of every parameter that the golden file has below `prefix`.
    ///
    /// Where a parameter cannot change the output (a key bias shifts all scores of a query alike, a
    /// bias before a norm over time is taken away again) its gradient is zero and the rounding of
    /// f32 is all there is to see: such a one is held against the model's largest gradient.
    pub fn close_gradients(
        &mut self,
        golden: &Golden,
        prefix: &str,
        gradients: &Gradients,
        parameters: &Parameters,
        canonical: impl Fn(&str) -> String,
    ) {
        let names = golden.names_below(prefix);
        assert!(!names.is_empty(), "no gradient below {prefix}");
        let top_of = |name: &String| {
            let values = golden.get(&format!("{prefix}{name}")).to_vec_f64().unwrap();
            values.iter().fold(0f64, |top, v| top.max(v.abs()))
        };
        let largest = names.iter().map(top_of).fold(0f64, f64::max);
        for name in &names {
            let full = canonical(name);
            let what = format!("{prefix}{full}");
            let Some(var) = parameters.get(&full) else {
                self.failures.push(format!("{what}: no such parameter"));
                continue;
            };
            let expected = golden.get(&format!("{prefix}{name}"));
            let rounding_alone = top_of(name) < 1e-12 * largest;
            let floor = if rounding_alone { largest } else { 0.0 };
            match gradients.get(var) {
                Some(got) => self.close_above(&what, got, &expected, GOLDEN, floor),
                None => self.failures.push(format!("{what}: no gradient")),
            }
        }
    }

    #[track_caller]
    pub fn finish(self, what: &str) {
        assert!(self.compared > 0, "{what}: nothing was compared");
        assert!(self.failures.is_empty(), "{what}:\n  {}", self.failures.join("\n  "));
    }
}

/// Mean cross-entropy over labels that are not -100, as `transformers` reports it.
pub fn mean_cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let vocab = logits.shape()[logits.rank() - 1];
    let rows = logits.elem_count() / vocab;
    let labels = labels.reshape(&[rows]).unwrap();
    let scored = labels.to_vec::<i64>().unwrap().iter().filter(|&&id| id >= 0).count();
    let logits = logits.reshape(&[rows, vocab]).unwrap();
    let sum = tensor_core::cross_entropy(&logits, &labels, Default::default()).unwrap();
    sum.mul_scalar(1.0 / scored as f64).unwrap()
}

/// Normal noise of one stream.
pub fn noise(shape: &[usize], stream: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Philox::new(5, stream), DType::F32, Device::Cpu).unwrap()
}

pub fn ids(rows: &[&[i64]]) -> Tensor {
    Tensor::from_vec(rows.concat(), &[rows.len(), rows[0].len()], Device::Cpu).unwrap()
}

/// A generator of parameters large enough that every layer matters.
pub fn fresh() -> Builder {
    Builder::random(3, DType::F32, Device::Cpu)
}

/// A lopsided Whisper: 5 bands, 2 + 3 layers, 20 source positions.
pub fn small_whisper() -> WhisperConfig {
    WhisperConfig {
        vocab_size: 37,
        num_mel_bins: 5,
        d_model: 12,
        encoder_layers: 2,
        encoder_attention_heads: 3,
        encoder_ffn_dim: 17,
        decoder_layers: 3,
        decoder_attention_heads: 2,
        decoder_ffn_dim: 19,
        init_std: 0.4,
        max_source_positions: 20,
        max_target_positions: 16,
        decoder_start_token_id: 3,
        pad_token_id: Some(1),
        bos_token_id: Some(1),
        eos_token_id: 2,
        suppress_tokens: Some(vec![0]),
        begin_suppress_tokens: Some(vec![2]),
        ..WhisperConfig::default()
    }
}

/// A lopsided BERT: 2 layers, 3 heads, 13 positions.
pub fn small_bert() -> BertConfig {
    BertConfig {
        vocab_size: 31,
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 17,
        max_position_embeddings: 13,
        initializer_range: 0.4,
        ..BertConfig::default()
    }
}

/// A lopsided LLaMA: 2 layers, 4 heads of width 6 on 2 key heads, 16 positions.
pub fn small_llama() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 31,
        hidden_size: 12,
        intermediate_size: 17,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        head_dim: Some(6),
        max_position_embeddings: 16,
        initializer_range: 0.4,
        pad_token_id: Some(0),
        ..LlamaConfig::default()
    }
}

/// The likeliest `steps` tokens of each row, given the logits `(B, V)` of the first.
pub fn greedy(session: &mut LlamaSession<'_>, logits: Tensor, steps: usize) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); logits.shape()[0]];
    let mut logits = logits;
    for step in 0..steps {
        let vocab = logits.shape()[1];
        for (row, scores) in rows.iter_mut().zip(logits.to_vec::<f32>().unwrap().chunks(vocab)) {
            let best = (0..vocab).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            row.push(best as u32);
        }
        if step + 1 < steps {
            let last: Vec<Vec<u32>> = rows.iter().map(|row| vec![row[step]]).collect();
            logits = session.read_ids(&eval(), &last).unwrap();
        }
    }
    rows
}

/// `sum(x * probe)`: a scalar whose gradient reaches every element of `x` differently.
pub fn probe(x: &Tensor, stream: u64) -> Tensor {
    x.mul(&noise(x.shape(), stream)).unwrap().sum_all().unwrap()
}

/// Asserts that two sets of gradients agree on every parameter.
#[track_caller]
pub fn assert_same_gradients(
    what: &str,
    got: &Gradients,
    expected: &Gradients,
    parameters: &Parameters,
    bound: f64,
) {
    let mut verdict = Verdict::default();
    for (name, var) in parameters.iter() {
        match (got.get(var), expected.get(var)) {
            (Some(g), Some(e)) => verdict.close_above(name, g, e, bound, 1e-1),
            (None, None) => {}
            (g, e) => panic!("{what}: {name}: {} and {}", g.is_some(), e.is_some()),
        }
    }
    verdict.finish(what);
}

pub fn eval() -> Context {
    Context::eval()
}

/// The tokens of the best hypothesis of each item.
pub fn best_ids(lists: Vec<Vec<Hypothesis>>) -> Vec<Vec<u32>> {
    lists.into_iter().map(|mut list| list.swap_remove(0).ids).collect()
}

/// The file `name` of the golden folder.
pub fn golden_json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden_dir().join(name)).unwrap()).unwrap()
}

/// A list of numbers; null is minus infinity.
pub fn numbers(value: &Value) -> Vec<f32> {
    let number = |v: &Value| v.as_f64().map_or(f32::NEG_INFINITY, |v| v as f32);
    value.as_array().unwrap().iter().map(number).collect()
}

/// A list of tokens.
pub fn tokens(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}
