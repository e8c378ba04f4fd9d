//! Folders: what is written is read back, and what does not fit is named.

use std::collections::BTreeMap;
use std::path::Path;

use model_zoo::bert::{Bert, BertConfig, MaskedLm, SequenceClassifier};
use model_zoo::hubert::Hubert;
use model_zoo::llama::Llama;
use model_zoo::whisper::{EncoderInput, Whisper, WhisperConfig};
use model_zoo::{
    Builder, ErrorKind, Init, LoadOptions, ModelKind, NameRules, Parameters, ZooError,
};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tensor_core::{DType, Device, SafeTensors, Tensor, save_safetensors};

use crate::common::*;

pub type Tensors = BTreeMap<String, Tensor>;

pub fn read(dir: &Path) -> Tensors {
    let file = SafeTensors::open(dir.join("model.safetensors")).unwrap();
    file.names().into_iter().map(|name| (name.clone(), file.tensor(&name).unwrap())).collect()
}

pub fn write(path: &Path, tensors: &Tensors) {
    let list: Vec<(String, Tensor)> = tensors.clone().into_iter().collect();
    save_safetensors(path, &list, &BTreeMap::new()).unwrap();
}

/// A copy of a golden folder with its tensors changed by `change`.
pub fn altered(case: &str, change: impl FnOnce(&mut Tensors)) -> TempDir {
    let from = golden_dir().join(case);
    let dir = TempDir::new().unwrap();
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let mut tensors = read(&from);
    change(&mut tensors);
    write(&dir.path().join("model.safetensors"), &tensors);
    dir
}

