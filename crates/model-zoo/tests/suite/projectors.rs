//! Projectors against `transformers` and against themselves.

use std::collections::BTreeMap;

use model_zoo::projector::{Conv1dProjector, LinearProjector, Projector, StackedConfig};
use model_zoo::q_former::{QFormer, QFormerConfig};
use model_zoo::{Builder, ErrorKind, LoadOptions, NameRules};
use tempfile::TempDir;
use tensor_core::{Context, DType, Device, Tensor, Var, save_safetensors};

use crate::common::*;

fn small_q_former() -> QFormerConfig {
    QFormerConfig {
        encoder_hidden_size: 6,
        window_size: 4,
        num_query_tokens: 3,
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 17,
        output_size: 5,
        initializer_range: 0.4,
        ..QFormerConfig::default()
    }
}

fn small_stacked() -> StackedConfig {
    let sizes = StackedConfig::default();
    StackedConfig {
        encoder_dim: 6,
        encoder_projector_ds_rate: 3,
        hidden_size: 7,
        output_size: 5,
        ..sizes
    }
}

/// One projector of each kind, all from frames of width 6 to vectors of width 5.
fn each_kind() -> [Projector; 3] {
    [
        Projector::QFormer(QFormer::new(&fresh(), &small_q_former()).unwrap()),
        Projector::Linear(LinearProjector::new(&fresh(), &small_stacked()).unwrap()),
        Projector::Conv1d(Conv1dProjector::new(&fresh(), &small_stacked()).unwrap()),
    ]
}

fn lengths_of(golden: &Golden, name: &str) -> Vec<usize> {
    golden.ids(name).into_iter().map(|n| n as usize).collect()
}

/// The tensor with zeros from each item's length on.
fn zero_behind(x: &Tensor, lengths: &[usize]) -> Tensor {
    let (time, width) = (x.shape()[1], x.shape()[2]);
    let mut values = x.to_vec::<f32>().unwrap();
    for (b, item) in values.chunks_mut(time * width).enumerate() {
        item[lengths[b] * width..].fill(0.0);
    }
    Tensor::from_vec(values, x.shape(), Device::Cpu).unwrap()
}

#[test]
fn projectors_equal_other_implementations_forward_and_backward() {
    for dir in ["q-former-", "linear-", "conv1d-"].into_iter().flat_map(golden_cases) {
        let golden = Golden::open(&dir);
        let projector = Projector::open(&dir, LoadOptions::default()).unwrap();
        let frames = Var::new(golden.get("frames"));
        let lengths = lengths_of(&golden, "lengths");
        let output = projector.forward(&Context::grad(), &frames.tensor(), &lengths).unwrap();
        assert_eq!(output.lengths, lengths_of(&golden, "vector_lengths"));
        for (&n, &counted) in lengths.iter().zip(&output.lengths) {
            assert_eq!(projector.output_length(n), counted);
        }

        let mut verdict = Verdict::default();
        let vectors = zero_behind(&output.vectors, &output.lengths);
        verdict.close("vectors", &vectors, &golden.get("vectors"), GOLDEN);
        let loss = output.vectors.mul(&golden.get("probe")).unwrap().sum_all().unwrap();
        verdict.close("loss", &loss, &golden.get("loss"), GOLDEN);
        let gradients = loss.backward().unwrap();
        let parameters = projector.parameters();
        verdict.close_gradients(&golden, "grad.", &gradients, parameters, str::to_owned);
        let (got, want) = (gradients.get(&frames).unwrap(), golden.get("grad_frames"));
        verdict.close("grad_frames", got, &want, GOLDEN);
        assert_eq!(golden.names_below("grad.").len(), parameters.len());
        verdict.finish(&name_of(&dir));
    }
}

#[test]
fn the_paper_s_q_former_has_42_536_448_parameters() {
    // A folder without its tensors answers with one zero each, repeated: nothing is drawn.
    let dir = TempDir::new().unwrap();
    let none = [("none".to_owned(), Tensor::scalar(0.0, DType::F32, Device::Cpu).unwrap())];
    save_safetensors(dir.path().join("model.safetensors"), &none, &BTreeMap::new()).unwrap();
    let options = LoadOptions::default();
    let root = Builder::from_folder(dir.path(), NameRules::exact(), options).unwrap();
    let model = QFormer::new(&root, &QFormerConfig::default()).unwrap();
    assert_eq!(model.parameters().total(), 42_536_448);
}

