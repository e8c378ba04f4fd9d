//! Published weights against the outputs that `transformers` gave on them.

use std::path::PathBuf;

use model_zoo::bert::{Bert, BertInput};
use model_zoo::llama::{Llama, LlamaInput, LlamaSession, LlamaTokens};
use model_zoo::whisper::{EncoderInput, Prompt, Whisper, prompt_ids};
use model_zoo::{LoadOptions, Tokenizer, WeightForm};
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
    let options = model.generate_options(prompt);
    let rows = best_ids(model.generate(&eval(), &memory, &options).unwrap());
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

/// The data, and the folder of the LLaMA `name` in it, or `None` with a message when that lacks
/// its weights.
fn llama_folder(test: &str, name: &str) -> Option<[PathBuf; 2]> {
    let data = shared_data(test)?;
    let dir = data.join("models").join(name);
    if dir.join("model.safetensors").is_file() {
        return Some([data, dir]);
    }
    eprintln!("skipped {test}: no weights of {name} (get_models.py makes them)");
    None
}

/// The likeliest `steps` tokens after a prompt.
fn continued(model: &Llama, prompt: &[i64], steps: usize) -> Vec<i64> {
    let ids = Tensor::from_vec(prompt.to_vec(), &[1, prompt.len()], Device::Cpu).unwrap();
    let mut session = LlamaSession::new(model);
    let input = LlamaInput::new(LlamaTokens::InputIds(ids));
    let logits = session.read(&eval(), &input).unwrap();
    greedy(&mut session, logits, steps)[0].iter().map(|&id| i64::from(id)).collect()
}

#[test]
fn llamas_continue_texts_as_they_do_in_transformers() {
    let test = "llamas_continue_texts_as_they_do_in_transformers";
    let golden = Golden::file(&golden_dir().join("real-llama/golden.safetensors"));
    let prompts: Value = golden.case();
    for (name, parameters) in
        [("stories260K", 260_032), ("stories15M", 15_191_712), ("smollm2-135m", 134_515_008)]
    {
        let Some([_, dir]) = llama_folder(test, name) else { continue };
        let model = Llama::open(&dir, LoadOptions::default()).unwrap();
        assert_eq!(model.parameters().total(), parameters, "{name}");
        let tokenizer = model.open_tokenizer(&dir).unwrap();
        let prompt = tokenizer.encode(prompts[name][0].as_str().unwrap(), true).unwrap();
        let prompt: Vec<i64> = prompt.into_iter().map(i64::from).collect();
        assert_eq!(prompt, golden.ids(&format!("{name}.ids")), "{name}");
        let expected = golden.ids(&format!("{name}.generated"));
        assert_eq!(continued(&model, &prompt, expected.len()), expected, "{name}");
        if let Some(expected) = golden.try_get(&format!("{name}.logits")) {
            let ids = Tensor::from_vec(prompt.clone(), &[1, prompt.len()], Device::Cpu).unwrap();
            let input = LlamaInput::new(LlamaTokens::InputIds(ids));
            let output = model.forward(&eval(), &input).unwrap();
            let logits = model.logits(&eval(), &output.last_hidden_state).unwrap();
            let mut verdict = Verdict::default();
            verdict.close("logits", &logits.squeeze(0).unwrap(), &expected, PARITY);
            verdict.finish(name);
        }
    }
}

#[test]
fn llamas_continue_texts_alike_in_every_form_of_weights() {
    let test = "llamas_continue_texts_alike_in_every_form_of_weights";
    let golden = Golden::file(&golden_dir().join("real-llama/golden.safetensors"));
    // Tokens for which 8 bits are enough to say the same.
    for (name, alike) in [("stories260K", 24), ("smollm2-135m", 8)] {
        let Some([_, dir]) = llama_folder(test, name) else { continue };
        let open =
            |weights| Llama::open(&dir, LoadOptions { weights, ..LoadOptions::default() }).unwrap();
        let prompt = golden.ids(&format!("{name}.ids"));
        let expected = golden.ids(&format!("{name}.generated"));
        let stored = open(WeightForm::AsStored);
        assert_eq!(continued(&stored, &prompt, expected.len()), expected, "{name}");

        let int8 = open(WeightForm::Int8);
        let logits = |model: &Llama| {
            let ids = Tensor::from_vec(prompt.clone(), &[1, prompt.len()], Device::Cpu).unwrap();
            let input = LlamaInput::new(LlamaTokens::InputIds(ids));
            let output = model.forward(&eval(), &input).unwrap();
            model.logits(&eval(), &output.last_hidden_state).unwrap()
        };
        let mut verdict = Verdict::default();
        // Half a step is one part in 254 of the largest weight near by; thirty layers make it 3 %.
        verdict.close("logits in 8 bits", &logits(&int8), &logits(&stored), 0.05);
        verdict.finish(name);
        assert_eq!(continued(&int8, &prompt, alike), expected[..alike], "{name} in 8 bits");
    }
}

#[test]
fn stories15m_has_the_states_it_has_in_transformers() {
    let test = "stories15m_has_the_states_it_has_in_transformers";
    let Some([data, dir]) = llama_folder(test, "stories15M") else { return };
    let golden = Golden::file(&data.join("golden/stories15M.safetensors"));
    let model = Llama::open(&dir, LoadOptions::default()).unwrap();
    let ids = golden.get("input_ids").unsqueeze(0).unwrap();
    let input = LlamaInput::new(LlamaTokens::InputIds(ids)).with_hidden_states();
    let output = model.forward(&eval(), &input).unwrap();
    let logits = model.logits(&eval(), &output.last_hidden_state).unwrap();
    let mut verdict = Verdict::default();
    let states = [
        ("hidden_3", &output.hidden_states[3], PARITY),
        ("hidden_last", &output.last_hidden_state, PARITY),
        // Stored as f16, which rounds by up to 2^-11.
        ("logits", &logits, 2f64.powi(-11) + PARITY),
    ];
    for (name, got, bound) in states {
        let expected = golden.get(name);
        verdict.close(name, &got.reshape(expected.shape()).unwrap(), &expected, bound);
    }
    verdict.finish("stories15M");

    let (prompt, whole) = (golden.ids("input_ids"), golden.ids("generated_ids"));
    let (read, expected) = whole.split_at(prompt.len());
    assert_eq!(
        (read, continued(&model, &prompt, expected.len())),
        (&prompt[..], expected.to_vec())
    );
}
