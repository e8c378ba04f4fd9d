use std::path::PathBuf;

use tensor_core::Var;

use super::*;
use crate::manifest::read;

/// The utterances of a manifest with these lines, and its folder.
fn utterances(lines: &[&str]) -> (tempfile::TempDir, Vec<Utterance>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let utterances = read(path.to_str().unwrap()).unwrap();
    (folder, utterances)
}

fn recipe(kind: FinetuneKind) -> Recipe {
    let mut recipe = Recipe::default();
    recipe.finetune.kind = kind;
    recipe.finetune.label_field = "label".into();
    recipe
}

#[test]
fn the_loss_of_several_labels_is_the_mean_binary_cross_entropy_also_where_a_logit_is_0() {
    let (x, y) = ([0.0f32, 0.0, 3.0, -200.0, 200.0, -0.5], [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    let logits = Var::new(Tensor::from_vec(x.to_vec(), &[2, 3], Device::Cpu).unwrap());
    let targets = [y[..3].to_vec(), y[3..].to_vec()];
    let sum = loss_sum(FinetuneKind::MultiLabel, &logits.tensor(), &targets).unwrap();
    let slopes = sum.backward().unwrap().get(&logits).unwrap().to_vec_f64().unwrap();
    let mut expected = 0.0;
    for ((x, y), slope) in x.into_iter().map(f64::from).zip(y).zip(slopes) {
        expected += (x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()) / 3.0;
        assert!((slope - (1.0 / (1.0 + (-x).exp()) - y) / 3.0).abs() < 1e-7, "{x}: {slope}");
    }
    // One rounding of f32.
    assert!((sum.item().unwrap() - expected).abs() < 1e-7 * expected);
}

#[test]
fn labels_that_do_not_fit_name_their_line() {
    let classes = ["a".to_owned(), "b".to_owned()];
    for (kind, label, expected) in [
        (FinetuneKind::Classification, "\"c\"", "m.jsonl:1: label is `c`, expected one of a, b"),
        (FinetuneKind::Classification, "null", "m.jsonl:1: no field `label`"),
        (
            FinetuneKind::Regression,
            "\"nan\"",
            "m.jsonl:1: label is `nan`, expected a finite number",
        ),
        (
            FinetuneKind::MultiLabel,
            "\"a\"",
            "m.jsonl:1: label is not a list, expected a list of classes",
        ),
        (FinetuneKind::MultiLabel, "[1]", "m.jsonl:1: label holds 1, expected a string"),
    ] {
        let line = format!("{{\"text\": \"x\", \"label\": {label}}}");
        let (_folder, read) = utterances(&[&line]);
        let error = target(&read[0], &recipe(kind), &classes).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn classes_are_those_seen_sorted_entries_of_lists_included() {
    let (_folder, read) = utterances(&[
        "{\"text\": \"x\", \"label\": \"b\"}",
        "{\"text\": \"y\", \"label\": [\"c\", \"a\"]}",
        "{\"text\": \"z\", \"label\": \"b\"}",
    ]);
    assert_eq!(seen_classes(&read, "label"), ["a", "b", "c"]);
}

#[test]
fn scores_are_those_of_the_kind_and_a_constant_correlates_with_nothing() {
    let scores = |kind, targets: &[&[f64]], outputs: &[f64], n_classes| {
        let targets: Vec<Vec<f64>> = targets.iter().map(|row| row.to_vec()).collect();
        task_scores(kind, &targets, outputs, n_classes).unwrap()
    };
    let classes = scores(
        FinetuneKind::Classification,
        &[&[0.0], &[1.0], &[1.0]],
        &[0.5, 0.1, 0.1, 0.5, 0.5, 0.1],
        2,
    );
    assert_eq!(classes[0], ("accuracy".into(), 2.0 / 3.0));
    let labels =
        scores(FinetuneKind::MultiLabel, &[&[1.0, 0.0], &[0.0, 0.0]], &[2.0, -1.0, 0.5, -3.0], 2);
    assert_eq!(labels[0], ("accuracy".into(), 0.75));
    let numbers = scores(FinetuneKind::Regression, &[&[1.0], &[2.0]], &[3.0, 5.0], 1);
    assert!((numbers[0].1 - 1.0).abs() < 1e-12 && numbers.len() == 2);
    assert!(scores(FinetuneKind::Regression, &[&[1.0], &[2.0]], &[3.0, 3.0], 1).is_empty());
}

#[test]
fn the_section_keeps_what_the_user_froze_and_the_last_stage_does_not() {
    let mut whole = recipe(FinetuneKind::Classification);
    whole.finetune.steps = 50;
    whole.model.tokenizer = "words".into();
    whole.train.freeze = vec!["bert.**".into()];
    let section = section_of(&whole);
    assert_eq!((section.schedule.max_steps, section.schedule.warmup_steps), (50, 5));
    assert_eq!((section.optim.lr, section.batch.accumulate), (whole.finetune.lr, 1));
    assert_eq!(section.model, whole.model);
    assert_eq!(section.train, whole.train);
    assert_eq!(section.checkpoint, whole.checkpoint);

    let last = last_stage_of(&whole, &PathBuf::from("run/model"));
    assert_eq!((last.model.dir.as_str(), last.model.tokenizer.as_str()), ("run/model", ""));
    assert!(last.train.freeze.is_empty());
    assert_eq!((last.train.eval_every, last.checkpoint.every), (0, 0));
}