#[test]
fn an_item_is_projected_in_a_batch_as_alone_whatever_its_padding_holds() {
    for projector in each_kind() {
        let lengths = [11, 3, 7];
        let run = |padding: f32| {
            let mut values = noise(&[3, 11, 6], 1).to_vec::<f32>().unwrap();
            for (b, item) in values.chunks_mut(11 * 6).enumerate() {
                item[lengths[b] * 6..].fill(padding);
            }
            let frames = Var::new(Tensor::from_vec(values, &[3, 11, 6], Device::Cpu).unwrap());
            let output = projector.forward(&Context::grad(), &frames.tensor(), &lengths).unwrap();
            assert!(output.vectors.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
            let items: Vec<Tensor> = (0..3).map(|b| output.item(b).unwrap()).collect();
            let all = Tensor::cat(&items.iter().collect::<Vec<_>>(), 0).unwrap();
            let gradients = probe(&all, 2).backward().unwrap();
            let mut values = all.to_vec::<f32>().unwrap();
            for var in projector.parameters().vars().chain([&frames]) {
                values.extend(gradients.get(var).unwrap().to_vec::<f32>().unwrap());
            }
            (items, values)
        };
        let (items, clean) = run(0.0);
        assert!(clean.iter().all(|v| v.is_finite()));
        assert_eq!(run(f32::NAN).1, clean);

        let frames = noise(&[3, 11, 6], 1);
        for (b, &length) in lengths.iter().enumerate() {
            let alone = frames.narrow(0, b, 1).unwrap().narrow(1, 0, length).unwrap();
            let alone = projector.forward(&eval(), &alone, &[length]).unwrap();
            assert_eq!(alone.lengths, [items[b].shape()[0]]);
            let mut verdict = Verdict::default();
            verdict.close("alone", &alone.item(0).unwrap(), &items[b], 4e-6);
            verdict.finish("item");
        }
    }
}

#[test]
fn an_item_without_frames_has_no_vectors_and_spoils_nothing() {
    for projector in each_kind() {
        let frames = noise(&[2, 5, 6], 3);
        let output = projector.forward(&eval(), &frames, &[0, 5]).unwrap();
        assert_eq!(output.lengths, [0, projector.output_length(5)]);
        assert!(output.vectors.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
        assert_eq!(output.item(0).unwrap().shape(), [0, 5]);
    }
}

#[test]
fn windows_do_not_see_each_other() {
    let projector = QFormer::new(&fresh(), &small_q_former()).unwrap();
    let frames = noise(&[1, 8, 6], 4);
    let vectors = |frames: &Tensor| projector.forward(&eval(), frames, &[8]).unwrap().vectors;
    let swapped =
        Tensor::cat(&[&frames.narrow(1, 4, 4).unwrap(), &frames.narrow(1, 0, 4).unwrap()], 1);
    let (got, want) = (vectors(&swapped.unwrap()), vectors(&frames));
    let mut verdict = Verdict::default();
    for (at, from) in [(0, 3), (3, 0)] {
        let (got, want) = (got.narrow(1, at, 3).unwrap(), want.narrow(1, from, 3).unwrap());
        verdict.close("window", &got, &want, 4e-6);
    }
    verdict.finish("windows");
}

#[test]
fn recomputed_layers_give_the_same_gradients() {
    let mut projector = QFormer::new(&fresh(), &small_q_former()).unwrap();
    let frames = noise(&[2, 7, 6], 5);
    let mut run = |recompute| {
        projector.set_gradient_checkpointing(recompute);
        let output = projector.forward(&Context::grad(), &frames, &[7, 2]).unwrap();
        probe(&output.vectors, 6).backward().unwrap()
    };
    let (kept, again) = (run(false), run(true));
    // All layers read the frames; their gradients are summed in another order.
    assert_same_gradients("q_former", &again, &kept, projector.parameters(), 1e-6);
}

#[test]
fn dropout_draws_another_mask_for_each_window() {
    let config = QFormerConfig { hidden_dropout_prob: 0.5, ..small_q_former() };
    let projector = QFormer::new(&fresh(), &config).unwrap();
    let window = noise(&[1, 4, 6], 7);
    let frames = Tensor::cat(&[&window, &window], 1).unwrap();
    let halves = |ctx: &Context| {
        let vectors = projector.forward(ctx, &frames, &[8]).unwrap().vectors;
        let half = |at| vectors.narrow(1, at, 3).unwrap().to_vec::<f32>().unwrap();
        (half(0), half(3))
    };
    let (first, second) = halves(&eval());
    assert_eq!(first, second);
    let (first, second) = halves(&Context::train(1, 2));
    assert_ne!(first, second);
}

#[test]
fn a_saved_projector_opens_as_the_same_one() {
    let frames = noise(&[2, 9, 6], 8);
    for projector in each_kind() {
        let dir = TempDir::new().unwrap();
        projector.save(dir.path(), None).unwrap();
        let opened = Projector::open(dir.path(), LoadOptions::default()).unwrap();
        assert_eq!(opened.output_size(), 5);
        let vectors = |p: &Projector| {
            p.forward(&eval(), &frames, &[9, 4]).unwrap().vectors.to_vec::<f32>().unwrap()
        };
        assert_eq!(vectors(&opened), vectors(&projector));
    }
}

#[test]
fn what_does_not_fit_a_projector_is_named() {
    let [q_former, linear, _] = each_kind();
    for (projector, shape, lengths, told) in [
        (
            &q_former,
            &[1, 4, 7][..],
            &[4][..],
            "q_former: frames are [1, 4, 7], expected (B, F, 6) of at least 1 by 1",
        ),
        (&q_former, &[2, 4, 6], &[4], "q_former: lengths are [4], expected 2 of at most 4"),
        (&q_former, &[1, 4, 6], &[5], "q_former: lengths are [5], expected 1 of at most 4"),
        (
            &linear,
            &[1, 2, 6],
            &[2],
            "linear_projector: 2 frames, expected at least 3 (hint: encoder_projector_ds_rate \
             frames become one vector)",
        ),
    ] {
        let error = projector.forward(&eval(), &noise(shape, 9), lengths).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Shape, told));
    }
    let error = Projector::open(&golden_dir().join("bert-bare"), LoadOptions::default());
    let text = error.unwrap_err().to_string();
    assert!(
        text.ends_with(
            "model_type is `bert`, expected `window_q_former`, `linear_projector` or \
             `conv1d_projector`"
        ),
        "{text}"
    );
}
