//! CTC decoding and alignment against enumeration of all paths, and against a golden trellis.

use std::collections::BTreeMap;

use model_zoo::ctc::{
    Alignment, AlignmentRule, CtcVocabulary, Emission, PrefixBeamOptions, characters, forced_align,
    greedy, prefix_beam, words,
};
use model_zoo::{ErrorKind, ZooError};
use tensor_core::{Device, Tensor};

use crate::common::*;
use crate::golden_hubert::hubert_dir;

/// Random scores of one item, `(T, V)`.
fn emission(time: usize, vocab: usize, stream: u64) -> Emission {
    let logits = noise(&[1, time, vocab], stream).mul_scalar(2.0).unwrap();
    Emission::from_logits(&logits, &[time]).unwrap().remove(0)
}

fn reads_as(path: &[u32], blank: u32) -> Vec<u32> {
    let mut path = path.to_vec();
    path.dedup();
    path.retain(|&label| label != blank);
    path
}

/// Every path with its log-probability.
fn all_paths(emission: &Emission) -> Vec<(Vec<u32>, f64)> {
    let mut paths = vec![(vec![], 0.0)];
    for frame in emission.frames() {
        let longer = |(path, score): &(Vec<u32>, f64)| {
            let longer = |(label, log_prob): (usize, &f64)| {
                let mut path = path.clone();
                path.push(label as u32);
                (path, score + log_prob)
            };
            frame.iter().enumerate().map(longer).collect::<Vec<_>>()
        };
        paths = paths.iter().flat_map(longer).collect();
    }
    paths
}

fn best(paths: impl Iterator<Item = (Vec<u32>, f64)>) -> (Vec<u32>, f64) {
    paths.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// Frames, labels and blank of the cases that are enumerated.
const TINY: [(usize, usize, u32); 5] = [(1, 3, 0), (5, 3, 0), (6, 3, 1), (4, 4, 3), (7, 2, 0)];

#[test]
fn greedy_is_the_labelling_of_the_likeliest_path() {
    for (case, (time, vocab, blank)) in TINY.into_iter().enumerate() {
        let emission = emission(time, vocab, case as u64);
        let (path, _) = best(all_paths(&emission).into_iter());
        assert_eq!(greedy(&emission, blank).unwrap(), reads_as(&path, blank));
    }
    assert_eq!(greedy(&Emission::new(vec![], 4).unwrap(), 0).unwrap(), [] as [u32; 0]);
}

#[test]
fn a_wide_prefix_beam_finds_every_labelling_with_its_exact_probability() {
    for (case, (time, vocab, blank)) in TINY.into_iter().enumerate() {
        let emission = emission(time, vocab, 10 + case as u64);
        let mut masses: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for (path, score) in all_paths(&emission) {
            *masses.entry(reads_as(&path, blank)).or_default() += score.exp();
        }
        let mut expected: Vec<(Vec<u32>, f64)> = masses.into_iter().collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1));

        let options =
            PrefixBeamOptions { beam_width: 10_000, n_best: 10_000, ..Default::default() };
        let found = prefix_beam(&emission, blank, &options).unwrap();
        assert_eq!(found.len(), expected.len());
        for (got, (ids, mass)) in found.iter().zip(&expected) {
            assert_eq!(&got.ids, ids);
            assert!((got.log_prob.exp() - mass).abs() < 1e-12, "{ids:?}");
        }
        let total: f64 = found.iter().map(|one| one.log_prob.exp()).sum();
        assert!((total - 1.0).abs() < 1e-12);

        // Fewer are the first of them.
        let few = PrefixBeamOptions { n_best: 2, ..options };
        let n = found.len().min(2);
        assert_eq!(prefix_beam(&emission, blank, &few).unwrap(), found[..n]);
    }
}

#[test]
fn a_prefix_beam_prefers_many_paths_to_one() {
    // Two frames: the likeliest path is two blanks, but `a` is read from three paths.
    let logs = |p: [f64; 2]| p.map(f64::ln);
    let emission = Emission::new([logs([0.6, 0.4]), logs([0.6, 0.4])].concat(), 2).unwrap();
    assert_eq!(greedy(&emission, 0).unwrap(), [] as [u32; 0]);
    let found = prefix_beam(&emission, 0, &PrefixBeamOptions::default()).unwrap();
    assert_eq!(found[0].ids, [1]);
    assert!((found[0].log_prob.exp() - 0.64).abs() < 1e-12);
}

#[test]
fn a_narrow_beam_never_claims_more_than_the_truth() {
    let emission = emission(30, 6, 77);
    let run = |beam_width, token_min_logp| {
        let options = PrefixBeamOptions { beam_width, n_best: 4, token_min_logp };
        prefix_beam(&emission, 0, &options).unwrap()
    };
    let wide = run(2000, f64::NEG_INFINITY);
    for (width, floor) in [(1, f64::NEG_INFINITY), (8, f64::NEG_INFINITY), (64, -4.0)] {
        let narrow = run(width, floor);
        assert!(narrow[0].log_prob <= wide[0].log_prob + 1e-9);
        assert!(narrow.windows(2).all(|pair| pair[0].log_prob >= pair[1].log_prob));
        assert_eq!(narrow, run(width, floor), "results repeat");
    }
}

