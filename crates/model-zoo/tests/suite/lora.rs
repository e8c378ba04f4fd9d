//! LoRA against PEFT and against itself.

use std::path::Path;

use model_zoo::llama::{Llama, LlamaInput, LlamaTokens};
use model_zoo::lora::{LoraAdapter, LoraConfig};
use model_zoo::{ErrorKind, LoadOptions, WeightForm};
use tempfile::TempDir;
use tensor_core::{Context, DType, SafeTensors, Tensor};

use crate::common::*;

fn input(golden: &Golden) -> LlamaInput {
    LlamaInput {
        attention_mask: Some(golden.get("attention_mask")),
        position_ids: Some(golden.get("position_ids")),
        ..LlamaInput::new(LlamaTokens::InputIds(golden.get("input_ids")))
    }
}

fn logits(ctx: &Context, model: &Llama) -> Tensor {
    let ids = ids(&[&[5, 9, 11, 4, 20, 8, 7], &[3, 3, 12, 6, 30, 2, 1]]);
    let output = model.forward(ctx, &LlamaInput::new(LlamaTokens::InputIds(ids))).unwrap();
    model.logits(ctx, &output.last_hidden_state).unwrap()
}

fn open(case: &str, config: &LoraConfig) -> (Llama, LoraAdapter) {
    Llama::open_with_lora(&golden_dir().join(case), LoadOptions::default(), config).unwrap()
}

/// A model with the adapter of a golden folder.
fn adapted(dir: &Path, options: LoadOptions) -> (Llama, LoraAdapter, Golden) {
    let golden = Golden::open(dir);
    let base = golden_dir().join(golden.remark("base").as_str().unwrap());
    let config = LoraConfig::open(dir).unwrap();
    let (model, adapter) = Llama::open_with_lora(&base, options, &config).unwrap();
    adapter.load(dir).unwrap();
    (model, adapter, golden)
}

fn form(weights: WeightForm) -> LoadOptions {
    LoadOptions { weights, ..LoadOptions::default() }
}

#[test]
fn adapters_equal_peft_forward_backward_and_merged() {
    for dir in golden_cases("lora-") {
        let (model, adapter, golden) = adapted(&dir, LoadOptions::default());
        let (ctx, mask) = (Context::grad(), golden.ids("attention_mask"));
        let output = model.forward(&ctx, &input(&golden)).unwrap();
        let logits = model.logits(&ctx, &output.last_hidden_state).unwrap();
        let mut verdict = Verdict::default();
        verdict.close_rows("logits", &logits, &golden.get("logits"), &mask);
        let loss = mean_cross_entropy(&logits, &golden.get("labels"));
        verdict.close("loss", &loss, &golden.get("loss"), GOLDEN);
        let gradients = loss.backward().unwrap();
        let parameters = adapter.parameters();
        verdict.close_gradients(&golden, "grad.", &gradients, parameters, str::to_owned);
        assert_eq!(golden.names_below("grad.").len(), parameters.len());
        assert!(model.parameters().vars().all(|var| gradients.get(var).is_none()));

        adapter.merge().unwrap();
        let output = model.forward(&eval(), &input(&golden)).unwrap();
        let merged = model.logits(&eval(), &output.last_hidden_state).unwrap();
        verdict.close_rows("merged logits", &merged, &golden.get("logits"), &mask);
        let changed = golden.names_below("merged.");
        assert_eq!(changed.len(), adapter.layers().len());
        for name in changed {
            let got = model.parameters().get(&name).unwrap().value();
            verdict.close(&name, &got, &golden.get(&format!("merged.{name}")), 1e-6);
        }
        let text = adapter.merge().unwrap_err().to_string();
        assert_eq!(text, "lora: is merged, expected one that is not");
        verdict.finish(&name_of(&dir));
    }
}