pub fn json(path: &Path) -> Map<String, Value> {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
pub fn assert_same_values(a: &Parameters, b: &Parameters) {
    assert_eq!(a.names().collect::<Vec<_>>(), b.names().collect::<Vec<_>>());
    for ((name, a), b) in a.iter().zip(b.vars()) {
        assert_eq!(a.value().to_vec_f32().unwrap(), b.value().to_vec_f32().unwrap(), "{name}");
    }
}

#[test]
fn whisper_folder_survives_a_round_trip() {
    for case in ["whisper-untied", "whisper-gelu"] {
        let from = golden_dir().join(case);
        let model = Whisper::open(&from, LoadOptions::default()).unwrap();
        let dir = TempDir::new().unwrap();
        let to = dir.path().join("new/folder");
        model.save_hf_folder(&to, None).unwrap();

        // Every key of the config comes back, those that this crate does not know included.
        assert_eq!(json(&from.join("config.json")), json(&to.join("config.json")));
        let generation = "generation_config.json";
        assert_eq!(json(&from.join(generation)), json(&to.join(generation)));
        assert_eq!(
            read(&from).keys().collect::<Vec<_>>(),
            read(&to).keys().collect::<Vec<_>>(),
            "the file holds exactly what transformers wrote"
        );
        let again = Whisper::open(&to, LoadOptions::default()).unwrap();
        assert_same_values(model.parameters(), again.parameters());
        assert_eq!(model.config, again.config);
        assert_eq!(model.generation, again.generation);
    }
}

#[test]
fn bert_folders_survive_a_round_trip() {
    for case in ["bert-gelu", "bert-relu-untied"] {
        let from = golden_dir().join(case);
        let model = MaskedLm::open(&from, LoadOptions::default()).unwrap();
        let dir = TempDir::new().unwrap();
        model.save_hf_folder(dir.path(), None).unwrap();
        let again = MaskedLm::open(dir.path(), LoadOptions::default()).unwrap();
        assert_same_values(model.parameters(), again.parameters());
        let written = read(dir.path());
        let untied = case.ends_with("untied");
        assert_eq!(written.contains_key("cls.predictions.decoder.bias"), untied);
        assert_eq!(written.contains_key("cls.predictions.decoder.weight"), untied);
        assert_eq!(json(&from.join("config.json")), json(&dir.path().join("config.json")));
    }

    let config = BertConfig::open(&golden_dir().join("bert-bare")).unwrap();
    let config = config.with_labels(&["no", "yes"]);
    let model = SequenceClassifier::new(&fresh(), &config).unwrap();
    let dir = TempDir::new().unwrap();
    model.save_hf_folder(dir.path(), None).unwrap();
    let again = SequenceClassifier::open(dir.path(), LoadOptions::default()).unwrap();
    assert_same_values(model.parameters(), again.parameters());
    let written = json(&dir.path().join("config.json"));
    assert_eq!(written["architectures"], serde_json::json!(["BertForSequenceClassification"]));
    assert_eq!(written["id2label"], serde_json::json!({"0": "no", "1": "yes"}));
}

#[test]
fn half_precision_on_disk_and_full_in_memory() {
    let model = Whisper::new(&fresh(), &small_whisper()).unwrap();
    let dir = TempDir::new().unwrap();
    model.save_hf_folder(dir.path(), Some(DType::F16)).unwrap();
    assert!(read(dir.path()).values().all(|tensor| tensor.dtype() == DType::F16));
    assert_eq!(json(&dir.path().join("config.json"))["dtype"], "float16");
    let again = Whisper::open(dir.path(), LoadOptions::default()).unwrap();
    for ((name, a), b) in model.parameters().iter().zip(again.parameters().vars()) {
        let (a, b) = (a.value(), b.value());
        assert_eq!(b.dtype(), DType::F32, "{name}");
        let (error, top) = difference(&b.to_vec_f64().unwrap(), &a.to_vec_f64().unwrap());
        assert!(error <= top * 2f64.powi(-11), "{name}: {error:e}");
    }
}

#[test]
fn shards_give_what_one_file_gives() {
    let from = golden_dir().join("bert-gelu");
    let dir = TempDir::new().unwrap();
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let (mut first, mut second) = (Tensors::new(), Tensors::new());
    for (k, (name, tensor)) in read(&from).into_iter().enumerate() {
        if k % 3 == 0 { &mut first } else { &mut second }.insert(name, tensor);
    }
    let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut weight_map = Map::new();
    for (file, tensors) in files.iter().zip([&first, &second]) {
        write(&dir.path().join(file), tensors);
        weight_map.extend(tensors.keys().map(|name| (name.clone(), Value::from(*file))));
    }
    let index = dir.path().join("model.safetensors.index.json");
    let write_index = |map: &Map<String, Value>| {
        let text = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
        std::fs::write(&index, text.to_string()).unwrap();
    };
    write_index(&weight_map);
    let whole = MaskedLm::open(&from, LoadOptions::default()).unwrap();
    let sharded = MaskedLm::open(dir.path(), LoadOptions::default()).unwrap();
    assert_same_values(whole.parameters(), sharded.parameters());

    std::fs::remove_file(dir.path().join(files[1])).unwrap();
    let open = || MaskedLm::open(dir.path(), LoadOptions::default()).unwrap_err();
    let place = format!("weights: {}", index.display());
    assert_eq!(
        open().to_string(),
        format!(
            "{place}: shard `{}` is listed but absent, expected beside the index (hint: was all of \
             the folder downloaded)",
            files[1]
        )
    );
    weight_map.insert("x".into(), Value::from("../elsewhere.safetensors"));
    write_index(&weight_map);
    let text = open().to_string();
    assert_eq!(text, format!("{place}: shard `../elsewhere.safetensors` is not a plain file name"));
}

#[test]
fn mismatch_names_what_is_missing_unexpected_and_wrongly_shaped() {
    let dir = altered("whisper-gelu", |tensors| {
        tensors.remove("model.decoder.layers.1.fc1.bias").unwrap();
        tensors.insert("model.encoder.layers.7.fc1.bias".into(), noise(&[3], 0));
        tensors.insert("model.encoder.conv1.bias".into(), noise(&[15], 0));
    });
    let error = Whisper::open(dir.path(), LoadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert_eq!(
        error.to_string(),
        format!(
            "weights: {}: 1 missing: model.decoder.layers.1.fc1.bias; \
             1 unexpected: model.encoder.layers.7.fc1.bias; \
             1 wrongly shaped: model.encoder.conv1.bias is [15], expected [16] \
             (hint: does config.json belong to this file)",
            dir.path().join("model.safetensors").display()
        )
    );
}

#[test]
fn a_config_that_asks_for_more_than_memory_is_a_mismatch() {
    let dir = altered("bert-gelu", |_| {});
    let path = dir.path().join("config.json");
    let mut config = json(&path);
    config["vocab_size"] = Value::from(10_000_000_000_000u64);
    std::fs::write(&path, Value::from(config).to_string()).unwrap();
    let error = Bert::open(dir.path(), LoadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    let told = "word_embeddings.weight is [99, 32], expected [10000000000000, 32]";
    assert!(error.to_string().contains(told), "{error}");
}

#[test]
fn untied_head_reads_the_bias_that_transformers_trained() {
    let from = golden_dir().join("bert-relu-untied");
    let expected = MaskedLm::open(&from, LoadOptions::default()).unwrap();
    let dir = altered("bert-relu-untied", |tensors| {
        tensors.insert("cls.predictions.bias".into(), noise(&[120], 0));
    });
    let model = MaskedLm::open(dir.path(), LoadOptions::default()).unwrap();
    assert_same_values(expected.parameters(), model.parameters());
}

#[test]
fn an_integer_tensor_is_no_weight() {
    let dir = altered("bert-gelu", |tensors| {
        let integers = Tensor::zeros(&[32], DType::I64, Device::Cpu).unwrap();
        tensors.insert("bert.embeddings.LayerNorm.bias".into(), integers);
    });
    let text = Bert::open(dir.path(), LoadOptions::default()).unwrap_err().to_string();
    let expected = "bert.embeddings.LayerNorm.bias is I64, expected a float dtype";
    assert!(text.to_lowercase().contains(&expected.to_lowercase()), "{text}");
}

#[test]
fn names_of_older_and_other_writers_are_understood() {
    let expected = Bert::open(&golden_dir().join("bert-gelu"), LoadOptions::default()).unwrap();
    let dir = altered("bert-gelu", |tensors| {
        let renamed = std::mem::take(tensors).into_iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix("bert.")?.to_owned();
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
            Some((name.replace("LayerNorm.bias", "LayerNorm.beta"), tensor))
        });
        *tensors = renamed.collect();
        tensors.insert("embeddings.position_ids".into(), ids(&[&[0, 1, 2]]));
    });
    let bare = Bert::open(dir.path(), LoadOptions::default()).unwrap();
    assert_same_values(expected.parameters(), bare.parameters());

    let from = golden_dir().join("whisper-gelu");
    let expected = Whisper::open(&from, LoadOptions::default()).unwrap();
    let dir = altered("whisper-gelu", |tensors| {
        let embedding = tensors["model.decoder.embed_tokens.weight"].clone();
        let stripped = std::mem::take(tensors)
            .into_iter()
            .map(|(name, tensor)| (name.trim_start_matches("model.").to_owned(), tensor));
        *tensors = stripped.collect();
        tensors.insert("proj_out.weight".into(), embedding);
    });
    let bare = Whisper::open(dir.path(), LoadOptions::default()).unwrap();
    assert_same_values(expected.parameters(), bare.parameters());

    // The encoder alone, out of a whole folder and out of one that holds nothing else.
    let dir = altered("whisper-gelu", |tensors| {
        let encoder = std::mem::take(tensors).into_iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix("model.encoder.")?.to_owned(), tensor))
        });
        *tensors = encoder.collect();
    });
    let x = noise(&[1, 80, 9], 1);
    let states = |dir: &Path| {
        let (_, encoder, parameters) = Whisper::open_encoder(dir, LoadOptions::default()).unwrap();
        assert!(parameters.names().all(|name| name.starts_with("model.encoder.")));
        let output = encoder.forward(&eval(), &EncoderInput::new(&x)).unwrap();
        output.last_hidden_state.to_vec::<f32>().unwrap()
    };
    assert_eq!(states(dir.path()), states(&from));
}

