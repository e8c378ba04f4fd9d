//! What must hold for HuBERT on any weights.

use model_zoo::hubert::{FeatExtractNorm, Hubert, HubertConfig, HubertCtc, HubertInput};
use tensor_core::{Context, DType, Device, Tensor, Var};

use crate::common::*;

/// A lopsided HuBERT: a frame of 13 samples every 6.
fn small(norm: FeatExtractNorm, stable: bool) -> HubertConfig {
    HubertConfig {
        vocab_size: 7,
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 17,
        conv_dim: vec![5, 8],
        conv_kernel: vec![7, 4],
        conv_stride: vec![2, 3],
        feat_extract_norm: norm,
        do_stable_layer_norm: stable,
        conv_bias: stable,
        num_conv_pos_embeddings: 6,
        num_conv_pos_embedding_groups: 2,
        initializer_range: 0.4,
        ..HubertConfig::default()
    }
}

fn forms() -> [HubertConfig; 2] {
    [small(FeatExtractNorm::Group, false), small(FeatExtractNorm::Layer, true)]
}

const LENGTHS: [usize; 4] = [60, 13, 47, 18];

/// Clips of unequal lengths with NaN after their ends.
fn clips() -> Tensor {
    let mut values = noise(&[4, 60], 1).to_vec::<f32>().unwrap();
    for (row, n) in values.chunks_mut(60).zip(LENGTHS) {
        row[n..].fill(f32::NAN);
    }
    Tensor::from_vec(values, &[4, 60], Device::Cpu).unwrap()
}

fn states(model: &Hubert, ctx: &Context, values: &Tensor, lengths: &[usize]) -> Vec<Tensor> {
    let input =
        HubertInput { output_hidden_states: true, ..HubertInput::with_lengths(values, lengths) };
    let output = model.forward(ctx, &input).unwrap();
    let mut states = output.hidden_states;
    states.push(output.last_hidden_state);
    states
}

#[test]
fn a_clip_in_a_padded_batch_gives_what_it_gives_alone() {
    for config in forms() {
        let model = Hubert::new(&fresh(), &config).unwrap();
        let together = states(&model, &eval(), &clips(), &LENGTHS);
        let mut verdict = Verdict::default();
        for (item, n) in LENGTHS.into_iter().enumerate() {
            let clip = clips().narrow(0, item, 1).unwrap().narrow(1, 0, n).unwrap();
            let alone = states(&model, &eval(), &clip, &[n]);
            for (k, expected) in alone.iter().enumerate() {
                let got = together[k].narrow(0, item, 1).unwrap();
                let got = got.narrow(1, 0, config.frame_length(n)).unwrap();
                verdict.close(&format!("item {item} state {k}"), &got, expected, 1e-5);
            }
        }
        verdict.finish("padded batch");
    }
}

#[test]
fn gradients_of_a_padded_batch_are_the_sum_of_its_clips() {
    for config in forms() {
        let model = Hubert::new(&fresh(), &config).unwrap();
        let loss = |values: &Tensor, lengths: &[usize]| {
            let all = states(&model, &Context::grad(), values, lengths).pop().unwrap();
            let parts = lengths.iter().enumerate().map(|(item, &n)| {
                let valid = all.select(0, item).unwrap();
                probe(&valid.narrow(0, 0, config.frame_length(n)).unwrap(), n as u64)
            });
            parts.reduce(|sum, part| sum.add(&part).unwrap()).unwrap()
        };
        let got = loss(&clips(), &LENGTHS).backward().unwrap();
        let alone: Vec<_> = LENGTHS
            .into_iter()
            .enumerate()
            .map(|(item, n)| {
                let clip = clips().narrow(0, item, 1).unwrap().narrow(1, 0, n).unwrap();
                loss(&clip, &[n]).backward().unwrap()
            })
            .collect();
        let mut verdict = Verdict::default();
        for (name, var) in model.parameters().iter() {
            let sum = |var: &Var| {
                let found = alone.iter().map(|one| one.get(var).cloned());
                found.reduce(|a, b| Some(a?.add(&b?).unwrap())).flatten()
            };
            match (got.get(var), sum(var)) {
                (Some(g), Some(e)) => verdict.close_above(name, g, &e, 1e-5, 1.0),
                (None, None) => assert!(name.ends_with("masked_spec_embed"), "{name}"),
                (g, e) => panic!("{name}: {} and {}", g.is_some(), e.is_some()),
            }
        }
        verdict.finish("padded batch");
    }
}

