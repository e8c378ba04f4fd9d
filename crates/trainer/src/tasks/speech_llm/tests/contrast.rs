//! Identities of the contrast, whatever the weights are.

use std::fs;

use tensor_core::{Context, DType, Device, Philox, Tensor, Var};

use super::super::data::Clips;
use super::super::pretrain::{PretrainBatch, PretrainTask};
use super::fixture::{Fixture, Slope, assert_near, golden_dir, largest, loss, slopes};
use crate::recipe::Direction;
use crate::tasks::Task;

/// Of sums of some hundred terms of f32 in another order.
const ROUNDING: f64 = 2e-5;

#[test]
fn a_contrast_in_chunks_is_that_of_all_at_once() {
    let fixture = Fixture::new();
    for objective in ["contr-cos-emb", "contr-cos-all", "contr-wasser-all+asr"] {
        let mut recipe = fixture.recipe(objective);
        let mut task = fixture.task(&recipe);
        let batch = fixture.batch(&task, &[0, 1, 2, 3]);
        let (value, whole) = slopes(&mut task, &Context::grad(), &batch);
        for cached_items in 1..=3 {
            recipe.pretrain.cached_items = cached_items;
            let mut task = fixture.task(&recipe);
            let (chunked, got) = slopes(&mut task, &Context::grad(), &batch);
            // Products of few rows may add in another order, and gradients of a chunk are added
            // before those of the next one.
            assert!((chunked - value).abs() < 1e-6 * value, "{objective}: {chunked}, {value}");
            assert_near(&got, &whole, ROUNDING);
        }
    }
}

/// The slope of a loss along a random direction of its parameters, by central differences of step
/// `h`, and by its gradients.
fn along(
    task: &mut PretrainTask,
    ctx: impl Fn() -> Context,
    batch: &PretrainBatch,
    names: impl Fn(&str) -> bool,
    h: f64,
) -> (f64, f64) {
    let (_, gradients) = slopes(task, &ctx(), batch);
    let vars: Vec<(String, Var)> =
        task.parameters().iter().map(|(name, var)| (name.to_owned(), var.clone())).collect();
    let mut rng = Philox::new(5, 0);
    let mut analytic = 0.0;
    let mut moves = Vec::new();
    for ((name, var), (_, gradient)) in vars.iter().zip(&gradients) {
        if names(name) {
            let step = Tensor::randn(&var.shape(), 1.0, &mut rng, DType::F32, Device::Cpu).unwrap();
            let values = step.to_vec_f64().unwrap();
            analytic += values.iter().zip(gradient).map(|(a, b)| a * b).sum::<f64>();
            moves.push((var, var.value(), step));
        }
    }
    assert!(!moves.is_empty());
    let mut at = |h: f64| {
        for (var, start, step) in &moves {
            var.set(&start.add(&step.mul_scalar(h).unwrap()).unwrap()).unwrap();
        }
        loss(task, &ctx(), batch).1.item().unwrap()
    };
    let numeric = (at(h) - at(-h)) / (2.0 * h);
    at(0.0);
    (numeric, analytic)
}

#[track_caller]
fn assert_slope((numeric, analytic): (f64, f64), tolerance: f64) {
    let scale = analytic.abs().max(0.1);
    assert!((numeric - analytic).abs() <= tolerance * scale, "{numeric}, by gradients {analytic}");
}

#[test]
fn chunks_drop_out_alike_forward_and_backward() {
    let fixture = Fixture::new();
    // By cosine: the slopes of GeomLoss take its potentials for those of the end, which a difference
    // of values shows.
    for objective in ["contr-cos-emb", "contr-cos-all"] {
        let mut recipe = fixture.recipe(objective);
        recipe.pretrain.cached_items = 2;
        let mut task = fixture.task_with_dropout(&recipe, 0.3);
        let batch = fixture.batch(&task, &[0, 1, 2, 3]);
        let ctx = |step| move || Context::train(9, step);
        let (first, again) =
            (slopes(&mut task, &ctx(1)(), &batch), slopes(&mut task, &ctx(1)(), &batch));
        assert_eq!(first, again);
        let other = slopes(&mut task, &ctx(2)(), &batch);
        assert!(first.0 != other.0, "masks of another step");
        let found = along(&mut task, ctx(1), &batch, |name| name.starts_with("projector"), 2.5e-4);
        // Masks of other elements would change the slope as a whole; the step leaves some thousandths of
        // curvature and of rounding.
        assert_slope(found, 0.02);
    }
}