#[test]
fn a_head_that_a_folder_lacks_is_drawn_and_listed() {
    let dir = golden_dir().join("bert-bare");
    let options = LoadOptions { seed: 5, ..LoadOptions::default() };
    let model = MaskedLm::open(&dir, options).unwrap();
    assert_eq!(
        model.parameters().initialised(),
        [
            "cls.predictions.bias",
            "cls.predictions.transform.dense.weight",
            "cls.predictions.transform.dense.bias",
            "cls.predictions.transform.LayerNorm.weight",
            "cls.predictions.transform.LayerNorm.bias",
        ]
    );
    let weight = |seed| {
        let model = MaskedLm::open(&dir, LoadOptions { seed, ..options }).unwrap();
        let name = "cls.predictions.transform.dense.weight";
        model.parameters().get(name).unwrap().value().to_vec::<f32>().unwrap()
    };
    assert_eq!(weight(5), weight(5));
    assert_ne!(weight(5), weight(6));
}

#[test]
fn a_head_that_is_there_in_part_is_a_mismatch() {
    let dir = altered("bert-gelu", |tensors| {
        tensors.remove("classifier.bias").unwrap();
    });
    let text =
        SequenceClassifier::open(dir.path(), LoadOptions::default()).unwrap_err().to_string();
    assert!(text.contains("1 missing: classifier.bias"), "{text}");
    // Models that do not use it are not concerned.
    MaskedLm::open(dir.path(), LoadOptions::default()).unwrap();
}