#[test]
fn a_fresh_adapter_changes_nothing_and_only_its_b_has_a_gradient() {
    let (model, adapter) = open("llama-plain", &LoraConfig { r: 3, ..LoraConfig::default() });
    let plain = Llama::open(&golden_dir().join("llama-plain"), LoadOptions::default()).unwrap();
    let (ctx, want) = (Context::grad(), logits(&eval(), &plain));
    let got = logits(&ctx, &model);
    assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    let gradients = probe(&got, 1).backward().unwrap();
    // Two layers, two targets, A and B each.
    assert_eq!(adapter.parameters().len(), 8);
    for (name, var) in adapter.parameters().iter() {
        let values = var.value().to_vec::<f32>().unwrap();
        let moves = gradients.get(var).unwrap().to_vec::<f32>().unwrap().iter().any(|&g| g != 0.0);
        assert_eq!(moves, name.ends_with("lora_B.weight"), "{name}");
        assert_eq!(values.iter().any(|&v| v != 0.0), name.ends_with("lora_A.weight"), "{name}");
        // 16 inputs: A is within 1 / sqrt(16).
        assert!(values.iter().all(|v| v.abs() <= 0.25), "{name}");
    }
}

#[test]
fn dropout_is_drawn_in_training_alone() {
    let dir = golden_dir().join("lora-attention");
    let golden = Golden::open(&dir);
    let config = LoraConfig { lora_dropout: 0.5, ..LoraConfig::open(&dir).unwrap() };
    let (model, adapter) = open(golden.remark("base").as_str().unwrap(), &config);
    adapter.load(&dir).unwrap();
    let values = |ctx: &Context| logits(ctx, &model).to_vec::<f32>().unwrap();
    assert_eq!(values(&eval()), values(&Context::grad()));
    assert_ne!(values(&eval()), values(&Context::train(1, 1)));
}

#[test]
fn the_base_may_be_kept_as_halves_or_in_8_bits() {
    let dir = golden_dir().join("lora-attention");
    let (wide, _, golden) = adapted(&dir, LoadOptions::default());
    let base = golden_dir().join(golden.remark("base").as_str().unwrap());
    let plain = |weights| logits(&eval(), &Llama::open(&base, form(weights)).unwrap());
    let error = |got: &Tensor, want: &Tensor| {
        difference(&got.to_vec_f64().unwrap(), &want.to_vec_f64().unwrap()).0
    };
    let (full, want) = (plain(WeightForm::DType(DType::F32)), logits(&eval(), &wide));
    for weights in [WeightForm::AsStored, WeightForm::DType(DType::BF16), WeightForm::Int8] {
        // What the form costs the model without an adapter, and the rounding of f32.
        let bound = 2.0 * error(&plain(weights), &full) + 1e-4;
        let (model, adapter, _) = adapted(&dir, form(weights));
        assert!(adapter.parameters().vars().all(|var| var.value().dtype() == DType::F32));
        let found = error(&logits(&eval(), &model), &want);
        assert!(found <= bound, "{weights:?}: error {found}, expected at most {bound}");
        if weights != WeightForm::Int8 {
            adapter.merge().unwrap();
            let found = error(&logits(&eval(), &model), &want);
            assert!(found <= bound, "{weights:?} merged: error {found}, expected at most {bound}");
            continue;
        }
        let error = adapter.merge().unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                ErrorKind::Weights,
                "lora: `model.layers.0.self_attn.q_proj` is kept in 8 bits, expected a float \
                 dtype (hint: read the folder as stored, merge and save that)"
            )
        );
    }
}

