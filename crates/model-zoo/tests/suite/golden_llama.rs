//! LLaMA against `transformers`: forward, the gradient of every parameter, and decoding.

use std::path::Path;

use model_zoo::decoding::{GenerateOptions, Strategy};
use model_zoo::llama::{Llama, LlamaInput, LlamaSession, LlamaTokens};
use model_zoo::{LoadOptions, WeightForm};
use tensor_core::{Context, DType, Tensor, Var};

use crate::common::*;

/// The input of a case; vectors are leaves, so that their gradient can be asked for.
fn input(golden: &Golden) -> (LlamaInput, Option<Var>) {
    let vectors = golden.try_get("inputs_embeds").map(Var::new);
    let tokens = match &vectors {
        Some(vectors) => LlamaTokens::InputsEmbeds(vectors.tensor()),
        None => LlamaTokens::InputIds(golden.get("input_ids")),
    };
    let input = LlamaInput {
        attention_mask: Some(golden.get("attention_mask")),
        position_ids: Some(golden.get("position_ids")),
        output_hidden_states: true,
        ..LlamaInput::new(tokens)
    };
    (input, vectors)
}

fn open(dir: &Path) -> Llama {
    Llama::open(dir, LoadOptions::default()).unwrap()
}

#[test]
fn llama_equals_transformers_forward_and_backward() {
    for dir in golden_cases("llama-") {
        let golden = Golden::open(&dir);
        let mask = golden.ids("attention_mask");
        let model = open(&dir);
        let ctx = Context::grad();
        let (input, vectors) = input(&golden);
        let output = model.forward(&ctx, &input).unwrap();
        let logits = model.logits(&ctx, &output.last_hidden_state).unwrap();

        let mut verdict = Verdict::default();
        assert_eq!(output.hidden_states.len(), golden.names_below("hidden_states.").len());
        for (k, got) in output.hidden_states.iter().enumerate() {
            let name = format!("hidden_states.{k}");
            verdict.close_rows(&name, got, &golden.get(&name), &mask);
        }
        verdict.close_rows("logits", &logits, &golden.get("logits"), &mask);

        let loss = mean_cross_entropy(&logits, &golden.get("labels"));
        verdict.close("loss", &loss, &golden.get("loss"), GOLDEN);
        let gradients = loss.backward().unwrap();
        let parameters = model.parameters();
        verdict.close_gradients(&golden, "grad.", &gradients, parameters, str::to_owned);
        if let Some(vectors) = vectors {
            let (got, want) = (gradients.get(&vectors).unwrap(), golden.get("grad_inputs_embeds"));
            verdict.close("grad_inputs_embeds", got, &want, GOLDEN);
        }
        let unchecked: Vec<&str> = parameters
            .names()
            .filter(|name| golden.try_get(&format!("grad.{name}")).is_none())
            // Vectors instead of tokens do not reach the embedding.
            .filter(|name| !(name_of(&dir) == "llama-vectors" && name.contains("embed_tokens")))
            .collect();
        assert!(unchecked.is_empty(), "{}: no golden gradient of {unchecked:?}", name_of(&dir));
        verdict.finish(&name_of(&dir));
    }
}

#[test]
fn positions_are_counted_over_attended_tokens_where_none_are_given() {
    for case in ["llama-plain", "llama-grouped", "llama-dynamic"] {
        let dir = golden_dir().join(case);
        let golden = Golden::open(&dir);
        let (given, _) = input(&golden);
        let counted = LlamaInput { position_ids: None, ..given.clone() };
        let model = open(&dir);
        let states = |input| model.forward(&eval(), input).unwrap().last_hidden_state;
        let (got, want) = (states(&counted), states(&given));
        assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap(), "{case}");
    }
}

#[test]
fn greedy_decoding_with_a_cache_takes_the_tokens_that_generate_takes() {
    let mut checked = 0;
    for dir in golden_cases("llama-") {
        let golden = Golden::open(&dir);
        let Some(expected) = golden.try_get("generated_ids") else { continue };
        let model = open(&dir);
        let prompts = LlamaInput {
            attention_mask: Some(golden.get("prompt_mask")),
            ..LlamaInput::new(LlamaTokens::InputIds(golden.get("prompt_ids")))
        };
        let mut session = LlamaSession::new(&model);
        let logits = session.read(&eval(), &prompts).unwrap();
        let rows = greedy(&mut session, logits, expected.shape()[1]);
        let rows: Vec<i64> = rows.concat().into_iter().map(i64::from).collect();
        assert_eq!(rows, expected.to_vec::<i64>().unwrap(), "{}", name_of(&dir));
        let options = GenerateOptions {
            strategy: Strategy::Greedy,
            max_new_tokens: expected.shape()[1],
            eos_token_ids: vec![],
        };
        let found = model.generate(&eval(), &prompts, &[], &options).unwrap();
        let rows = found.iter().flat_map(|list| &list[0].ids).map(|&id| i64::from(id));
        assert_eq!(rows.collect::<Vec<_>>(), expected.to_vec::<i64>().unwrap());
        checked += 1;
    }
    assert!(checked >= 4, "{checked} cases");
}

#[test]
fn a_model_in_f64_leaves_the_rounding_of_its_tables_alone() {
    // Golden numbers are f32, and cosines of `torch` may be wrong in their last bit.
    let dir = golden_dir().join("llama-3");
    let golden = Golden::open(&dir);
    let options = LoadOptions { weights: WeightForm::DType(DType::F64), ..LoadOptions::default() };
    let model = Llama::open(&dir, options).unwrap();
    let output = model.forward(&eval(), &input(&golden).0).unwrap();
    let logits = model.logits(&eval(), &output.last_hidden_state).unwrap();
    let mask = golden.ids("attention_mask");
    let seen: Vec<f64> = mask.iter().map(|&m| m as f64).collect();
    let seen = Tensor::from_vec(seen, &[2, 32, 1], logits.device()).unwrap();
    let mut verdict = Verdict::default();
    verdict.close("logits", &logits.mul(&seen).unwrap(), &golden.get("logits"), 5e-7);
    verdict.finish("llama-3");
}