#[test]
fn tied_parameters_are_stored_once_and_found_by_both_names() {
    let model = Whisper::new(&fresh(), &small_whisper()).unwrap();
    let parameters = model.parameters();
    let a = parameters.get("proj_out.weight").unwrap();
    let b = parameters.get("model.decoder.embed_tokens.weight").unwrap();
    assert_eq!(a.id(), b.id());
    assert!(parameters.names().all(|name| name != "proj_out.weight"));
    let mut distinct: Vec<_> = parameters.vars().map(|var| format!("{:?}", var.id())).collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), parameters.len());
}

#[test]
fn parameters_load_in_place_or_not_at_all() {
    let root = fresh();
    let first = root.get("first.weight", &[2, 3], Init::Normal(1.0)).unwrap();
    let second = root.get("second.bias", &[4], Init::Ones).unwrap();
    let parameters = root.finish().unwrap();
    assert_eq!(parameters.total(), 10);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("p.safetensors");
    parameters.save(&path, None).unwrap();

    let before = first.value().to_vec::<f32>().unwrap();
    first.set(&Tensor::zeros(&[2, 3], DType::F32, Device::Cpu).unwrap()).unwrap();
    parameters.load(&path).unwrap();
    assert_eq!(first.value().to_vec::<f32>().unwrap(), before);

    let mut tensors = Tensors::new();
    tensors.insert("first.weight".into(), noise(&[2, 3], 1));
    tensors.insert("second.bias".into(), noise(&[5], 1));
    tensors.insert("third".into(), noise(&[1], 1));
    write(&path, &tensors);
    let text = parameters.load(&path).unwrap_err().to_string();
    let told = "1 unexpected: third; 1 wrongly shaped: second.bias is [5], expected [4]";
    assert!(text.contains(told), "{text}");
    assert_eq!(first.value().to_vec::<f32>().unwrap(), before, "nothing changed");
    assert_eq!(second.value().to_vec::<f32>().unwrap(), [1.0; 4]);

    tensors.remove("third");
    let integers = Tensor::zeros(&[4], DType::I64, Device::Cpu).unwrap();
    tensors.insert("second.bias".into(), integers);
    write(&path, &tensors);
    let text = parameters.load(&path).unwrap_err().to_string().to_lowercase();
    assert!(text.contains("second.bias is i64, expected a float dtype"), "{text}");
}

