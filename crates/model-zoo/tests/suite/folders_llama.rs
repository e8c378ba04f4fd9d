//! LLaMA's folders: what is written is read back, and what does not fit is named.

use std::path::Path;

use model_zoo::bert::Bert;
use model_zoo::llama::{Llama, LlamaConfig};
use model_zoo::{ErrorKind, LoadOptions, ModelKind};
use serde_json::Value;
use tempfile::TempDir;
use tensor_core::DType;

use crate::common::*;
use crate::folders::{altered, assert_same_values, json, read, write};

fn open(dir: &Path) -> Llama {
    Llama::open(dir, LoadOptions::default()).unwrap()
}

#[test]
fn llama_folder_survives_a_round_trip() {
    for case in ["llama-plain", "llama-grouped", "llama-3", "llama-linear"] {
        let from = golden_dir().join(case);
        let model = open(&from);
        let dir = TempDir::new().unwrap();
        model.save_hf_folder(dir.path(), None).unwrap();
        let mut expected = json(&from.join("config.json"));
        // An absent value and none mean the same.
        expected.retain(|key, value| key == "pad_token_id" || !value.is_null());
        assert_eq!(json(&dir.path().join("config.json")), expected);
        assert_eq!(
            read(&from).keys().collect::<Vec<_>>(),
            read(dir.path()).keys().collect::<Vec<_>>(),
            "the file holds exactly what transformers wrote"
        );
        let again = open(dir.path());
        assert_same_values(model.parameters(), again.parameters());
        assert_eq!((model.config, model.generation), (again.config, again.generation));
    }
}

#[test]
fn ends_of_a_text_come_from_either_config() {
    let dir = altered("llama-grouped", |_| {});
    assert_eq!(open(dir.path()).generation.eos_token_ids(), [2, 5]);
    let text = r#"{"eos_token_id": 7, "temperature": 0.6, "top_p": 0.9, "do_sample": true}"#;
    std::fs::write(dir.path().join("generation_config.json"), text).unwrap();
    let generation = open(dir.path()).generation;
    assert_eq!(generation.eos_token_ids(), [7]);
    assert_eq!((generation.temperature, generation.top_p), (Some(0.6), Some(0.9)));
}

#[test]
fn names_of_bare_models_and_old_checkpoints_are_understood() {
    let expected = open(&golden_dir().join("llama-grouped"));
    let dir = altered("llama-grouped", |tensors| {
        let embedding = tensors["model.embed_tokens.weight"].clone();
        let bare = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (name.trim_start_matches("model.").to_owned(), tensor));
        *tensors = bare.collect();
        tensors.insert("lm_head.weight".into(), embedding);
        tensors.insert("layers.0.self_attn.rotary_emb.inv_freq".into(), noise(&[2], 0));
        tensors.insert("rotary_emb.inv_freq".into(), noise(&[2], 0));
    });
    assert_same_values(expected.parameters(), open(dir.path()).parameters());
}

