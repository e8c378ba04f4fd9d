//! HuBERT and wav2vec 2.0 against `transformers`: all states, logits and every gradient.

use std::path::Path;

use model_zoo::hubert::{Hubert, HubertCtc, HubertInput, HubertOutput};
use model_zoo::{LoadOptions, Parameters, WeightForm};
use tensor_core::{Context, DType, SafeTensors, Tensor, ctc_loss, save_safetensors};

use crate::common::*;

/// Golden files of speech encoders.
pub fn hubert_dir() -> std::path::PathBuf {
    golden_dir().join("hubert")
}

fn lengths(golden: &Golden, name: &str) -> Vec<usize> {
    golden.ids(name).into_iter().map(|n| n as usize).collect()
}

/// Runs `forward` on the inputs of a case.
fn with_input<R>(golden: &Golden, forward: impl FnOnce(&HubertInput<'_>) -> R) -> R {
    let values = golden.get("input_values");
    let samples = lengths(golden, "sample_lengths");
    let mask = golden.try_get("mask_time_indices");
    let input = HubertInput {
        mask_time_indices: mask.as_ref(),
        output_hidden_states: true,
        ..HubertInput::with_lengths(&values, &samples)
    };
    forward(&input)
}

fn compare_states(verdict: &mut Verdict, golden: &Golden, output: &HubertOutput) {
    let valid = lengths(golden, "frame_lengths");
    assert_eq!(output.lengths, valid);
    let frames = output.last_hidden_state.shape()[1];
    let binds: Vec<i64> =
        valid.iter().flat_map(|&n| (0..frames).map(move |t| i64::from(t < n))).collect();
    let names = golden.names_below("hidden_states.");
    assert_eq!(output.hidden_states.len(), names.len());
    for (k, got) in output.hidden_states.iter().enumerate() {
        let name = format!("hidden_states.{k}");
        verdict.close_rows(&name, got, &golden.get(&name), &binds);
    }
    let last = golden.get("last_hidden_state");
    verdict.close_rows("last_hidden_state", &output.last_hidden_state, &last, &binds);
}

fn compare_gradients(verdict: &mut Verdict, golden: &Golden, loss: &Tensor, all: &Parameters) {
    verdict.close("loss", loss, &golden.get("loss"), GOLDEN);
    let gradients = loss.backward().unwrap();
    verdict.close_gradients(golden, "grad.", &gradients, all, |name| rooted(name, all));
    let named = golden.names_below("grad.");
    let checked: Vec<String> = named.iter().map(|name| rooted(name, all)).collect();
    let unchecked: Vec<&str> =
        all.names().filter(|name| !checked.iter().any(|c| c == name)).collect();
    // The mask embedding alone, where no frame was replaced.
    let unused = unchecked.iter().all(|name| name.ends_with("masked_spec_embed"));
    assert!(unused && unchecked.len() <= 1, "parameters without a golden gradient: {unchecked:?}");
}

/// A name as the model has it; bare encoders are saved without their root.
fn rooted(name: &str, parameters: &Parameters) -> String {
    match parameters.get(name) {
        Some(_) => name.to_owned(),
        None => format!("hubert.{name}"),
    }
}

/// Sum of the CTC losses of a case's labels.
fn loss_of(golden: &Golden, logits: &Tensor, frames: &[usize], blank: usize) -> Tensor {
    let labels = golden.get("labels");
    let targets: Vec<Vec<u32>> = labels
        .to_vec::<i64>()
        .unwrap()
        .chunks(labels.shape()[1])
        .map(|row| row.iter().filter(|&&id| id >= 0).map(|&id| id as u32).collect())
        .collect();
    ctc_loss(logits, frames, &targets, blank, false).unwrap().sum_all().unwrap()
}

fn check_ctc(dir: &Path) {
    let golden = Golden::open(dir);
    let model = HubertCtc::open(dir, LoadOptions::default()).unwrap();
    assert!(model.parameters().initialised().is_empty());
    let (logits, output) =
        with_input(&golden, |input| model.forward(&Context::grad(), input)).unwrap();
    let mut verdict = Verdict::default();
    compare_states(&mut verdict, &golden, &output);
    let expected = golden.get("logits");
    for (item, &n) in output.lengths.iter().enumerate() {
        let valid = |t: &Tensor| t.select(0, item).unwrap().narrow(0, 0, n).unwrap();
        verdict.close(&format!("logits of {item}"), &valid(&logits), &valid(&expected), GOLDEN);
    }
    let blank = model.hubert.config.pad_token_id.unwrap() as usize;
    let loss = loss_of(&golden, &logits, &output.lengths, blank);
    compare_gradients(&mut verdict, &golden, &loss, model.parameters());
    verdict.finish(&name_of(dir));
}

fn check_bare(dir: &Path) {
    let golden = Golden::open(dir);
    let model = Hubert::open(dir, LoadOptions::default()).unwrap();
    assert!(model.parameters().initialised().is_empty());
    let output = with_input(&golden, |input| model.forward(&Context::grad(), input)).unwrap();
    let mut verdict = Verdict::default();
    compare_states(&mut verdict, &golden, &output);
    let loss = output.last_hidden_state.mul(&golden.get("probe")).unwrap().sum_all().unwrap();
    compare_gradients(&mut verdict, &golden, &loss, model.parameters());
    verdict.finish(&name_of(dir));
}

#[test]
fn hubert_and_wav2vec2_equal_transformers_forward_and_backward() {
    let mut cases = golden_cases_in(&hubert_dir(), "hubert-");
    cases.extend(golden_cases_in(&hubert_dir(), "wav2vec2-"));
    assert_eq!(cases.len(), 8);
    for dir in cases {
        match Golden::open(&dir).try_get("labels") {
            Some(_) => check_ctc(&dir),
            None => check_bare(&dir),
        }
    }
}

#[test]
fn a_file_of_one_family_loads_as_the_other() {
    let from = hubert_dir().join("hubert-layer-stable");
    let dir = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(from.join("config.json")).unwrap();
    let config = config.replace("\"model_type\": \"hubert\"", "\"model_type\": \"wav2vec2\"");
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    std::fs::copy(from.join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let golden = Golden::open(&from);
    let model = HubertCtc::open(dir.path(), LoadOptions::default()).unwrap();
    let name = "wav2vec2.encoder.layers.2.layer_norm.weight";
    assert!(model.parameters().get(name).is_some());
    let output = with_input(&golden, |input| model.hubert.forward(&eval(), input)).unwrap();
    let mut verdict = Verdict::default();
    compare_states(&mut verdict, &golden, &output);
    verdict.finish("as wav2vec2");
}

#[test]
fn folders_survive_a_round_trip_under_the_new_names() {
    for case in ["hubert-layer-old-names", "wav2vec2-layer-stable"] {
        let from = hubert_dir().join(case);
        let model = HubertCtc::open(&from, LoadOptions::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        model.save_hf_folder(dir.path(), None).unwrap();
        let config = |dir: &Path| -> serde_json::Value {
            let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        assert_eq!(config(&from), config(dir.path()));
        let again = HubertCtc::open(dir.path(), LoadOptions::default()).unwrap();
        assert_eq!(model.hubert.config, again.hubert.config);
        for ((name, a), b) in model.parameters().iter().zip(again.parameters().vars()) {
            assert_eq!(a.value().to_vec_f32().unwrap(), b.value().to_vec_f32().unwrap(), "{name}");
        }
        let names = SafeTensors::open(dir.path().join("model.safetensors")).unwrap().names();
        assert_eq!(names.len(), model.parameters().len());
        let norm = "encoder.pos_conv_embed.conv.parametrizations.weight.original";
        assert_eq!(names.iter().filter(|name| name.contains(norm)).count(), 2);
    }
}

#[test]
fn half_weights_kept_as_stored_give_what_the_same_values_give_in_f32() {
    let from = hubert_dir().join("hubert-layer-stable");
    let golden = Golden::open(&from);
    let dir = tempfile::tempdir().unwrap();
    let full = HubertCtc::open(&from, LoadOptions::default()).unwrap();
    full.save_hf_folder(dir.path(), Some(DType::BF16)).unwrap();
    let run = |weights: WeightForm| {
        let options = LoadOptions { weights, ..LoadOptions::default() };
        let model = HubertCtc::open(dir.path(), options).unwrap();
        with_input(&golden, |input| model.forward(&eval(), input)).unwrap().0
    };
    let expected = run(WeightForm::DType(DType::F32));
    let mut verdict = Verdict::default();
    verdict.close("logits", &run(WeightForm::AsStored), &expected, GOLDEN);
    verdict.finish("as stored");
}

#[test]
fn a_fine_tuned_file_may_lack_the_mask_embedding_and_a_bare_one_the_head() {
    let from = hubert_dir().join("hubert-group");
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let file = SafeTensors::open(from.join("model.safetensors")).unwrap();
    let keep = |name: &String| !name.contains("masked_spec_embed") && !name.contains("lm_head");
    let tensors: Vec<(String, Tensor)> = file
        .names()
        .into_iter()
        .filter(keep)
        .map(|name| (name.clone(), file.tensor(&name).unwrap()))
        .collect();
    let path = dir.path().join("model.safetensors");
    save_safetensors(&path, &tensors, &Default::default()).unwrap();
    let model = HubertCtc::open(dir.path(), LoadOptions::default()).unwrap();
    let drawn = ["hubert.masked_spec_embed", "lm_head.weight", "lm_head.bias"];
    assert_eq!(model.parameters().initialised(), drawn);
}

#[test]
fn a_folder_of_another_model_is_refused_by_name() {
    let error = Hubert::open(&golden_dir().join("bert-gelu"), LoadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), model_zoo::ErrorKind::Config);
    assert!(error.to_string().contains("unknown variant `bert`, expected `hubert` or `wav2vec2`"));
}