#[test]
fn a_name_is_given_once() {
    let root = fresh();
    root.get("w", &[1], Init::Zeros).unwrap();
    let text = root.get("w", &[1], Init::Zeros).unwrap_err().to_string();
    assert_eq!(text, "parameters: `w` is registered twice");
    // The first one is still found.
    assert!(root.finish().unwrap().get("w").is_some());
}

#[test]
fn kind_is_read_from_the_config() {
    let kind = |case: &str| ModelKind::detect(&golden_dir().join(case)).unwrap();
    assert_eq!(kind("bert-gelu"), ModelKind::Bert);
    assert_eq!(kind("whisper-gelu"), ModelKind::Whisper);
    assert_eq!(kind("hubert/hubert-group"), ModelKind::Hubert);
    assert_eq!(kind("hubert/wav2vec2-pretraining"), ModelKind::Wav2Vec2);
}

/// Opens whatever model the folder says it holds.
fn open_any(dir: &Path) -> Result<Parameters, ZooError> {
    let options = LoadOptions::default();
    Ok(match ModelKind::detect(dir)? {
        ModelKind::Bert => Bert::open(dir, options)?.parameters().clone(),
        ModelKind::Whisper => Whisper::open(dir, options)?.parameters().clone(),
        ModelKind::Llama => Llama::open(dir, options)?.parameters().clone(),
        ModelKind::Hubert | ModelKind::Wav2Vec2 => Hubert::open(dir, options)?.parameters().clone(),
    })
}

