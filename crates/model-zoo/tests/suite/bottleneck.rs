//! Bottleneck adapters: against their formula, finite differences and themselves, in every model.

use std::path::Path;

use model_zoo::bert::{Bert, BertInput};
use model_zoo::bottleneck::{BottleneckAdapter, BottleneckConfig, Placement};
use model_zoo::hubert::{Hubert, HubertConfig, HubertInput};
use model_zoo::llama::{Llama, LlamaInput, LlamaTokens};
use model_zoo::whisper::{DecoderInput, EncoderInput, Whisper};
use model_zoo::{Builder, ErrorKind, LoadOptions, ModelKind, NameRules, WeightForm};
use tempfile::TempDir;
use tensor_core::{Context, DType, Device, Philox, Tensor};

use crate::common::*;

fn root(dtype: DType) -> Builder {
    Builder::random(3, dtype, Device::Cpu)
}

/// Blocks of 3 that do something: all their parameters are noise.
fn stir(adapter: &BottleneckAdapter) {
    for (k, var) in adapter.parameters().vars().enumerate() {
        let rng = &mut Philox::new(8, k as u64);
        let value = Tensor::randn(&var.shape(), 0.3, rng, var.value().dtype(), Device::Cpu);
        var.set(&value.unwrap()).unwrap();
    }
}

fn blocks(kind: ModelKind, placement: Placement) -> BottleneckConfig {
    BottleneckConfig {
        bottleneck_size: Some(3),
        reduction_factor: None,
        ..BottleneckConfig::placed(kind, placement)
    }
}

fn llama_states(ctx: &Context, model: &Llama) -> Tensor {
    let ids = ids(&[&[5, 9, 11, 4, 20], &[3, 3, 12, 6, 30]]);
    model.forward(ctx, &LlamaInput::new(LlamaTokens::InputIds(ids))).unwrap().last_hidden_state
}

fn bert_states(ctx: &Context, model: &Bert) -> Tensor {
    let input = BertInput::from_ids(&[vec![2, 5, 3], vec![2, 3]], 0, Device::Cpu).unwrap();
    model.forward(ctx, &input).unwrap().last_hidden_state.narrow(1, 0, 2).unwrap()
}

fn whisper_states(ctx: &Context, model: &Whisper) -> Tensor {
    let memory = model.encode(ctx, &EncoderInput::new(&noise(&[1, 5, 40], 1))).unwrap();
    let ids = ids(&[&[3, 9, 4]]);
    let decoded = model.decoder.forward(ctx, &DecoderInput::new(&ids, &memory)).unwrap();
    decoded.last_hidden_state
}

fn small_hubert() -> HubertConfig {
    HubertConfig {
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 17,
        conv_dim: vec![4, 5],
        conv_stride: vec![2, 3],
        conv_kernel: vec![4, 3],
        num_conv_pos_embeddings: 4,
        num_conv_pos_embedding_groups: 2,
        initializer_range: 0.4,
        ..HubertConfig::default()
    }
}

fn hubert_states(ctx: &Context, model: &Hubert) -> Tensor {
    let samples = noise(&[1, 60], 2);
    model.forward(ctx, &HubertInput::new(&samples)).unwrap().last_hidden_state
}

/// What a fresh and a stirred adapter do to a model, and the layers that have blocks.
fn effect<M>(
    config: &BottleneckConfig,
    build: impl Fn(&Builder) -> model_zoo::Result<M>,
    states: impl Fn(&Context, &M) -> Tensor,
) -> Vec<String> {
    let plain = states(&eval(), &build(&root(DType::F32)).unwrap()).to_vec::<f32>().unwrap();
    let (model, adapter) = BottleneckAdapter::around(&root(DType::F32), config, &build).unwrap();
    let fresh = states(&eval(), &model).to_vec::<f32>().unwrap();
    assert_eq!(fresh, plain, "a fresh block changes nothing");
    stir(&adapter);
    let gradients = probe(&states(&Context::grad(), &model), 4).backward().unwrap();
    assert_ne!(states(&eval(), &model).to_vec::<f32>().unwrap(), plain);
    for (name, var) in adapter.parameters().iter() {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name}: no gradient"));
        let values = gradient.to_vec::<f32>().unwrap();
        assert!(values.iter().all(|v| v.is_finite()), "{name}");
        assert!(values.iter().any(|&v| v != 0.0), "{name}");
    }
    // d = 12 and m = 3: 2 m d + d + m each, as the paper counts.
    assert_eq!(adapter.parameters().total(), adapter.layers().len() * (2 * 3 * 12 + 12 + 3));
    adapter.layers().map(str::to_owned).collect()
}

