//! BERT against `transformers`: forward and the gradient of every parameter.

use model_zoo::LoadOptions;
use model_zoo::bert::{Bert, BertInput, MaskedLm, SequenceClassifier};
use tensor_core::{Context, DType, Tensor};

use crate::common::*;

fn input(golden: &Golden) -> BertInput {
    BertInput {
        input_ids: golden.get("input_ids"),
        attention_mask: Some(golden.get("attention_mask")),
        token_type_ids: Some(golden.get("token_type_ids")),
        output_hidden_states: true,
    }
}

fn compare_states(verdict: &mut Verdict, golden: &Golden, hidden_states: &[Tensor]) {
    let mask = golden.ids("attention_mask");
    assert_eq!(hidden_states.len(), golden.names_below("hidden_states.").len());
    for (k, got) in hidden_states.iter().enumerate() {
        let name = format!("hidden_states.{k}");
        verdict.close_rows(&name, got, &golden.get(&name), &mask);
    }
}

#[test]
fn masked_lm_equals_transformers_forward_and_backward() {
    for dir in golden_cases("bert-").iter().filter(|dir| name_of(dir) != "bert-bare") {
        let golden = Golden::open(dir);
        let mask = golden.ids("attention_mask");
        let model = MaskedLm::open(dir, LoadOptions::default()).unwrap();
        assert!(model.parameters().initialised().is_empty());
        let (logits, output) = model.forward(&Context::grad(), &input(&golden)).unwrap();

        let mut verdict = Verdict::default();
        compare_states(&mut verdict, &golden, &output.hidden_states);
        let last = golden.get("last_hidden_state");
        verdict.close_rows("last_hidden_state", &output.last_hidden_state, &last, &mask);
        verdict.close_rows("mlm_logits", &logits, &golden.get("mlm_logits"), &mask);

        let loss = mean_cross_entropy(&logits, &golden.get("mlm_labels"));
        verdict.close("mlm_loss", &loss, &golden.get("mlm_loss"), GOLDEN);
        let gradients = loss.backward().unwrap();
        let parameters = model.parameters();
        verdict.close_gradients(&golden, "grad.", &gradients, parameters, str::to_owned);
        let unchecked = parameters
            .names()
            .filter(|name| golden.try_get(&format!("grad.{name}")).is_none())
            .count();
        assert_eq!(unchecked, 0, "{}: parameters without a golden gradient", name_of(dir));
        verdict.finish(&name_of(dir));
    }
}

#[test]
fn classifier_equals_transformers_forward_and_backward() {
    for dir in golden_cases("bert-").iter().filter(|dir| name_of(dir) != "bert-bare") {
        let golden = Golden::open(dir);
        let model = SequenceClassifier::open(dir, LoadOptions::default()).unwrap();
        assert!(model.parameters().initialised().is_empty());
        let (logits, output) = model.forward(&Context::grad(), &input(&golden)).unwrap();

        let mut verdict = Verdict::default();
        let pooler = model.bert.pooler().unwrap();
        let pooled = pooler.forward(&eval(), &output.last_hidden_state).unwrap();
        verdict.close("pooler_output", &pooled, &golden.get("pooler_output"), GOLDEN);
        verdict.close("class_logits", &logits, &golden.get("class_logits"), GOLDEN);

        let labels = golden.get("class_labels");
        let loss = match labels.dtype() {
            DType::I64 => mean_cross_entropy(&logits, &labels),
            _ => {
                logits.squeeze(1).unwrap().sub(&labels).unwrap().sqr().unwrap().mean_all().unwrap()
            }
        };
        verdict.close("class_loss", &loss, &golden.get("class_loss"), GOLDEN);
        let gradients = loss.backward().unwrap();
        verdict.close_gradients(
            &golden,
            "grad_class.",
            &gradients,
            model.parameters(),
            str::to_owned,
        );
        verdict.finish(&name_of(dir));
    }
}

#[test]
fn bare_encoder_with_unprefixed_names_equals_transformers() {
    let dir = golden_dir().join("bert-bare");
    let golden = Golden::open(&dir);
    let model = Bert::open(&dir, LoadOptions::default()).unwrap();
    let output = model.forward(&Context::grad(), &input(&golden)).unwrap();
    assert_eq!(output.lengths, [9, 4]);

    let mut verdict = Verdict::default();
    compare_states(&mut verdict, &golden, &output.hidden_states);
    let pooled = model.pooler().unwrap().forward(&eval(), &output.last_hidden_state).unwrap();
    verdict.close("pooler_output", &pooled, &golden.get("pooler_output"), GOLDEN);

    let loss = output.last_hidden_state.mul(&golden.get("probe")).unwrap().sum_all().unwrap();
    verdict.close("probe_loss", &loss, &golden.get("probe_loss"), GOLDEN);
    let gradients = loss.backward().unwrap();
    let rooted = |name: &str| format!("bert.{name}");
    verdict.close_gradients(&golden, "grad.", &gradients, model.parameters(), rooted);
    verdict.finish("bert-bare");
}

#[test]
fn logits_at_positions_are_the_rows_of_all_logits() {
    let dir = golden_dir().join("bert-gelu");
    let golden = Golden::open(&dir);
    let model = MaskedLm::open(&dir, LoadOptions::default()).unwrap();
    let (logits, output) = model.forward(&eval(), &input(&golden)).unwrap();
    let positions = [0, 12, 3, 12];
    let chosen = model.logits_at(&eval(), &output.last_hidden_state, &positions).unwrap();
    let vocab = model.bert.config.vocab_size;
    let all = logits.to_vec::<f32>().unwrap();
    for (row, &at) in chosen.to_vec::<f32>().unwrap().chunks(vocab).zip(&positions) {
        let widened = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (error, top) = difference(&widened(row), &widened(&all[at * vocab..(at + 1) * vocab]));
        assert!(error <= 1e-6 * top, "position {at}: {error:e}");
    }
    let text = model.logits_at(&eval(), &output.last_hidden_state, &[33]).unwrap_err().to_string();
    assert_eq!(text, "logits_at: position 33, expected below B * T = 3 * 11");
}
