//! What must hold for Whisper on any weights.

use model_zoo::whisper::{DecoderCache, EncoderInput, EncoderOutput, Whisper, WhisperConfig};
use tensor_core::{Context, DType, Device, Tensor};

use crate::common::*;

fn model(config: &WhisperConfig) -> Whisper {
    Whisper::new(&fresh(), config).unwrap()
}

/// Clips of these many frames, and the batch of them with NaN for padding.
fn clips(lengths: &[usize], bands: usize) -> (Vec<Tensor>, Tensor) {
    let longest = *lengths.iter().max().unwrap();
    let clips: Vec<Tensor> =
        lengths.iter().enumerate().map(|(k, &n)| noise(&[1, bands, n], k as u64)).collect();
    let padded: Vec<Tensor> = clips
        .iter()
        .zip(lengths)
        .map(|(clip, &n)| {
            let rest =
                Tensor::full(&[1, bands, longest - n], f64::NAN, DType::F32, Device::Cpu).unwrap();
            if n == longest { clip.clone() } else { Tensor::cat(&[clip, &rest], 2).unwrap() }
        })
        .collect();
    (clips, Tensor::cat(&padded.iter().collect::<Vec<_>>(), 0).unwrap())
}

fn encode(model: &Whisper, ctx: &Context, x: &Tensor, lengths: Option<&[usize]>) -> EncoderOutput {
    let input =
        EncoderInput { frame_lengths: lengths, output_hidden_states: true, ..EncoderInput::new(x) };
    model.encode(ctx, &input).unwrap()
}

const LENGTHS: [usize; 5] = [13, 20, 1, 6, 19];

#[test]
fn clip_in_a_padded_batch_gives_what_it_gives_alone() {
    let model = model(&small_whisper());
    let (clips, batch) = clips(&LENGTHS, 5);
    let together = encode(&model, &eval(), &batch, Some(&LENGTHS));
    assert_eq!(together.lengths, [7, 10, 1, 3, 10]);
    let states = |output: &EncoderOutput| output.hidden_states.clone();
    assert_eq!(together.hidden_states.len(), 3);

    let mut verdict = Verdict::default();
    for (item, clip) in clips.iter().enumerate() {
        let alone = encode(&model, &eval(), clip, None);
        for (k, (got, expected)) in states(&together).iter().zip(states(&alone)).enumerate() {
            let got = got.narrow(0, item, 1).unwrap().narrow(1, 0, together.lengths[item]).unwrap();
            verdict.close(&format!("item {item} state {k}"), &got, &expected, 1e-5);
        }
    }
    verdict.finish("padded batch");
    let all = together.last_hidden_state.to_vec::<f32>().unwrap();
    assert!(all.iter().all(|v| v.is_finite()), "padding leaked into the output");
}

#[test]
fn first_position_numbers_the_others() {
    let model = model(&small_whisper());
    let x = noise(&[1, 5, 8], 3);
    let encode = |first_position| {
        let input = EncoderInput { first_position, ..EncoderInput::new(&x) };
        model
            .encode(&eval(), &input)
            .map(|output| output.last_hidden_state.to_vec::<f32>().unwrap())
    };
    let shifted = encode(3).unwrap();
    assert_ne!(shifted, encode(0).unwrap());

    let table = model.parameters().get("model.encoder.embed_positions.weight").unwrap();
    let (value, count) = (table.value(), table.shape()[0]);
    let rolled =
        Tensor::cat(&[&value.narrow(0, 3, count - 3).unwrap(), &value.narrow(0, 0, 3).unwrap()], 0);
    table.set(&rolled.unwrap()).unwrap();
    assert_eq!(encode(0).unwrap(), shifted);

    let text = encode(count + 1).unwrap_err().to_string();
    assert!(text.contains("first_position is") && text.contains("expected 0 to"), "{text}");
    assert!(encode(count - 3).unwrap_err().to_string().contains("8 frames, expected 1 to 6"));
}

#[test]
fn gradient_of_a_padded_batch_is_the_sum_over_its_clips() {
    let model = model(&small_whisper());
    let (clips, batch) = clips(&LENGTHS, 5);
    let ids = |rows: usize| Tensor::from_vec([3i64, 7, 9].repeat(rows), &[rows, 3], Device::Cpu);

    let together = encode(&model, &Context::grad(), &batch, Some(&LENGTHS));
    let logits = model.decode(&Context::grad(), &ids(5).unwrap(), &together).unwrap();
    let weights = noise(logits.shape(), 77);
    let got = logits.mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();

    let mut sum = None;
    for (item, clip) in clips.iter().enumerate() {
        let memory = encode(&model, &Context::grad(), clip, None);
        let logits = model.decode(&Context::grad(), &ids(1).unwrap(), &memory).unwrap();
        let loss = logits.mul(&weights.narrow(0, item, 1).unwrap()).unwrap().sum_all().unwrap();
        sum = Some(match sum.take() {
            None => loss,
            Some(before) => loss.add(&before).unwrap(),
        });
    }
    let expected = sum.unwrap().backward().unwrap();
    assert_same_gradients("padded batch", &got, &expected, model.parameters(), 1e-4);
}

