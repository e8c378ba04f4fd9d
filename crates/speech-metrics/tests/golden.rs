//! Every score against the library whose rules it follows; vectors and script in `golden/`.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a broken golden file should panic")]

use serde_json::Value;
use speech_metrics::edit::{Alignment, EditOp};
use speech_metrics::error_rate::{align_characters, align_words, words};
use speech_metrics::{
    Confusion, ErrorRate, MultiLabel, Normalizer, Retrieval, Ties, bleu, cer, chrf, correlation,
    pearson, spearman, tokenize_13a, wer,
};

/// Reads one golden file.
fn golden(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(|text| text.as_str().unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|number| number.as_f64().unwrap()).collect()
}

fn indices(value: &Value) -> Vec<usize> {
    list(value).iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

/// The libraries sum in another order, which moves the last digits of an f64 and no more.
#[track_caller]
fn assert_close(got: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= 1e-12, "{what}: got {got}, expected {expected}");
}

/// The same for scores out of 100.
#[track_caller]
fn assert_score(got: f64, expected: &Value, what: &str) {
    assert_close(got / 100.0, &(expected.as_f64().unwrap() / 100.0).into(), what);
}

fn chunks(alignment: &Alignment) -> Value {
    let name = |op| match op {
        EditOp::Equal => "equal",
        EditOp::Substitute => "substitute",
        EditOp::Delete => "delete",
        EditOp::Insert => "insert",
    };
    let row = |c: &speech_metrics::edit::Chunk| {
        let (r, h) = (c.reference.clone(), c.hypothesis.clone());
        serde_json::json!([name(c.op), r.start, r.end, h.start, h.end])
    };
    alignment.chunks.iter().map(row).collect()
}

#[track_caller]
fn assert_same_rate(got: &ErrorRate, expected: &Value, what: &str) {
    assert_close(got.corpus, &expected["rate"], what);
    let counts = [
        ("hits", got.counts.hits),
        ("substitutions", got.counts.substitutions),
        ("deletions", got.counts.deletions),
        ("insertions", got.counts.insertions),
    ];
    for (name, count) in counts {
        assert_eq!(expected[name], count, "{what}: {name}");
    }
}

#[test]
fn error_rates_counts_and_alignments_are_those_of_jiwer() {
    for case in list(&golden("error_rate.json")) {
        let (references, hypotheses) = (texts(&case["references"]), texts(&case["hypotheses"]));
        let what = format!("{references:?} / {hypotheses:?}");
        for (reference, expected) in references.iter().zip(list(&case["words"])) {
            assert_eq!(words(reference), texts(expected), "{what}");
        }
        let by_words = wer(&references, &hypotheses, Normalizer::None).unwrap();
        assert_same_rate(&by_words, &case["wer"], &what);
        assert_close(by_words.utterance_mean, &case["wer_mean"], &what);
        assert_close(by_words.counts.match_error_rate(), &case["mer"], &what);
        assert_close(by_words.counts.information_preserved(), &case["wip"], &what);
        let by_characters = cer(&references, &hypotheses, Normalizer::None).unwrap();
        assert_same_rate(&by_characters, &case["cer"], &what);
        for (at, (reference, hypothesis)) in references.iter().zip(&hypotheses).enumerate() {
            let by_words = chunks(&align_words(reference, hypothesis));
            assert_eq!(by_words, case["wer"]["chunks"][at], "{what}");
            let by_characters = chunks(&align_characters(reference, hypothesis));
            assert_eq!(by_characters, case["cer"]["chunks"][at], "{what}");
        }
    }
}

#[test]
fn basic_normalisation_is_that_of_jiwer() {
    for case in list(&golden("normalize.json")["cases"]) {
        let pair = texts(case);
        assert_eq!(Normalizer::Basic.apply(pair[0]), pair[1], "{:?}", pair[0]);
    }
}

#[test]
fn no_character_that_python_calls_punctuation_survives() {
    for range in list(&golden("normalize.json")["punctuation"]) {
        let range = indices(range);
        for code in range[0]..=range[1] {
            let character = char::from_u32(code as u32).unwrap();
            assert_eq!(Normalizer::Basic.apply(&character.to_string()), "", "{character:?}");
        }
    }
}