/// The spans that a path of the rule `Ctc` shows.
fn spans_of(path: &[u32], blank: u32) -> Vec<(u32, usize, usize)> {
    let mut spans: Vec<(u32, usize, usize)> = Vec::new();
    for (t, &label) in path.iter().enumerate().filter(|(_, label)| **label != blank) {
        match spans.last_mut() {
            Some(span) if span.0 == label && span.2 == t => span.2 = t + 1,
            _ => spans.push((label, t, t + 1)),
        }
    }
    spans
}

#[test]
fn forced_alignment_is_the_likeliest_of_all_paths_that_read_as_the_tokens() {
    for (case, (time, vocab, blank)) in TINY.into_iter().enumerate() {
        let emission = emission(time, vocab, 20 + case as u64);
        let paths = all_paths(&emission);
        let mut labellings: Vec<Vec<u32>> =
            paths.iter().map(|(path, _)| reads_as(path, blank)).collect();
        labellings.sort();
        labellings.dedup();
        for tokens in labellings {
            let reading = paths.iter().filter(|(path, _)| reads_as(path, blank) == tokens);
            let (path, score) = best(reading.cloned());
            let got = forced_align(&emission, &tokens, blank, AlignmentRule::Ctc).unwrap();
            assert_eq!(got.path, path, "{tokens:?}");
            assert!((got.log_prob - score).abs() < 1e-12);
            let spans: Vec<_> =
                got.spans.iter().map(|span| (span.token, span.start, span.end)).collect();
            assert_eq!(spans, spans_of(&path, blank));
            for span in &got.spans {
                let frames = emission.frames().skip(span.start).take(span.end - span.start);
                let sum: f64 = frames.map(|frame| frame[span.token as usize].exp()).sum();
                let mean = sum / (span.end - span.start) as f64;
                assert!((span.score - mean).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn the_trellis_rule_follows_the_tutorial() {
    for dir in golden_cases_in(&hubert_dir(), "ctc-trellis-") {
        let golden = Golden::open(&dir);
        let log_probs = golden.get("log_probs");
        let emission =
            Emission::new(log_probs.to_vec_f64().unwrap(), log_probs.shape()[1]).unwrap();
        let tokens: Vec<u32> = golden.ids("tokens").iter().map(|&id| id as u32).collect();
        let blank = golden.ids("blank")[0] as u32;
        let got = forced_align(&emission, &tokens, blank, AlignmentRule::Trellis).unwrap();
        let starts: Vec<i64> = got.spans.iter().map(|span| span.start as i64).collect();
        let ends: Vec<i64> = got.spans.iter().map(|span| span.end as i64).collect();
        assert_eq!(starts, golden.ids("segment_starts"), "{}", name_of(&dir));
        assert_eq!(ends, golden.ids("segment_ends"), "{}", name_of(&dir));
        let scores: Vec<f64> = got.spans.iter().map(|span| span.score).collect();
        let expected = golden.get("segment_scores").to_vec_f64().unwrap();
        assert!(difference(&scores, &expected).0 < 1e-6);
        let total: f64 = golden.get("path_scores").to_vec_f64().unwrap().iter().sum();
        assert!((got.log_prob - total).abs() < 1e-4, "{} {total}", got.log_prob);
    }
}

#[test]
fn tokens_that_the_frames_cannot_hold_are_refused() {
    let emission = emission(4, 5, 1);
    let align = |tokens: &[u32], rule| forced_align(&emission, tokens, 0, rule);
    // Equal neighbours need a blank between them.
    assert!(align(&[1, 1, 2], AlignmentRule::Ctc).is_ok());
    let error = align(&[1, 1, 1], AlignmentRule::Ctc).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert_eq!(
        error.to_string(),
        "ctc align: 4 frames, expected at least 5 for 3 tokens, 2 of which repeat the one before \
         (hint: is this the transcript of this clip)"
    );
    assert!(align(&[1, 1, 1, 1], AlignmentRule::Trellis).is_ok());
    assert!(align(&[1, 1, 1, 1, 1], AlignmentRule::Trellis).is_err());
    for tokens in [[1, 0], [1, 5]] {
        let text = align(&tokens, AlignmentRule::Ctc).unwrap_err().to_string();
        let id = tokens[1];
        let told = format!("ctc align: tokens[1] is {id}, expected below 5 and not the blank 0");
        assert_eq!(text, told);
    }
    let impossible = Emission::new(vec![0.0, f64::NEG_INFINITY], 2).unwrap();
    let error = forced_align(&impossible, &[1], 0, AlignmentRule::Ctc).unwrap_err();
    assert_eq!(error.to_string(), "ctc align: every path has probability 0, expected more");
    assert_eq!(align(&[], AlignmentRule::Ctc).unwrap().path, [0, 0, 0, 0]);
    assert_eq!(align(&[], AlignmentRule::Trellis).unwrap().spans, []);
}

fn alphabet() -> CtcVocabulary {
    CtcVocabulary::from_characters("AHIO'".chars()).unwrap()
}

#[test]
fn characters_and_words_have_times() {
    let vocabulary = alphabet();
    let ids = vocabulary.encode("HI OH").unwrap();
    // `H.II||O.H` with a certain path.
    let path = [ids[0], 0, ids[1], ids[1], ids[2], ids[2], ids[3], 0, ids[4]];
    let vocab = vocabulary.vocab_size();
    let mut logits = vec![0f32; path.len() * vocab];
    for (row, &label) in logits.chunks_mut(vocab).zip(&path) {
        row[label as usize] = 50.0;
    }
    let logits = Tensor::from_vec(logits, &[1, path.len(), vocab], Device::Cpu).unwrap();
    let emission = Emission::from_logits(&logits, &[path.len()]).unwrap().remove(0);
    assert_eq!(vocabulary.decode(&greedy(&emission, vocabulary.blank()).unwrap()), "HI OH");

    let aligned: Alignment = forced_align(&emission, &ids, 0, AlignmentRule::Ctc).unwrap();
    let step = 320.0 / 16_000.0;
    let told = |texts: Vec<model_zoo::ctc::TimedText>| -> Vec<(String, usize, usize)> {
        assert!(texts.iter().all(|one| (one.score - 1.0).abs() < 1e-9));
        let frame = |s: f64| (s / step).round() as usize;
        texts.into_iter().map(|one| (one.text, frame(one.start_s), frame(one.end_s))).collect()
    };
    let expected = [("H", 0, 1), ("I", 2, 4), (" ", 4, 6), ("O", 6, 7), ("H", 8, 9)];
    let got = told(characters(&aligned, &vocabulary, step).unwrap());
    assert_eq!(got, expected.map(|(text, a, b)| (text.to_owned(), a, b)));
    let got = told(words(&aligned, &vocabulary, step).unwrap());
    assert_eq!(got, [("HI".to_owned(), 0, 4), ("OH".to_owned(), 6, 9)]);
    let text = words(&aligned, &vocabulary, 0.0).unwrap_err().to_string();
    assert_eq!(text, "ctc times: seconds_per_frame is 0, expected more than 0");
}

#[test]
fn a_vocabulary_survives_a_round_trip_and_names_what_it_lacks() {
    let vocabulary = alphabet();
    assert_eq!((vocabulary.blank(), vocabulary.word_delimiter()), (0, Some(2)));
    let dir = tempfile::tempdir().unwrap();
    vocabulary.save(dir.path()).unwrap();
    let again = CtcVocabulary::open(dir.path()).unwrap();
    assert_eq!(again.encode("OH HI'").unwrap(), vocabulary.encode("OH HI'").unwrap());
    assert_eq!(again.decode(&[2, 4, 6, 0, 2, 99, 2]), "HO <unk>");

    let text = |result: Result<Vec<u32>, ZooError>| result.unwrap_err().to_string();
    let told = "ctc vocabulary: no label for ['Ä', '1'], expected characters of the vocabulary";
    assert_eq!(text(vocabulary.encode("HÄ1Ä")), told);
    let told = "ctc vocabulary: no label for ['h', 'i'], expected characters of the vocabulary \
                (hint: the vocabulary is upper case)";
    assert_eq!(text(vocabulary.encode("hi")), told);
    let error = vocabulary.check_fits(7).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tokenizer);
    let told = "ctc vocabulary: 8 labels, expected at most vocab_size 7 \
                (hint: do vocab.json and config.json belong together)";
    assert_eq!(error.to_string(), told);

    // As older tokenizers are saved, with another blank and delimiter.
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
    write("vocab.json", r#"{"[PAD]": 5, "_": 4, "A": 0, "B": 3}"#);
    write(
        "tokenizer_config.json",
        r#"{"pad_token": {"content": "[PAD]", "lstrip": true}, "word_delimiter_token": "_",
            "do_lower_case": true}"#,
    );
    let old = CtcVocabulary::open(dir.path()).unwrap();
    assert_eq!((old.blank(), old.vocab_size()), (5, 6));
    assert_eq!(old.encode("ab a").unwrap(), [0, 3, 4, 0]);
    assert_eq!(old.decode(&[4, 0, 5, 3, 4, 0]), "ab a");
    write("vocab.json", r#"{"deu": {"A": 0}}"#);
    let text = CtcVocabulary::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("`deu` is {\"A\":0}, expected a label"), "{text}");
    write("vocab.json", r#"{"A": 0}"#);
    let text = CtcVocabulary::open(dir.path()).unwrap_err().to_string();
    assert!(text.ends_with("no `[PAD]`, expected the padding token, which is the blank"), "{text}");
    std::fs::remove_file(dir.path().join("vocab.json")).unwrap();
    assert_eq!(CtcVocabulary::open(dir.path()).unwrap_err().kind(), ErrorKind::Tokenizer);
}
