//! What holds for every input: the identities behind the scores.

use proptest::collection::vec;
use proptest::prelude::*;
use speech_metrics::edit::{align, distance};
use speech_metrics::{
    Confusion, MultiLabel, Normalizer, Retrieval, Ties, cer, pearson, spearman, wer,
};

/// Short sequences over a small alphabet, so that hits and ties are common.
fn tokens() -> impl Strategy<Value = Vec<u8>> {
    vec(0..4_u8, 0..24)
}

proptest! {
    #[test]
    fn edit_distance_is_a_metric(a in tokens(), b in tokens(), c in tokens()) {
        prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        prop_assert_eq!(distance(&a, &b) == 0, a == b);
        prop_assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c));
        prop_assert!(distance(&a, &b) >= a.len().abs_diff(b.len()));
        prop_assert!(distance(&a, &b) <= a.len().max(b.len()));
    }

    #[test]
    fn an_alignment_is_shortest_and_covers_both_sides(a in tokens(), b in tokens()) {
        let alignment = align(&a, &b);
        let counts = alignment.counts();
        prop_assert_eq!(counts.errors(), distance(&a, &b));
        prop_assert_eq!(counts.reference_len(), a.len());
        prop_assert_eq!(counts.hypothesis_len(), b.len());
        prop_assert_eq!(counts.insertions + a.len(), counts.deletions + b.len());
        let (mut r, mut h) = (0, 0);
        for chunk in &alignment.chunks {
            prop_assert_eq!((chunk.reference.start, chunk.hypothesis.start), (r, h));
            (r, h) = (chunk.reference.end, chunk.hypothesis.end);
        }
        prop_assert_eq!((r, h), (a.len(), b.len()));
    }

    #[test]
    fn a_text_has_no_errors_against_itself(text in any::<String>()) {
        for normalizer in Normalizer::ALL {
            prop_assert_eq!(wer(&[&text], &[&text], normalizer).unwrap().corpus, 0.0);
            prop_assert_eq!(cer(&[&text], &[&text], normalizer).unwrap().utterance_mean, 0.0);
        }
    }

    #[test]
    fn any_unicode_scores_without_panic_and_within_bounds(r in any::<String>(), h in any::<String>()) {
        for normalizer in Normalizer::ALL {
            let score = wer(&[&r], &[&h], normalizer).unwrap();
            prop_assert!(score.corpus >= 0.0 && score.corpus == score.utterance_mean);
            let counts = cer(&[&r], &[&h], normalizer).unwrap().counts;
            prop_assert!((0.0..=1.0).contains(&counts.match_error_rate()));
            prop_assert!((0.0..=1.0).contains(&counts.information_preserved()));
        }
    }

    #[test]
    fn normalising_twice_changes_nothing_more(text in "\\PC*") {
        let once = Normalizer::Basic.apply(&text).into_owned();
        let again = Normalizer::Basic.apply(&once).into_owned();
        prop_assert_eq!(once, again);
    }

    #[test]
    fn correlation_ignores_order_scale_and_shift(
        pairs in vec((-50..50_i32, -50..50_i32), 2..40), scale in 1..9_i32, shift in -9..9_i32,
    ) {
        let x: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.0)).collect();
        let y: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.1)).collect();
        let moved: Vec<f64> = x.iter().map(|v| v * f64::from(scale) + f64::from(shift)).collect();
        for score in [pearson, spearman] {
            let plain = score(&x, &y).unwrap();
            prop_assert_eq!(plain.is_none(), score(&y, &x).unwrap().is_none());
            if let Some(plain) = plain {
                prop_assert!((-1.0..=1.0).contains(&plain));
                prop_assert!((plain - score(&y, &x).unwrap().unwrap()).abs() < 1e-12);
                prop_assert!((plain - score(&moved, &y).unwrap().unwrap()).abs() < 1e-12);
            }
        }
        let cubed: Vec<f64> = x.iter().map(|v| v * v * v).collect();
        prop_assert_eq!(spearman(&x, &y).unwrap(), spearman(&cubed, &y).unwrap());
    }

    #[test]
    fn relabelling_classes_changes_no_average(items in vec((0..5_usize, 0..5_usize), 1..60)) {
        let (truth, predicted): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let swap = |classes: &[usize]| -> Vec<usize> { classes.iter().map(|c| 4 - c).collect() };
        let plain = Confusion::new(&truth, &predicted, 5).unwrap();
        let swapped = Confusion::new(&swap(&truth), &swap(&predicted), 5).unwrap();
        prop_assert_eq!(plain.accuracy(), swapped.accuracy());
        prop_assert!((plain.macro_f1() - swapped.macro_f1()).abs() < 1e-12);
        prop_assert!((plain.weighted_f1() - swapped.weighted_f1()).abs() < 1e-12);
        prop_assert_eq!(plain.total(), truth.len());
        let perfect = Confusion::new(&truth, &truth, 5).unwrap();
        prop_assert_eq!((perfect.accuracy(), perfect.macro_f1()), (1.0, 1.0));
    }

    #[test]
    fn one_label_is_a_binary_task(items in vec((any::<bool>(), any::<bool>()), 1..60)) {
        let (truth, predicted): (Vec<bool>, Vec<bool>) = items.into_iter().unzip();
        let class = |flags: &[bool]| -> Vec<usize> { flags.iter().map(|&f| f.into()).collect() };
        let one = MultiLabel::new(&truth, &predicted, 1).unwrap();
        let binary = Confusion::new(&class(&truth), &class(&predicted), 2).unwrap();
        prop_assert_eq!(one.subset_accuracy(), binary.accuracy());
        prop_assert_eq!(one.mean_label_accuracy(), binary.accuracy());
        prop_assert_eq!(one.macro_f1(), binary.f1(1));
        prop_assert_eq!(one.micro_f1(), binary.f1(1));
    }

    #[test]
    fn retrieval_survives_any_rising_map_and_moves_with_its_candidates(
        n in 1..9_usize, levels in vec(-4..4_i16, 64),
    ) {
        let scores: Vec<f32> = levels[..n * n].iter().map(|&level| f32::from(level)).collect();
        let mapped: Vec<f32> = scores.iter().map(|score| score * 3.0 - 1.0).collect();
        for ties in [Ties::Pessimistic, Ties::Average] {
            let plain = Retrieval::paired(&scores, n, ties).unwrap();
            prop_assert_eq!(&plain, &Retrieval::paired(&mapped, n, ties).unwrap());
            prop_assert!(plain.ranks().iter().all(|&rank| (1.0..=n as f64).contains(&rank)));
            prop_assert!(plain.recall_at(1) <= plain.recall_at(n));
            prop_assert_eq!(plain.recall_at(n), 1.0);
            // Reversing the candidates together with their groups moves nothing.
            let reversed: Vec<f32> =
                scores.chunks(n).flat_map(|row| row.iter().rev().copied()).collect();
            let (queries, candidates): (Vec<_>, Vec<_>) = (0..n).map(|i| (i, n - 1 - i)).unzip();
            let moved = Retrieval::grouped(&reversed, &queries, &candidates, ties).unwrap();
            prop_assert_eq!(&plain, &moved);
        }
    }
}