#[test]
fn transcript_does_not_depend_on_the_batch() {
    let config = WhisperConfig { begin_suppress_tokens: None, ..small_whisper() };
    let model = model(&config);
    let (clips, batch) = clips(&LENGTHS, 5);
    let together = encode(&model, &eval(), &batch, Some(&LENGTHS));
    let mut options = model.generate_options(vec![3, 8]);
    // An end token that the model does produce, at different steps for different clips.
    let free = best_ids(model.generate(&eval(), &together, &options).unwrap());
    options.eos_token_ids = vec![free[0][2], free[1][4], free[3][1]];
    let rows = best_ids(model.generate(&eval(), &together, &options).unwrap());
    let mut lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    for (item, clip) in clips.iter().enumerate() {
        let memory = encode(&model, &eval(), clip, None);
        let alone = best_ids(model.generate(&eval(), &memory, &options).unwrap());
        assert_eq!(alone[0], rows[item], "item {item}");
    }
    lengths.dedup();
    assert!(lengths.len() > 1, "all clips ended together: the test shows nothing");
}

#[test]
fn cached_steps_give_the_states_of_one_pass() {
    let model = model(&small_whisper());
    let (_, batch) = clips(&LENGTHS, 5);
    let memory = encode(&model, &eval(), &batch, Some(&LENGTHS));
    let tokens: Vec<i64> = (0..5 * 9).map(|k| (k * 7) % 37).collect();
    let ids = Tensor::from_vec(tokens, &[5, 9], Device::Cpu).unwrap();
    let whole = model.decode(&eval(), &ids, &memory).unwrap();

    // Chunks of 4, 1, 1 and 3 tokens.
    let mut cache = DecoderCache::new();
    let mut parts = Vec::new();
    for (start, len) in [(0, 4), (4, 1), (5, 1), (6, 3)] {
        let chunk = ids.narrow(1, start, len).unwrap();
        let states = model.decoder.forward_cached(&eval(), &chunk, &memory, &mut cache).unwrap();
        parts.push(model.decoder.project(&eval(), &states).unwrap());
    }
    assert_eq!(cache.len(), 9);
    let steps = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 1).unwrap();
    let mut verdict = Verdict::default();
    verdict.close("logits", &steps, &whole, 1e-5);
    verdict.finish("cache");
}

#[test]
fn a_cache_survives_a_batch_that_it_refuses() {
    let model = model(&small_whisper());
    let memory = encode(&model, &eval(), &noise(&[2, 5, 11], 1), None);
    let (first, second) = (ids(&[&[3, 8], &[3, 9]]), ids(&[&[4], &[5]]));
    let step = |tokens: &Tensor, cache: &mut DecoderCache| {
        model.decoder.forward_cached(&eval(), tokens, &memory, cache)
    };
    let mut straight = DecoderCache::new();
    step(&first, &mut straight).unwrap();
    let mut disturbed = straight.clone();
    let text = step(&ids(&[&[4]]), &mut disturbed).unwrap_err().to_string();
    assert_eq!(text, "whisper decoder: 1 token rows, expected 2 as in the memory");
    assert_eq!(disturbed.len(), 2);
    let states = |cache: &mut DecoderCache| step(&second, cache).unwrap().to_vec_f32().unwrap();
    assert_eq!(states(&mut disturbed), states(&mut straight));
}

#[test]
fn later_tokens_cannot_change_earlier_logits() {
    let model = model(&small_whisper());
    let memory = encode(&model, &eval(), &noise(&[1, 5, 11], 1), None);
    let logits = |row: &[i64]| {
        let all = model.decode(&eval(), &ids(&[row]), &memory).unwrap();
        all.to_vec::<f32>().unwrap()
    };
    let (a, b) = (logits(&[3, 8, 4, 11, 5]), logits(&[3, 8, 4, 20, 30]));
    assert_eq!(a[..3 * 37], b[..3 * 37]);
    assert_ne!(a[3 * 37..], b[3 * 37..]);
}