#[test]
fn classification_scores_are_those_of_scikit_learn() {
    for case in list(&golden("classification.json")) {
        let n_classes = case["n_classes"].as_u64().unwrap() as usize;
        let (truth, predicted) = (indices(&case["truth"]), indices(&case["predicted"]));
        let got = Confusion::new(&truth, &predicted, n_classes).unwrap();
        let what = format!("{} items, {n_classes} classes", truth.len());
        for (at, count) in indices(&case["confusion"]).into_iter().enumerate() {
            assert_eq!(got.count(at / n_classes, at % n_classes), count, "{what}");
        }
        assert_close(got.accuracy(), &case["accuracy"], &what);
        assert_close(got.balanced_accuracy(), &case["balanced_accuracy"], &what);
        assert_close(got.macro_f1(), &case["macro_f1"], &what);
        assert_close(got.weighted_f1(), &case["weighted_f1"], &what);
        for class in 0..n_classes {
            assert_close(got.precision(class), &case["precision"][class], &what);
            assert_close(got.recall(class), &case["recall"][class], &what);
            assert_close(got.f1(class), &case["f1"][class], &what);
        }
    }
}

#[test]
fn multi_label_scores_are_those_of_scikit_learn() {
    for case in list(&golden("multi_label.json")) {
        let n_labels = case["n_labels"].as_u64().unwrap() as usize;
        let flags = |value| -> Vec<bool> { indices(value).iter().map(|&flag| flag == 1).collect() };
        let got = MultiLabel::new(&flags(&case["truth"]), &flags(&case["predicted"]), n_labels);
        let got = got.unwrap();
        let what = format!("{n_labels} labels");
        assert_close(got.subset_accuracy(), &case["subset_accuracy"], &what);
        assert_close(got.mean_label_accuracy(), &case["mean_label_accuracy"], &what);
        assert_close(got.macro_f1(), &case["macro_f1"], &what);
        assert_close(got.micro_f1(), &case["micro_f1"], &what);
        assert_close(got.samples_f1(), &case["samples_f1"], &what);
        for label in 0..n_labels {
            assert_close(got.label_accuracy(label), &case["label_accuracy"][label], &what);
        }
    }
}

#[test]
fn correlations_are_those_of_scipy() {
    for case in list(&golden("correlation.json")) {
        let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
        let what = format!("{} values", x.len());
        assert_eq!(correlation::average_ranks(&x), numbers(&case["x_ranks"]), "{what}");
        for (got, expected) in [(pearson(&x, &y), "pearson"), (spearman(&x, &y), "spearman")] {
            match got.unwrap() {
                Some(got) => assert_close(got, &case[expected], &what),
                None => assert!(case[expected].is_null(), "{what}"),
            }
        }
    }
}

#[test]
fn retrieval_ranks_are_those_of_scipy_under_either_rule_for_ties() {
    for case in list(&golden("retrieval.json")) {
        let n = case["n"].as_u64().unwrap() as usize;
        let scores: Vec<f32> = numbers(&case["scores"]).iter().map(|&s| s as f32).collect();
        let what = format!("{n} x {n}");
        for (ties, name) in [(Ties::Pessimistic, "pessimistic"), (Ties::Average, "average")] {
            let got = Retrieval::paired(&scores, n, ties).unwrap();
            let expected = &case[name];
            assert_eq!(got.ranks(), numbers(&expected["ranks"]), "{what}");
            assert_close(got.mean_rank(), &expected["mean_rank"], &what);
            assert_close(got.median_rank(), &expected["median_rank"], &what);
            for k in [1, 5, 10] {
                assert_close(got.recall_at(k), &expected["recall"][k.to_string()], &what);
            }
        }
        let got = Retrieval::paired(&scores, n, Ties::Pessimistic).unwrap();
        assert_close(got.mean_reciprocal_rank(), &case["mrr"], &what);
    }
}

#[test]
fn scores_of_translations_are_those_of_sacrebleu() {
    for case in list(&golden("translation.json")) {
        let references: Vec<Vec<&str>> = list(&case["references"]).iter().map(texts).collect();
        let hypotheses = texts(&case["hypotheses"]);
        let what = format!("{references:?} / {hypotheses:?}");
        for (text, expected) in hypotheses.iter().zip(texts(&case["tokens"])) {
            assert_eq!(tokenize_13a(text).join(" "), expected, "{what}");
        }
        let got = bleu(&references, &hypotheses).unwrap();
        assert_eq!(got.matches[..], indices(&case["matches"]), "{what}");
        assert_eq!(got.totals[..], indices(&case["totals"]), "{what}");
        assert_eq!(
            [got.hypothesis_len, got.reference_len][..],
            indices(&case["lengths"]),
            "{what}"
        );
        for (got, expected) in got.precisions.iter().zip(list(&case["precisions"])) {
            assert_close(*got, expected, &what);
        }
        assert_close(got.brevity_penalty, &case["brevity_penalty"], &what);
        assert_score(got.score, &case["bleu"], &what);
        assert_score(chrf(&references, &hypotheses, 0).unwrap(), &case["chrf"], &what);
        assert_score(chrf(&references, &hypotheses, 2).unwrap(), &case["chrf_words"], &what);
    }
}