#[test]
fn bad_folders_are_told_apart() {
    let dir = TempDir::new().unwrap();
    let at = dir.path().display();
    let open = || open_any(dir.path()).unwrap_err();
    let config = dir.path().join("config.json");
    let hint = "(hint: a model folder holds config.json, model.safetensors and tokenizer.json)";
    assert_eq!(open().to_string(), format!("{at}: folder has no `config.json` {hint}"));
    assert_eq!(open().kind(), ErrorKind::Config);

    for (text, told) in [
        (
            r#"{"model_type": "gpt2"}"#,
            "model_type is `gpt2`, expected one of `whisper`, `bert`, `llama`, `hubert`, `wav2vec2`",
        ),
        (
            r#"{}"#,
            "model_type is absent, expected one of `whisper`, `bert`, `llama`, `hubert`, `wav2vec2`",
        ),
        (r#"{"model_type": "bert","#, "EOF while parsing"),
        (
            r#"{"model_type": "bert", "hidden_size": "wide"}"#,
            "invalid type: string \"wide\", expected usize",
        ),
        (
            r#"{"model_type": "bert", "hidden_size": 10, "num_attention_heads": 3}"#,
            "hidden_size is 10, expected a multiple of num_attention_heads 3",
        ),
        (
            r#"{"model_type": "whisper", "encoder_attention_heads": 0}"#,
            "encoder_attention_heads is 0, expected at least 1",
        ),
        (
            r#"{"model_type": "whisper", "activation_function": "mish"}"#,
            "activation is `mish`, expected one of gelu",
        ),
        (r#"{"model_type": "bert", "hidden_dropout_prob": 1.0}"#, "expected 0 <= p < 1"),
        (
            r#"{"model_type": "bert", "position_embedding_type": "relative_key"}"#,
            "position_embedding_type is `relative_key`, expected `absolute`",
        ),
        (r#"{"model_type": "bert", "is_decoder": true}"#, "is_decoder is true, expected false"),
        (
            r#"{"model_type": "whisper", "d_model": 15, "encoder_attention_heads": 3,
                "decoder_attention_heads": 5}"#,
            "d_model is 15, expected an even number of at least 4",
        ),
    ] {
        std::fs::write(&config, text).unwrap();
        let error = open();
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("{}: ", config.display())), "{shown}");
        assert!(shown.contains(told), "{shown}\n  lacks\n{told}");
        assert_eq!(error.kind(), ErrorKind::Config, "{shown}");
    }

    std::fs::write(&config, r#"{"model_type": "bert"}"#).unwrap();
    assert_eq!(
        open().to_string(),
        format!(
            "weights: {at}: folder has neither `model.safetensors` nor \
             `model.safetensors.index.json` (hint: export pytorch_model.bin with \
             safe_serialization=True)"
        )
    );
    std::fs::write(dir.path().join("model.safetensors"), b"not weights").unwrap();
    assert_eq!(open().kind(), ErrorKind::Weights);
    assert!(open().to_string().contains("model.safetensors"));
}

#[test]
fn constants_of_decoding_come_from_either_config() {
    let dir = golden_dir().join("whisper-gelu");
    let model = Whisper::open(&dir, LoadOptions::default()).unwrap();
    let options = model.generate_options(vec![3, 5]);
    assert_eq!(options.begin_suppress_tokens, [2, 10, 61]);
    assert_eq!(options.suppress_tokens, [0, 1, 8, 9, 66]);
    assert_eq!(options.eos_token_ids, [2]);
    assert_eq!(options.max_new_tokens, 24 - 2);

    let alone = altered("whisper-gelu", |_| {});
    let older = Whisper::open(alone.path(), LoadOptions::default()).unwrap();
    assert_eq!(older.generate_options(vec![3, 5]), options);

    let text =
        r#"{"eos_token_id": [2, 4], "suppress_tokens": [-1], "begin_suppress_tokens": null}"#;
    std::fs::write(alone.path().join("generation_config.json"), text).unwrap();
    let newer = Whisper::open(alone.path(), LoadOptions::default()).unwrap();
    let options = newer.generate_options(vec![3]);
    assert_eq!(options.eos_token_ids, [2, 4]);
    assert!(options.suppress_tokens.is_empty() && options.begin_suppress_tokens.is_empty());
}

#[test]
fn defaults_are_those_of_transformers() {
    let whisper: WhisperConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(whisper, WhisperConfig::default());
    assert_eq!((whisper.d_model, whisper.max_source_positions), (384, 1500));
    let bert: BertConfig = serde_json::from_str("{}").unwrap();
    assert_eq!((bert.hidden_size, bert.num_labels()), (768, 2));
}

#[test]
fn builder_reads_any_scope_of_a_folder() {
    let dir = golden_dir().join("bert-bare");
    let rules = NameRules::exact();
    let root = Builder::from_folder(&dir, rules, LoadOptions::default()).unwrap();
    let words = root.scope("embeddings").get("word_embeddings.weight", &[64, 24], Init::Zeros);
    assert!(words.unwrap().value().to_vec::<f32>().unwrap().iter().any(|&v| v != 0.0));
    assert!(root.supplies("pooler") && !root.supplies("pool"));
    // The root of a folder with tensors is never drawn at random.
    let pooler = root.or_init().get("pooler.dense.bias", &[24], Init::Zeros).unwrap();
    assert!(pooler.value().to_vec::<f32>().unwrap().iter().any(|&v| v != 0.0));
    let text = root.finish().unwrap_err().to_string();
    assert_eq!(root.finish().unwrap_err().to_string(), text, "asking again changes nothing");
    assert!(text.contains("37 unexpected: embeddings.LayerNorm.bias, "), "{text}");
    assert!(text.contains(" and 27 more"), "{text}");
}