#[test]
fn every_frame_count_up_to_the_limit_is_accepted() {
    let model = model(&small_whisper());
    for frames in 1..=40 {
        let memory = encode(&model, &eval(), &noise(&[1, 5, frames], 2), None);
        assert_eq!(memory.last_hidden_state.shape(), [1, frames.div_ceil(2), 12]);
        assert_eq!(memory.lengths, [frames.div_ceil(2)]);
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_with_numbers() {
    let model = model(&small_whisper());
    let refuse = |x: &Tensor, lengths: Option<&[usize]>| {
        let input = EncoderInput { frame_lengths: lengths, ..EncoderInput::new(x) };
        model.encode(&eval(), &input).unwrap_err().to_string()
    };
    assert_eq!(
        refuse(&noise(&[1, 4, 6], 1), None),
        "whisper encoder: input_features has 4 mel bands, expected 5"
    );
    assert_eq!(
        refuse(&noise(&[1, 5, 41], 1), None),
        "whisper encoder: input_features has 41 frames, expected 1 to 40 \
         (hint: cut longer clips into windows)"
    );
    assert_eq!(
        refuse(&noise(&[2, 5, 6], 1), Some(&[6, 7])),
        "whisper encoder: frame_lengths[1] is 7, expected 1 to 6"
    );
    assert_eq!(
        refuse(&noise(&[5, 6], 1), None),
        "whisper encoder: input_features is [5, 6], expected (B, F, T)"
    );
    let memory = encode(&model, &eval(), &noise(&[2, 5, 6], 1), None);
    let text = model.decode(&eval(), &ids(&[&[3; 17], &[3; 17]]), &memory).unwrap_err().to_string();
    assert_eq!(text, "whisper decoder: 17 tokens, expected 1 to 16");
    let text = model.decode(&eval(), &ids(&[&[3]]), &memory).unwrap_err().to_string();
    assert_eq!(text, "whisper decoder: 1 token rows, expected 2 as in the memory");
    let text =
        model.generate(&eval(), &memory, &model.generate_options(vec![])).unwrap_err().to_string();
    assert_eq!(text, "whisper generate: prompt_ids has 0 tokens, expected 1 to 16");
}

#[test]
fn recomputed_activations_give_the_same_gradients() {
    let config = WhisperConfig {
        dropout: 0.2,
        attention_dropout: 0.1,
        activation_dropout: 0.3,
        ..small_whisper()
    };
    let mut model = model(&config);
    let x = noise(&[2, 5, 20], 4);
    let tokens = ids(&[&[3, 8, 4, 11], &[3, 5, 6, 7]]);
    let run = |model: &Whisper, ctx: &Context| {
        let input = EncoderInput { frame_lengths: Some(&[20, 9]), ..EncoderInput::new(&x) };
        let memory = model.encode(ctx, &input).unwrap();
        probe(&model.decode(ctx, &tokens, &memory).unwrap(), 9)
    };

    // Without dropout both ways agree; with it, the recomputation must draw the same masks, or
    // the gradient is not that of the loss. A second run of the same step shows it.
    let kept = run(&model, &Context::grad());
    let expected = kept.backward().unwrap();
    model.set_gradient_checkpointing(true);
    let loss = run(&model, &Context::grad());
    assert_eq!(loss.item().unwrap(), kept.item().unwrap());
    let got = loss.backward().unwrap();
    // Gradients that meet are added in another order: a rounding of f32 for each layer above.
    assert_same_gradients("checkpoint", &got, &expected, model.parameters(), 3e-6);

    let first = run(&model, &Context::train(1, 2)).backward().unwrap();
    let second = run(&model, &Context::train(1, 2)).backward().unwrap();
    assert_same_gradients("same step", &first, &second, model.parameters(), 0.0);

    // Finite difference along one parameter, masks held by the step.
    let bias = model.parameters().get("model.encoder.layers.0.fc2.bias").unwrap();
    let slope: f64 = first.get(bias).unwrap().to_vec_f64().unwrap().iter().sum();
    let value = bias.value();
    let shifted = |by: f64| {
        bias.set(&value.add_scalar(by).unwrap()).unwrap();
        run(&model, &Context::train(1, 2)).item().unwrap()
    };
    let step = 1e-2;
    let (up, down) = (shifted(step), shifted(-step));
    let measured = (up - down) / (2.0 * step);
    assert!((measured - slope).abs() <= 2e-2 * slope.abs().max(1.0), "{measured} and {slope}");
}

#[test]
fn layerdrop_of_nearly_one_skips_layers_in_training_only() {
    let config = WhisperConfig { encoder_layerdrop: 1.0 - 1e-9, ..small_whisper() };
    let model = model(&config);
    let x = noise(&[1, 5, 8], 4);
    let skipped = encode(&model, &Context::train(0, 0), &x, None).hidden_states;
    assert_eq!(skipped[0].to_vec_f32().unwrap(), skipped[1].to_vec_f32().unwrap());
    let ran = encode(&model, &eval(), &x, None).hidden_states;
    assert_ne!(ran[0].to_vec_f32().unwrap(), ran[1].to_vec_f32().unwrap());
}

#[test]
fn autocast_to_bf16_stays_near_f32() {
    let model = model(&small_whisper());
    let x = noise(&[2, 5, 20], 4);
    let tokens = ids(&[&[3, 8, 4, 11], &[3, 5, 6, 7]]);
    let run = |ctx: &Context| {
        let memory = encode(&model, ctx, &x, None);
        model.decode(ctx, &tokens, &memory).unwrap()
    };
    let exact = run(&eval());
    let rough = run(&eval().with_autocast(DType::BF16));
    let mut verdict = Verdict::default();
    // bf16 keeps eight bits; ten products in a row lose a little over three of them.
    verdict.close("logits", &rough, &exact, 0.1);
    verdict.finish("autocast");
    assert_ne!(rough.to_vec_f32().unwrap(), exact.to_vec_f32().unwrap());
}