#[test]
fn every_model_has_blocks_behind_its_attention_and_its_feed_forward_part() {
    let llama = |placement| {
        let config = blocks(ModelKind::Llama, placement);
        effect(&config, |root| Llama::new(root, &small_llama()), llama_states)
    };
    assert_eq!(
        llama(Placement::Both),
        [
            "model.layers.0.self_attn.o_proj",
            "model.layers.0.mlp.down_proj",
            "model.layers.1.self_attn.o_proj",
            "model.layers.1.mlp.down_proj"
        ]
    );
    assert_eq!(
        llama(Placement::FeedForward),
        ["model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"]
    );
    let bert = |placement| {
        let config = blocks(ModelKind::Bert, placement);
        effect(&config, |root| Bert::new(root, &small_bert()), bert_states)
    };
    assert_eq!(
        bert(Placement::Attention),
        [
            "bert.encoder.layer.0.attention.output.dense",
            "bert.encoder.layer.1.attention.output.dense"
        ]
    );
    assert_eq!(
        bert(Placement::FeedForward),
        ["bert.encoder.layer.0.output.dense", "bert.encoder.layer.1.output.dense"]
    );
    assert_eq!(bert(Placement::Both).len(), 4);
    let whisper = |placement| {
        let config = blocks(ModelKind::Whisper, placement);
        effect(&config, |root| Whisper::new(root, &small_whisper()), whisper_states)
    };
    // Two layers of the encoder, and three of the decoder with two attentions each.
    assert_eq!(whisper(Placement::Attention).len(), 2 + 2 * 3);
    assert_eq!(whisper(Placement::FeedForward).len(), 2 + 3);
    let config = blocks(ModelKind::Hubert, Placement::Both);
    let hubert = effect(&config, |root| Hubert::new(root, &small_hubert()), hubert_states);
    assert_eq!(hubert.len(), 4, "{hubert:?}");
}

#[test]
fn a_block_is_its_formula_with_and_without_the_norm() {
    for ln_before in [false, true] {
        let config = BottleneckConfig {
            target_modules: vec!["lm_head".to_owned()],
            scaling: 0.7,
            non_linearity: "relu".to_owned(),
            ln_before,
            ..blocks(ModelKind::Llama, Placement::Both)
        };
        let build = |root: &Builder| Llama::new(root, &small_llama());
        let plain = build(&root(DType::F64)).unwrap();
        let (model, adapter) =
            BottleneckAdapter::around(&root(DType::F64), &config, build).unwrap();
        stir(&adapter);
        let part = |name: &str| {
            let name = format!("base_model.model.lm_head.{name}");
            adapter.parameters().get(&name).unwrap().value().to_vec::<f64>().unwrap()
        };
        let x = Tensor::randn(&[4, 12], 1.0, &mut Philox::new(1, 1), DType::F64, Device::Cpu);
        let x = x.unwrap();
        let got = model.logits(&eval(), &x).unwrap().to_vec::<f64>().unwrap();
        let y = plain.logits(&eval(), &x).unwrap().to_vec::<f64>().unwrap();
        let (d, m) = (31, 3);
        let (down, down_bias) = (part("adapter_down.weight"), part("adapter_down.bias"));
        let (up, up_bias) = (part("adapter_up.weight"), part("adapter_up.bias"));
        let mut worst = 0f64;
        for (row, got) in y.chunks(d).zip(got.chunks(d)) {
            let mut n = row.to_vec();
            if ln_before {
                let (gain, bias) =
                    (part("adapter_norm_before.weight"), part("adapter_norm_before.bias"));
                let mean = row.iter().sum::<f64>() / d as f64;
                let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
                for (k, v) in n.iter_mut().enumerate() {
                    *v = (*v - mean) / (var + 1e-5).sqrt() * gain[k] + bias[k];
                }
            }
            let inner: Vec<f64> = (0..m)
                .map(|j| (0..d).map(|k| down[j * d + k] * n[k]).sum::<f64>() + down_bias[j])
                .map(|v| v.max(0.0))
                .collect();
            for k in 0..d {
                let added = (0..m).map(|j| up[k * m + j] * inner[j]).sum::<f64>() + up_bias[k];
                worst = worst.max((row[k] + 0.7 * added - got[k]).abs());
            }
        }
        assert!(worst < 1e-12, "ln_before {ln_before}: error {worst}");
    }
}

