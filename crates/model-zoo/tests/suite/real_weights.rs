//! Published weights against the outputs that `transformers` gave on them.

use model_zoo::bert::{Bert, BertInput};
use model_zoo::whisper::{EncoderInput, Prompt, Whisper, prompt_ids};
use model_zoo::{LoadOptions, Tokenizer};
use serde_json::Value;
use tensor_core::{Device, Tensor};

use crate::common::*;

/// Largest absolute error over the largest expected value: full-size models add up f32 rounding.
const PARITY: f64 = 2e-4;

#[test]
fn whisper_tiny_hears_what_it_hears_in_transformers() {
    let Some(data) = shared_data("whisper_tiny_hears_what_it_hears_in_transformers") else {
        return;
    };
    let dir = data.join("models/whisper-tiny");
    let golden = Golden::file(&data.join("golden/whisper-tiny_jfk.safetensors"));
    let model = Whisper::open(&dir, LoadOptions::default()).unwrap();
    assert_eq!(model.parameters().total(), 37_760_640);

    let features = golden.get("input_features").unsqueeze(0).unwrap();
    let memory = model.encode(&eval(), &EncoderInput::new(&features)).unwrap();
    let mut verdict = Verdict::default();
    let states = memory.last_hidden_state.squeeze(0).unwrap();
    let expected = golden.get("encoder_last_hidden_state");
    verdict.close("encoder_last_hidden_state", &states, &expected, PARITY);

    let prompt = golden.ids("prompt_ids");
    let ids = Tensor::from_vec(prompt.clone(), &[1, prompt.len()], Device::Cpu).unwrap();
    let logits = model.decode(&eval(), &ids, &memory).unwrap().squeeze(0).unwrap();
    verdict.close("prompt_logits", &logits, &golden.get("prompt_logits"), PARITY);
    verdict.finish("whisper-tiny");

    let tokenizer = Tokenizer::open(&dir).unwrap();
    let prompt = prompt_ids(&tokenizer, Prompt::default()).unwrap();
    let named: Vec<i64> = prompt.iter().copied().map(i64::from).collect();
    assert_eq!(named, golden.ids("prompt_ids"));
    let rows = model.greedy(&eval(), &memory, &model.greedy_options(prompt)).unwrap();
    let expected: Vec<u32> = golden
        .ids("generated_ids")
        .into_iter()
        .map(|id| id as u32)
        .filter(|id| !tokenizer.special_ids().contains(id))
        .collect();
    assert_eq!(rows[0], expected);
    assert_eq!(
        tokenizer.decode(&rows[0], true).unwrap().trim(),
        "And so my fellow Americans ask not what your country can do for you ask what you can \
         do for your country."
    );
}

#[test]
fn minilm_reads_what_it_reads_in_transformers() {
    let Some(data) = shared_data("minilm_reads_what_it_reads_in_transformers") else { return };
    let dir = data.join("models/all-minilm-l6-v2");
    let golden = Golden::file(&data.join("golden/minilm.safetensors"));
    let readme = std::fs::read_to_string(data.join("golden/README.json")).unwrap();
    let readme: Value = serde_json::from_str(&readme).unwrap();

    let tokenizer = Tokenizer::open(&dir).unwrap();
    let rows: Vec<Vec<u32>> = readme["files"]["minilm"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| tokenizer.encode(text.as_str().unwrap(), true).unwrap())
        .collect();
    let input = BertInput::from_ids(&rows, tokenizer.pad_id().unwrap(), Device::Cpu).unwrap();
    assert_eq!(input.input_ids.to_vec::<i64>().unwrap(), golden.ids("input_ids"));

    let model = Bert::open(&dir, LoadOptions::default()).unwrap();
    let output = model.forward(&eval(), &input).unwrap();
    let expected = golden.get("last_hidden_state");
    let mut verdict = Verdict::default();
    let mask = golden.ids("attention_mask");
    verdict.close_rows("last_hidden_state", &output.last_hidden_state, &expected, &mask);
    verdict.finish("all-minilm-l6-v2");
}
