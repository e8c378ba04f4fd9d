//! Whisper against `transformers`: both stacks, every gradient, greedy ids.

use model_zoo::LoadOptions;
use model_zoo::whisper::{DecoderInput, EncoderInput, Whisper, shift_tokens_right};
use tensor_core::{Context, Tensor};

use crate::common::*;

fn open(dir: &std::path::Path) -> Whisper {
    Whisper::open(dir, LoadOptions::default()).unwrap()
}

fn compare(verdict: &mut Verdict, golden: &Golden, prefix: &str, got: &[Tensor]) {
    assert_eq!(got.len(), golden.names_below(prefix).len());
    for (k, got) in got.iter().enumerate() {
        let name = format!("{prefix}{k}");
        verdict.close(&name, got, &golden.get(&name), GOLDEN);
    }
}

#[test]
fn whisper_equals_transformers_forward_and_backward() {
    for dir in golden_cases("whisper-") {
        let golden = Golden::open(&dir);
        let model = open(&dir);
        let ctx = Context::grad();
        let features = golden.get("input_features");
        let input = EncoderInput { output_hidden_states: true, ..EncoderInput::new(&features) };
        let memory = model.encode(&ctx, &input).unwrap();

        let mut verdict = Verdict::default();
        compare(&mut verdict, &golden, "hidden_states.", &memory.hidden_states);
        let last = golden.get("last_hidden_state");
        verdict.close("last_hidden_state", &memory.last_hidden_state, &last, GOLDEN);

        let ids = golden.get("decoder_input_ids");
        let input = DecoderInput { output_hidden_states: true, ..DecoderInput::new(&ids, &memory) };
        let output = model.decoder.forward(&ctx, &input).unwrap();
        compare(&mut verdict, &golden, "decoder_hidden_states.", &output.hidden_states);
        let logits = model.decoder.project(&ctx, &output.last_hidden_state).unwrap();
        verdict.close("logits", &logits, &golden.get("logits"), GOLDEN);

        let loss = mean_cross_entropy(&logits, &golden.get("labels"));
        verdict.close("loss", &loss, &golden.get("loss"), GOLDEN);
        let gradients = loss.backward().unwrap();
        let parameters = model.parameters();
        verdict.close_gradients(&golden, "grad.", &gradients, parameters, str::to_owned);
        let unchecked: Vec<&str> = parameters
            .names()
            .filter(|name| golden.try_get(&format!("grad.{name}")).is_none())
            .collect();
        assert_eq!(unchecked, ["model.encoder.embed_positions.weight"], "{}", name_of(&dir));
        verdict.finish(&name_of(&dir));
    }
}

/// Prompt, new tokens and, where the row ended, the end token: as the golden file counts.
fn greedy(model: &Whisper, features: &Tensor, golden: &Golden) -> Vec<Vec<i64>> {
    let memory = model.encode(&eval(), &EncoderInput::new(features)).unwrap();
    let width = golden.get("prompt_ids").shape()[1];
    let prompt: Vec<u32> = golden.ids("prompt_ids")[..width].iter().map(|&id| id as u32).collect();
    let mut options = model.generate_options(prompt.clone());
    options.max_new_tokens = golden.remark("max_new_tokens").as_u64().unwrap() as usize;
    let rows = best_ids(model.generate(&eval(), &memory, &options).unwrap());
    rows.into_iter()
        .map(|row| {
            let ended = row.len() < options.max_new_tokens;
            let end = ended.then_some(model.config.eos_token_id);
            prompt.iter().copied().chain(row).chain(end).map(i64::from).collect()
        })
        .collect()
}

#[test]
fn greedy_ids_equal_transformers_in_a_batch_and_alone() {
    for dir in golden_cases("whisper-") {
        let golden = Golden::open(&dir);
        let model = open(&dir);
        let features = golden.get("input_features");
        let width = golden.get("generated_ids").shape()[1];
        let expected: Vec<Vec<i64>> = golden
            .ids("generated_ids")
            .chunks(width)
            .zip(golden.ids("generated_lengths"))
            .map(|(row, n)| row[..n as usize].to_vec())
            .collect();
        assert_eq!(greedy(&model, &features, &golden), expected, "{}", name_of(&dir));
        for (item, expected) in expected.iter().enumerate() {
            let alone = features.narrow(0, item, 1).unwrap();
            let got = greedy(&model, &alone, &golden);
            assert_eq!(got[0], *expected, "{} item {item} alone", name_of(&dir));
        }
    }
}

#[test]
fn shifted_labels_are_the_decoder_inputs_of_transformers() {
    for dir in golden_cases("whisper-") {
        let golden = Golden::open(&dir);
        let config = open(&dir).config;
        let width = golden.get("labels").shape()[1];
        let (pad, start) = (config.pad_token_id.unwrap(), config.decoder_start_token_id);
        let shifted: Vec<i64> = golden
            .ids("labels")
            .chunks(width)
            .flat_map(|row| shift_tokens_right(row, pad, start))
            .collect();
        assert_eq!(shifted, golden.ids("decoder_input_ids"), "{}", name_of(&dir));
    }
}