#[test]
fn a_tied_head_is_stored_once_and_an_untied_one_is_required() {
    let tied = open(&golden_dir().join("llama-grouped"));
    let parameters = tied.parameters();
    let id = |name: &str| parameters.get(name).unwrap().id();
    assert_eq!(id("lm_head.weight"), id("model.embed_tokens.weight"));
    assert!(parameters.names().all(|name| name != "lm_head.weight"));

    let dir = altered("llama-plain", |tensors| {
        tensors.remove("lm_head.weight").unwrap();
        tensors.insert("model.norm.weight".into(), noise(&[15], 0));
        tensors.insert("model.layers.2.mlp.up_proj.weight".into(), noise(&[1], 0));
    });
    let error = Llama::open(dir.path(), LoadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert_eq!(
        error.to_string(),
        format!(
            "weights: {}: 1 missing: lm_head.weight; 1 unexpected: \
             model.layers.2.mlp.up_proj.weight; 1 wrongly shaped: model.norm.weight is [15], \
             expected [16] (hint: does config.json belong to this file)",
            dir.path().join("model.safetensors").display()
        )
    );
}

#[test]
fn a_shard_that_is_missing_is_named() {
    let dir = altered("llama-plain", |_| {});
    let tensors = read(dir.path());
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let (first, second): (Vec<_>, Vec<_>) =
        tensors.into_iter().partition(|(name, _)| name.contains("layers.0"));
    let mut map = serde_json::Map::new();
    for (file, part) in files.iter().zip([first, second]) {
        map.extend(part.iter().map(|(name, _)| (name.clone(), Value::from(*file))));
        write(&dir.path().join(file), &part.into_iter().collect());
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    let whole = open(&golden_dir().join("llama-plain"));
    assert_same_values(whole.parameters(), open(dir.path()).parameters());

    std::fs::remove_file(dir.path().join(files[1])).unwrap();
    let text = Llama::open(dir.path(), LoadOptions::default()).unwrap_err().to_string();
    let said = format!("shard `{}` is listed but absent, expected beside the index", files[1]);
    assert!(text.contains(&said), "{text}");
}

#[test]
fn a_folder_of_another_family_is_named() {
    let bert = golden_dir().join("bert-gelu");
    let text = Llama::open(&bert, LoadOptions::default()).unwrap_err().to_string();
    assert!(text.ends_with("model_type is `bert`, expected `llama`"), "{text}");
    let llama = golden_dir().join("llama-plain");
    let text = Bert::open(&llama, LoadOptions::default()).unwrap_err().to_string();
    assert!(text.ends_with("model_type is `llama`, expected `bert`"), "{text}");
    assert_eq!(ModelKind::detect(&llama).unwrap(), ModelKind::Llama);
}

#[test]
fn configs_that_contradict_themselves_are_refused() {
    for (text, told) in [
        (
            r#"{"hidden_size": 10, "num_attention_heads": 3}"#,
            "config: hidden_size is 10, expected a multiple of num_attention_heads 3",
        ),
        (
            r#"{"num_attention_heads": 8, "num_key_value_heads": 3}"#,
            "config: num_attention_heads is 8, expected a multiple of num_key_value_heads 3",
        ),
        (r#"{"head_dim": 5}"#, "config: head_dim is 5, expected an even number of at least 2"),
        (r#"{"num_key_value_heads": 0}"#, "config: num_key_value_heads is 0, expected at least 1"),
        (r#"{"num_attention_heads": 0}"#, "config: num_attention_heads is 0, expected at least 1"),
        (r#"{"rms_norm_eps": -1.0}"#, "config: rms_norm_eps is -1, expected at least 0"),
        (r#"{"hidden_act": "mish"}"#, "config: activation is `mish`, expected one of gelu"),
        (
            r#"{"rope_scaling": {"type": "longrope", "factor": 2.0}}"#,
            "config: rope_scaling.rope_type is `longrope`, expected one of default, linear",
        ),
    ] {
        let config: LlamaConfig = serde_json::from_str(text).unwrap();
        let error = Llama::new(&fresh(), &config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().starts_with(told), "{error}\n  is not\n{told}");
    }
}

#[test]
fn defaults_are_those_of_transformers() {
    let config: LlamaConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(config, LlamaConfig::default());
    assert_eq!((config.head_dim(), config.num_key_value_heads()), (128, 32));
    // Ids as the oldest files write them.
    let old: LlamaConfig =
        serde_json::from_str(r#"{"pad_token_id": -1, "bos_token_id": null}"#).unwrap();
    assert_eq!((old.pad_token_id, old.bos_token_id), (Some(-1), None));
}

#[test]
fn half_precision_on_disk_is_near() {
    let model = Llama::new(&fresh(), &small_llama()).unwrap();
    let dir = TempDir::new().unwrap();
    model.save_hf_folder(dir.path(), Some(DType::BF16)).unwrap();
    assert_eq!(json(&dir.path().join("config.json"))["dtype"], "bfloat16");
    let again = open(dir.path());
    for ((name, a), b) in model.parameters().iter().zip(again.parameters().vars()) {
        let (error, top) =
            difference(&b.value().to_vec_f64().unwrap(), &a.value().to_vec_f64().unwrap());
        assert!(error <= top * 2f64.powi(-8), "{name}: {error:e}");
    }
}
