//! What must hold for BERT on any weights.

use model_zoo::bert::{Bert, BertConfig, BertInput, MaskedLm, SequenceClassifier};
use tensor_core::{Context, DType, Device, Tensor};

use crate::common::*;

const TEXTS: [&[u32]; 4] = [&[2, 5, 9, 30, 11, 3], &[2, 3], &[7], &[2, 8, 8, 8, 4, 1, 3]];

fn texts() -> Vec<Vec<u32>> {
    TEXTS.iter().map(|text| text.to_vec()).collect()
}

fn input(rows: &[Vec<u32>], pad: u32) -> BertInput {
    BertInput::from_ids(rows, pad, Device::Cpu).unwrap().with_hidden_states()
}

#[test]
fn text_in_a_padded_batch_gives_what_it_gives_alone() {
    let model = Bert::new(&fresh(), &small_bert()).unwrap();
    let mut verdict = Verdict::default();
    // Whatever stands in the padding: the padding token or any other.
    for pad in [0, 29] {
        let together = model.forward(&eval(), &input(&texts(), pad)).unwrap();
        assert_eq!(together.lengths, [6, 2, 1, 7]);
        for (item, text) in texts().into_iter().enumerate() {
            let len = text.len();
            let alone = model.forward(&eval(), &input(&[text], 0)).unwrap();
            for (k, expected) in alone.hidden_states.iter().enumerate() {
                let got = together.hidden_states[k].narrow(0, item, 1).unwrap();
                let got = got.narrow(1, 0, len).unwrap();
                verdict.close(&format!("pad {pad} item {item} state {k}"), &got, expected, 1e-5);
            }
        }
    }
    verdict.finish("padded batch");
}

#[test]
fn a_mask_of_ones_is_no_mask() {
    let model = Bert::new(&fresh(), &small_bert()).unwrap();
    let open = input(&[vec![2, 5, 3], vec![4, 4, 4]], 0);
    let mask = Tensor::ones(&[2, 3], DType::I64, Device::Cpu).unwrap();
    let masked = BertInput { attention_mask: Some(mask), ..open.clone() };
    let a = model.forward(&eval(), &open).unwrap().last_hidden_state;
    let b = model.forward(&eval(), &masked).unwrap().last_hidden_state;
    assert_eq!(a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
}

#[test]
fn recomputed_activations_give_the_same_gradients() {
    let config = BertConfig { tie_word_embeddings: true, ..small_bert() };
    let mut model = MaskedLm::new(&fresh(), &config).unwrap();
    let x = input(&texts(), 0);
    let run = |model: &MaskedLm, ctx: &Context| {
        let output = model.bert.forward(ctx, &x).unwrap();
        probe(&model.logits_at(ctx, &output.last_hidden_state, &[1, 4, 22]).unwrap(), 9)
    };
    let expected = run(&model, &Context::grad()).backward().unwrap();
    model.bert.set_gradient_checkpointing(true);
    let got = run(&model, &Context::grad()).backward().unwrap();
    assert_same_gradients("checkpoint", &got, &expected, model.parameters(), 1e-6);

    // With dropout, the recomputation draws the masks of the step again.
    let first = run(&model, &Context::train(4, 1)).backward().unwrap();
    let second = run(&model, &Context::train(4, 1)).backward().unwrap();
    assert_same_gradients("same step", &first, &second, model.parameters(), 0.0);
    let value = |step| run(&model, &Context::train(4, step)).item().unwrap();
    assert_ne!(value(1), value(2));
}

#[test]
fn dropout_is_a_function_of_seed_and_step_and_absent_in_evaluation() {
    let model = Bert::new(&fresh(), &small_bert()).unwrap();
    let x = input(&texts(), 0);
    let run =
        |ctx: Context| model.forward(&ctx, &x).unwrap().last_hidden_state.to_vec::<f32>().unwrap();
    assert_eq!(run(Context::train(1, 2)), run(Context::train(1, 2)));
    assert_ne!(run(Context::train(1, 2)), run(Context::train(1, 3)));
    assert_ne!(run(Context::train(1, 2)), run(eval()));
    assert_eq!(run(Context::grad()), run(eval()));
}

#[test]
fn looking_up_the_padding_token_does_not_train_it() {
    let model = Bert::new(&fresh(), &small_bert()).unwrap();
    let x = input(&[vec![2, 0, 5]], 0);
    let output = model.forward(&Context::grad(), &x).unwrap();
    let gradients = probe(&output.last_hidden_state, 3).backward().unwrap();
    let words = model.parameters().get("bert.embeddings.word_embeddings.weight").unwrap();
    let rows = gradients.get(words).unwrap().to_vec::<f32>().unwrap();
    assert!(rows[..12].iter().all(|&g| g == 0.0));
    assert!(rows[2 * 12..3 * 12].iter().any(|&g| g != 0.0));
}

#[test]
fn frozen_encoder_leaves_only_the_head_to_train() {
    let config = small_bert().with_labels(&["down", "level", "up"]);
    let model = SequenceClassifier::new(&fresh(), &config).unwrap();
    for (name, var) in model.parameters().iter() {
        var.set_trainable(name.starts_with("classifier."));
    }
    let (logits, _) = model.forward(&Context::grad(), &input(&texts(), 0)).unwrap();
    assert_eq!(logits.shape(), [4, 3]);
    let gradients = probe(&logits, 1).backward().unwrap();
    for (name, var) in model.parameters().iter() {
        assert_eq!(gradients.get(var).is_some(), name.starts_with("classifier."), "{name}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_with_numbers() {
    let model = Bert::new(&fresh(), &small_bert()).unwrap();
    let long = input(&[vec![4; 14]], 0);
    assert_eq!(
        model.forward(&eval(), &long).unwrap_err().to_string(),
        "bert: input_ids has 14 tokens, expected 1 to 13 (hint: truncate longer texts)"
    );
    let mask = Tensor::ones(&[2, 3], DType::I64, Device::Cpu).unwrap();
    let crooked = BertInput { attention_mask: Some(mask), ..input(&[vec![4; 3]], 0) };
    assert_eq!(
        model.forward(&eval(), &crooked).unwrap_err().to_string(),
        "bert: attention_mask is [2, 3], expected [1, 3]"
    );
    let empty = BertInput::from_ids(&[vec![1], vec![]], 0, Device::Cpu).unwrap_err();
    assert_eq!(empty.to_string(), "bert input: text 1 has no tokens, expected at least 1");
}

#[test]
fn an_encoder_is_drawn_alike_whatever_stands_on_it() {
    let bare = Bert::new(&fresh(), &small_bert()).unwrap();
    let headed = MaskedLm::new(&fresh(), &small_bert()).unwrap();
    for (name, var) in headed.parameters().iter().filter(|(name, _)| name.starts_with("bert.")) {
        let other = bare.parameters().get(name).unwrap().value().to_vec::<f32>().unwrap();
        assert_eq!(var.value().to_vec::<f32>().unwrap(), other, "{name}");
    }
}