#[test]
fn frames_behind_the_end_are_never_read() {
    let fixture = Fixture::new();
    for (objective, layer) in
        [("contr-cos-all+asr", "last"), ("contr-wasser-all", "last"), ("contr-cos-2", "weighted")]
    {
        let mut recipe = fixture.recipe(objective);
        recipe.encoder.layer = layer.to_owned();
        let mut task = fixture.task(&recipe);
        let frames = states(&fixture, layer);
        let mut batch = fixture.batch_of(&task, &[0, 1, 2, 3], &frames);
        let (value, with_nan) = slopes(&mut task, &Context::grad(), &batch);
        assert!(value.is_finite() && largest(&with_nan).is_finite());
        let Some(Clips::States(padded, lengths)) = &batch.clips else { panic!("states") };
        let mask = padded.to_vec_f32().unwrap().iter().map(|x| u8::from(x.is_nan())).collect();
        let mask = Tensor::from_vec(mask, padded.shape(), Device::Cpu).unwrap();
        let filled = padded.masked_fill(&mask, 7.0).unwrap();
        batch.clips = Some(Clips::States(filled, lengths.clone()));
        assert_eq!(slopes(&mut task, &Context::grad(), &batch), (value, with_nan), "{objective}");
    }
}

/// Golden frames as states of an encoder: its last one, or both for a learned average.
fn states(fixture: &Fixture, layer: &str) -> Vec<Tensor> {
    let frames = fixture.frames("frames", "lengths");
    let both = |frames: Tensor| {
        let other = frames.mul(&frames).unwrap();
        Tensor::cat(&[&frames, &other], 0).unwrap()
    };
    match layer {
        "weighted" => frames.into_iter().map(both).collect(),
        _ => frames,
    }
}

#[test]
fn the_order_of_a_batch_does_not_matter() {
    let fixture = Fixture::new();
    for objective in ["contr-cos-all", "contr-wasser-all+asr"] {
        let mut task = fixture.task(&fixture.recipe(objective));
        let (forward, backward) =
            (fixture.batch(&task, &[0, 1, 2, 3]), fixture.batch(&task, &[2, 0, 3, 1]));
        let (value, want) = slopes(&mut task, &Context::grad(), &forward);
        let (other, got) = slopes(&mut task, &Context::grad(), &backward);
        assert!((other - value).abs() < 1e-6 * value, "{other}, {value}");
        assert_near(&got, &want, ROUNDING);
    }
}

#[test]
fn a_batch_of_one_has_no_contrast_and_no_slope() {
    let fixture = Fixture::new();
    for objective in ["contr-cos-all", "contr-wasser-all"] {
        let mut task = fixture.task(&fixture.recipe(objective));
        for item in 0..4 {
            let batch = fixture.batch(&task, &[item]);
            let (value, gradients) = slopes(&mut task, &Context::grad(), &batch);
            assert_eq!((value, largest(&gradients)), (0.0, 0.0), "{objective}");
        }
    }
}

#[test]
fn a_learned_temperature_has_the_slope_of_the_loss() {
    let fixture = Fixture::new();
    for objective in ["contr-cos-all", "contr-wasser-emb"] {
        for direction in [Direction::TextToSpeech, Direction::SpeechToText, Direction::Symmetric] {
            let mut recipe = fixture.recipe(objective);
            recipe.pretrain.learn_temperature = true;
            recipe.pretrain.temperature = 0.4;
            recipe.pretrain.direction = direction;
            let mut task = fixture.task(&recipe);
            let batch = fixture.batch(&task, &[0, 1, 2, 3]);
            let log = |name: &str| name == "log_temperature";
            assert_slope(along(&mut task, Context::grad, &batch, log, 1e-2), 1e-3);
        }
    }
}