#[test]
fn a_saved_adapter_has_the_names_and_values_of_peft_and_loads_again() {
    for dir in golden_cases("lora-") {
        let (model, adapter, golden) = adapted(&dir, LoadOptions::default());
        let saved = TempDir::new().unwrap();
        adapter.save(saved.path()).unwrap();
        let read = |dir: &Path| SafeTensors::open(dir.join("adapter_model.safetensors")).unwrap();
        let (ours, theirs) = (read(saved.path()), read(&dir));
        let sorted = |file: &SafeTensors| {
            let mut names = file.names();
            names.sort();
            names
        };
        assert_eq!(sorted(&ours), sorted(&theirs));
        for name in ours.names() {
            let values = |file: &SafeTensors| file.tensor(&name).unwrap().to_vec::<f32>().unwrap();
            assert_eq!(values(&ours), values(&theirs), "{name}");
        }
        let config = LoraConfig::open(saved.path()).unwrap();
        assert_eq!(config, LoraConfig::open(&dir).unwrap());
        let (again, other) = open(golden.remark("base").as_str().unwrap(), &config);
        other.load(saved.path()).unwrap();
        let values = |model: &Llama| logits(&eval(), model).to_vec::<f32>().unwrap();
        assert_eq!(values(&again), values(&model));
    }
}

#[test]
fn an_adapter_of_other_weights_is_refused_by_name() {
    let base = Some("tiny/plain".to_owned());
    let config = LoraConfig { base_model_name_or_path: base, ..LoraConfig::default() };
    let (_, adapter) = open("llama-plain", &config);
    let saved = TempDir::new().unwrap();
    adapter.save(saved.path()).unwrap();
    let (_, other) = open("llama-linear", &config);
    assert_ne!(adapter.base_hash(), other.base_hash());
    let error = other.load(saved.path()).unwrap_err();
    let told = format!(
        "base weights are {}, expected {} (hint: the adapter belongs to tiny/plain)",
        adapter.base_hash(),
        other.base_hash()
    );
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(error.to_string().ends_with(&told), "{error}");

    let (_, other) = open("llama-plain", &LoraConfig { lora_alpha: 3.0, ..config });
    assert_eq!(adapter.base_hash(), other.base_hash());
    let text = other.load(saved.path()).unwrap_err().to_string();
    assert!(text.contains("rank and scaling are (8, 1.0), expected (8, 0.375)"), "{text}");
}

#[test]
fn a_merged_model_is_exported_as_a_folder_of_its_own() {
    let dir = golden_dir().join("lora-attention");
    for (weights, dtype) in
        [(WeightForm::DType(DType::F32), DType::F32), (WeightForm::DType(DType::BF16), DType::BF16)]
    {
        let (model, adapter, _) = adapted(&dir, form(weights));
        adapter.merge().unwrap();
        let exported = TempDir::new().unwrap();
        model.save_hf_folder(exported.path(), None).unwrap();
        let again = Llama::open(exported.path(), form(WeightForm::AsStored)).unwrap();
        assert!(again.parameters().vars().all(|var| var.value().dtype() == dtype));
        assert_eq!(again.parameters().len(), model.parameters().len());
        let values = |model: &Llama| logits(&eval(), model).to_vec::<f32>().unwrap();
        assert_eq!(values(&again), values(&model));
    }
}

#[test]
fn what_an_adapter_cannot_be_is_named() {
    let fault = |config: LoraConfig| {
        let dir = golden_dir().join("llama-plain");
        let error = Llama::open_with_lora(&dir, LoadOptions::default(), &config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    let default = LoraConfig::default;
    assert_eq!(
        fault(LoraConfig { target_modules: vec!["proj".to_owned()], ..default() }),
        "lora: target_modules: `proj` is the name of no linear layer (hint: their names end in \
         down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj)"
    );
    assert_eq!(fault(LoraConfig { r: 0, ..default() }), "lora: r is 0, expected at least 1");
    assert_eq!(
        fault(LoraConfig { target_modules: vec![], ..default() }),
        "lora: target_modules is empty, expected names of linear layers"
    );
    assert_eq!(
        fault(LoraConfig { lora_dropout: 1.0, ..default() }),
        "lora: lora_dropout is 1, expected 0 <= p < 1"
    );
    for (key, value, told) in [
        ("use_dora", serde_json::json!(true), "lora: use_dora is true, expected it to be absent"),
        ("bias", serde_json::json!("all"), "lora: bias is \"all\", expected \"none\""),
    ] {
        let mut config = default();
        config.extra.insert(key.to_owned(), value);
        assert_eq!(fault(config), told);
    }
}