#[test]
fn gradients_are_finite_differences_in_f64() {
    let config = BottleneckConfig {
        ln_before: true,
        scaling: 1.3,
        ..blocks(ModelKind::Bert, Placement::Both)
    };
    let build = |root: &Builder| Bert::new(root, &small_bert());
    let (model, adapter) = BottleneckAdapter::around(&root(DType::F64), &config, build).unwrap();
    stir(&adapter);
    let loss = |ctx: &Context| {
        let states = bert_states(ctx, &model);
        let weights = noise(states.shape(), 6).to_dtype(DType::F64).unwrap();
        states.mul(&weights).unwrap().sum_all().unwrap()
    };
    let gradients = loss(&Context::grad()).backward().unwrap();
    for (name, var) in adapter.parameters().iter() {
        let analytic = gradients.get(var).unwrap().to_vec::<f64>().unwrap();
        let base = var.value().to_vec::<f64>().unwrap();
        // A few elements of each: all of them would be 700 pairs of passes.
        for i in (0..base.len()).step_by(base.len().div_ceil(4)) {
            let at = |delta: f64| {
                let mut moved = base.clone();
                moved[i] += delta;
                var.set(&Tensor::from_vec(moved, &var.shape(), Device::Cpu).unwrap()).unwrap();
                loss(&eval()).item().unwrap()
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            let error = (analytic[i] - numeric).abs() / (1.0 + numeric.abs());
            assert!(error < 1e-7, "{name}[{i}]: {} and {numeric}", analytic[i]);
        }
        var.set(&Tensor::from_vec(base, &var.shape(), Device::Cpu).unwrap()).unwrap();
    }
}

fn open(dir: &Path, weights: WeightForm, config: &BottleneckConfig) -> (Llama, BottleneckAdapter) {
    let llama = model_zoo::llama::LlamaConfig::open(dir).unwrap();
    let options = LoadOptions { weights, ..LoadOptions::default() };
    let root = Builder::from_folder(dir, NameRules::llama(), options).unwrap();
    let around = BottleneckAdapter::around(&root, config, |root| Llama::new(root, &llama)).unwrap();
    root.finish().unwrap();
    around
}

#[test]
fn a_saved_adapter_loads_beside_any_form_of_its_base_and_beside_no_other() {
    let (plain, linear) = (golden_dir().join("llama-plain"), golden_dir().join("llama-linear"));
    let config = BottleneckConfig {
        base_model_name_or_path: Some("tiny/plain".to_owned()),
        ..blocks(ModelKind::Llama, Placement::Both)
    };
    let (model, adapter) = open(&plain, WeightForm::DType(DType::F32), &config);
    stir(&adapter);
    let saved = TempDir::new().unwrap();
    adapter.save(saved.path()).unwrap();
    let config = BottleneckConfig::open(saved.path()).unwrap();
    assert_eq!(&config, adapter.config());
    let want = llama_states(&eval(), &model).to_vec::<f32>().unwrap();
    for weights in [WeightForm::AsStored, WeightForm::Int8] {
        let (again, other) = open(&plain, weights, &config);
        other.load(saved.path()).unwrap();
        for (name, var) in other.parameters().iter() {
            let own = adapter.parameters().get(name).unwrap().value();
            assert_eq!(var.value().to_vec::<f32>().unwrap(), own.to_vec::<f32>().unwrap());
        }
        if weights == WeightForm::AsStored {
            assert_eq!(llama_states(&eval(), &again).to_vec::<f32>().unwrap(), want);
        }
    }
    let (_, other) = open(&linear, WeightForm::AsStored, &config);
    let error = other.load(saved.path()).unwrap_err();
    let told = format!(
        "base weights are {}, expected {} (hint: the adapter belongs to tiny/plain)",
        adapter.base_hash(),
        other.base_hash()
    );
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(error.to_string().ends_with(&told), "{error}");
    let louder = BottleneckConfig { scaling: 2.0, ..config };
    let (_, other) = open(&plain, WeightForm::AsStored, &louder);
    let text = other.load(saved.path()).unwrap_err().to_string();
    let told = r#"are ("swish", 1.0, false), expected ("swish", 2.0, false)"#;
    assert!(text.contains(told), "{text}");
}

#[test]
fn the_inner_width_is_given_or_follows_from_the_layer() {
    let by = |factor| BottleneckConfig {
        reduction_factor: Some(factor),
        ..BottleneckConfig::placed(ModelKind::Llama, Placement::Both)
    };
    assert_eq!(by(16).inner_width(768).unwrap(), 48);
    assert_eq!(by(5).inner_width(12).unwrap(), 2);
    assert_eq!(by(16).inner_width(12).unwrap(), 1);
    assert_eq!(blocks(ModelKind::Bert, Placement::Both).inner_width(768).unwrap(), 3);
}

#[test]
fn dropout_is_drawn_in_training_alone() {
    let config =
        BottleneckConfig { dropout: 0.5, ..blocks(ModelKind::Llama, Placement::Attention) };
    let build = |root: &Builder| Llama::new(root, &small_llama());
    let (model, adapter) = BottleneckAdapter::around(&root(DType::F32), &config, build).unwrap();
    stir(&adapter);
    let values = |ctx: &Context| llama_states(ctx, &model).to_vec::<f32>().unwrap();
    assert_eq!(values(&eval()), values(&Context::grad()));
    assert_ne!(values(&eval()), values(&Context::train(1, 1)));
}

#[test]
fn what_blocks_cannot_be_is_named() {
    let fault = |config: BottleneckConfig| {
        let build = |root: &Builder| Llama::new(root, &small_llama());
        let error = BottleneckAdapter::around(&root(DType::F32), &config, build).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    let usual = || blocks(ModelKind::Llama, Placement::Both);
    assert_eq!(
        fault(blocks(ModelKind::Bert, Placement::Attention)),
        "bottleneck adapter: target_modules: `attention.output.dense` is the name of no linear \
         layer (hint: their names end in down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, \
         up_proj, v_proj)"
    );
    assert_eq!(
        fault(BottleneckConfig { reduction_factor: Some(2), ..usual() }),
        "bottleneck adapter: bottleneck_size is Some(3) and reduction_factor Some(2), expected one \
         of them"
    );
    assert_eq!(
        fault(BottleneckConfig { bottleneck_size: Some(0), ..usual() }),
        "bottleneck adapter: bottleneck_size is 0, expected at least 1"
    );
    assert_eq!(
        fault(BottleneckConfig::default()),
        "bottleneck adapter: target_modules is empty, expected names of linear layers"
    );
    assert_eq!(
        fault(BottleneckConfig { scaling: f64::NAN, ..usual() }),
        "bottleneck adapter: scaling is NaN, expected a finite number"
    );
    let text = fault(BottleneckConfig { non_linearity: "mish".to_owned(), ..usual() });
    assert!(
        text.starts_with("bottleneck adapter: activation is `mish`, expected one of"),
        "{text}"
    );
}