#[test]
fn a_learned_average_of_states_has_the_slope_of_the_loss() {
    let fixture = Fixture::new();
    for objective in ["contr-cos-emb", "contr-cos-all"] {
        let mut recipe = fixture.recipe(objective);
        recipe.encoder.layer = "weighted".into();
        let mut task = fixture.task(&recipe);
        let batch = fixture.batch_of(&task, &[0, 1, 2, 3], &states(&fixture, "weighted"));
        let mixture = |name: &str| name == "mixture";
        assert_slope(along(&mut task, Context::grad, &batch, mixture, 1e-2), 5e-3);
    }
}

#[test]
fn both_directions_have_the_symmetric_loss_as_their_mean() {
    let fixture = Fixture::new();
    for objective in ["contr-cos-all", "contr-wasser-all"] {
        let of = |direction| {
            let mut recipe = fixture.recipe(objective);
            recipe.pretrain.direction = direction;
            let mut task = fixture.task(&recipe);
            let batch = fixture.batch(&task, &[0, 1, 2, 3]);
            slopes(&mut task, &Context::grad(), &batch)
        };
        let (to_speech, to_text, both) =
            (of(Direction::TextToSpeech), of(Direction::SpeechToText), of(Direction::Symmetric));
        let mean = (to_speech.0 + to_text.0) / 2.0;
        assert!((both.0 - mean).abs() < 1e-6 * mean, "{}, {mean}", both.0);
        let half = |(a, b): (&Slope, &Slope)| {
            let mean = a.1.iter().zip(&b.1).map(|(a, b)| (a + b) / 2.0).collect();
            (a.0.clone(), mean)
        };
        let mean: Vec<_> = to_speech.1.iter().zip(&to_text.1).map(half).collect();
        assert_near(&both.1, &mean, ROUNDING);
    }
}

#[test]
fn a_shift_moves_no_contrast_where_positions_are_relative() {
    let fixture = Fixture::new();
    for (objective, tolerance) in
        [("contr-cos-emb", 0.0), ("contr-cos-all", ROUNDING), ("contr-wasser-all", ROUNDING)]
    {
        let mut task = fixture.task(&fixture.recipe(objective));
        let mut batch = fixture.batch(&task, &[0, 1, 2, 3]);
        let (value, want) = slopes(&mut task, &Context::grad(), &batch);
        batch.shifts = vec![61, 0, 5, 399];
        let (shifted, got) = slopes(&mut task, &Context::grad(), &batch);
        assert!((shifted - value).abs() <= tolerance * value, "{objective}: {shifted}, {value}");
        // Cosines and sines of large angles.
        assert_near(&got, &want, 10.0 * tolerance);
    }
}

#[test]
fn a_shift_moves_what_follows_the_embedding_where_positions_are_not_relative() {
    let fixture = Fixture::new();
    // Frequencies that depend on the last position: those of scaling beyond the length trained on.
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(golden_dir().join("llm").join(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config["max_position_embeddings"] = 16.into();
    config["rope_parameters"] =
        serde_json::json!({ "rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0 });
    fs::write(&path, config.to_string()).unwrap();
    let of = |objective: &str, shift: usize| {
        let mut recipe = fixture.recipe(objective);
        recipe.llm.dir = folder.path().display().to_string();
        let mut task = fixture.task(&recipe);
        let mut batch = fixture.batch(&task, &[0, 1, 2, 3]);
        batch.shifts = vec![shift; 4];
        slopes(&mut task, &Context::grad(), &batch).0
    };
    assert_eq!(of("contr-cos-emb", 0), of("contr-cos-emb", 40));
    for layer in 1..=3 {
        let objective = format!("contr-wasser-{layer}");
        let (plain, shifted) = (of(&objective, 0), of(&objective, 40));
        assert!((plain - shifted).abs() > 1e-4, "{objective}: {plain}, {shifted}");
    }
}