#[test]
fn recomputed_activations_give_the_same_gradients() {
    for config in forms() {
        let mut model = HubertCtc::new(&fresh(), &config).unwrap();
        let (values, lengths) = (clips(), LENGTHS);
        let run = |model: &HubertCtc, ctx: &Context| {
            let input = HubertInput::with_lengths(&values, &lengths);
            let (logits, _) = model.forward(ctx, &input).unwrap();
            probe(&logits, 9).backward().unwrap()
        };
        let expected = run(&model, &Context::grad());
        model.hubert.set_gradient_checkpointing(true);
        let got = run(&model, &Context::grad());
        assert_same_gradients("checkpoint", &got, &expected, model.parameters(), 1e-6);
        // In training the recomputation draws the same masks again.
        let (first, second) =
            (run(&model, &Context::train(4, 1)), run(&model, &Context::train(4, 1)));
        assert_same_gradients("same step", &first, &second, model.parameters(), 0.0);
    }
}

#[test]
fn training_masks_valid_frames_alone_and_evaluation_none() {
    let config = HubertConfig {
        mask_time_prob: 0.5,
        mask_time_length: 2,
        mask_feature_prob: 0.3,
        mask_feature_length: 3,
        hidden_dropout: 0.0,
        activation_dropout: 0.0,
        attention_dropout: 0.0,
        layerdrop: 0.0,
        ..small(FeatExtractNorm::Layer, true)
    };
    let model = Hubert::new(&fresh(), &config).unwrap();
    let run = |ctx: Context| {
        let all = states(&model, &ctx, &clips(), &LENGTHS);
        all[0].select(0, 1).unwrap().to_vec::<f32>().unwrap()[..12].to_vec()
    };
    assert_eq!(run(Context::grad()), run(eval()));
    assert_eq!(run(Context::train(1, 2)), run(Context::train(1, 2)));
    assert_ne!(run(Context::train(1, 2)), run(Context::train(1, 3)));
    // Without SpecAugment and dropout a training pass is an evaluation.
    let plain = HubertConfig { apply_spec_augment: false, ..config };
    let model = Hubert::new(&fresh(), &plain).unwrap();
    let run = |ctx: &Context| states(&model, ctx, &clips(), &LENGTHS)[3].to_vec::<f32>().unwrap();
    assert_eq!(run(&Context::train(1, 2)), run(&eval()));
}

#[test]
fn half_precision_products_stay_near_the_full_ones() {
    for config in forms() {
        let model = Hubert::new(&fresh(), &config).unwrap();
        let clip = noise(&[1, 60], 4);
        let full = states(&model, &eval(), &clip, &[60]);
        let half = states(&model, &eval().with_autocast(DType::BF16), &clip, &[60]);
        let mean_square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
        for (full, half) in full.iter().zip(&half) {
            let (full, half) = (full.to_vec_f64().unwrap(), half.to_vec_f64().unwrap());
            let gaps: Vec<f64> = full.iter().zip(&half).map(|(a, b)| a - b).collect();
            let error = (mean_square(&gaps) / mean_square(&full)).sqrt();
            // A bf16 has 8 bits; some thirty roundings lie one after another.
            assert!(error > 0.0 && error < 30.0 * 2f64.powi(-9), "{error}");
        }
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let model = Hubert::new(&fresh(), &small(FeatExtractNorm::Group, false)).unwrap();
    let text = |values: &[usize], lengths: Option<&[usize]>| {
        let values = noise(values, 1);
        let input = HubertInput { sample_lengths: lengths, ..HubertInput::new(&values) };
        model.forward(&eval(), &input).unwrap_err().to_string()
    };
    let hint = "(hint: pad or leave out clips shorter than one frame)";
    assert_eq!(
        text(&[1, 12], None),
        format!("hubert: input_values has 12 samples, expected at least 13 {hint}")
    );
    assert_eq!(
        text(&[2, 20], Some(&[20, 12])),
        format!("hubert: sample_lengths[1] is 12, expected 13 to 20 {hint}")
    );
    assert_eq!(text(&[2, 20], Some(&[20])), "hubert: 1 sample_lengths, expected 2");
    assert_eq!(text(&[20], None), "hubert: input_values is [20], expected (B, S)");
    let values = noise(&[1, 13], 2);
    let mask = noise(&[1, 2], 3);
    let input = HubertInput { mask_time_indices: Some(&mask), ..HubertInput::new(&values) };
    assert_eq!(
        model.forward(&eval(), &input).unwrap_err().to_string(),
        "hubert: mask_time_indices is [1, 2], expected [1, 1]"
    );
    assert_eq!(states(&model, &eval(), &values, &[13])[3].shape(), [1, 1, 12]);
}
