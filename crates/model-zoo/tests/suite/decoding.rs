//! Decoding against brute force, against `transformers` and openai-whisper, and against itself.

use model_zoo::decoding::{
    BeamSearch, EarlyStopping, GenerateOptions, Hypothesis, Logits, NoRepeatNgram,
    PatientBeamSearch, RepetitionPenalty, Request, Sampling, ScoreRule, Strategy, SuppressTokens,
    SuppressTokensAtBegin, TokenModel, generate,
};
use model_zoo::whisper::{EncoderInput, Whisper, WhisperRows};
use model_zoo::{LoadOptions, Result};
use serde_json::Value;
use tensor_core::Context;

use crate::common::*;

/// A model whose logits depend on the last two tokens of a row.
#[derive(Clone)]
struct Toy {
    /// `(V, V, V)`.
    table: Vec<f32>,
    vocab_size: usize,
    rows: Vec<Vec<u32>>,
    /// Rows of each call.
    fed: Vec<usize>,
}

impl Toy {
    fn new(table: Vec<f32>, vocab_size: usize, n_rows: usize) -> Self {
        Self { table, vocab_size, rows: vec![Vec::new(); n_rows], fed: Vec::new() }
    }

    fn random(vocab_size: usize, n_rows: usize, stream: u64) -> Self {
        let table = noise(&[vocab_size, vocab_size, vocab_size], stream).to_vec::<f32>().unwrap();
        Self::new(table, vocab_size, n_rows)
    }

    fn logits(&self, row: &[u32]) -> &[f32] {
        let v = self.vocab_size;
        let [.., a, b] = row else { panic!("{row:?} has under two tokens") };
        &self.table[(*a as usize * v + *b as usize) * v..][..v]
    }
}

impl TokenModel for Toy {
    fn next(&mut self, _: &Context, ids: &[Vec<u32>]) -> Result<Logits> {
        assert_eq!(ids.len(), self.rows.len());
        self.fed.push(ids.len());
        for (row, ids) in self.rows.iter_mut().zip(ids) {
            row.extend(ids);
        }
        let values = self.rows.iter().flat_map(|row| self.logits(row).to_vec()).collect();
        Ok(Logits { values, vocab_size: self.vocab_size })
    }

    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.rows = rows.iter().map(|&row| self.rows[row].clone()).collect();
        Ok(())
    }
}

fn request(prompt_ids: &[u32], stream: u64) -> Request {
    Request { prompt_ids: prompt_ids.to_vec(), stream }
}

fn options(strategy: Strategy, max_new_tokens: usize, end: u32) -> GenerateOptions {
    GenerateOptions { strategy, max_new_tokens, eos_token_ids: vec![end] }
}

/// All rows that end within `longest` new tokens or reach it: ids, whether ended, and sums of
/// log-probabilities in f64.
fn all_rows(toy: &Toy, prompt: &[u32], longest: usize, end: u32) -> Vec<(Vec<u32>, bool, f64)> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), 0.0)];
    for step in 1..=longest {
        for (ids, sum) in std::mem::take(&mut open) {
            let logits = toy.logits(&[prompt, &ids].concat()).to_vec();
            let normaliser = logits.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
            for (token, logit) in logits.iter().enumerate() {
                let sum = sum + f64::from(*logit) - normaliser;
                let mut ids: Vec<u32> = ids.clone();
                if token as u32 == end {
                    found.push((ids, true, sum));
                    continue;
                }
                ids.push(token as u32);
                match step == longest {
                    true => found.push((ids, false, sum)),
                    false => open.push((ids, sum)),
                }
            }
        }
    }
    found
}

/// Asserts that `found` are the best of `expected` (ids, ended, sum, score). Rows of the same
/// pairs of tokens are equally likely, so that a rank may hold any of several.
fn assert_best(found: &[Hypothesis], mut expected: Vec<(Vec<u32>, bool, f64, f64)>, what: &str) {
    expected.sort_by(|a, b| b.3.total_cmp(&a.3));
    assert!(found.len() > 2 && found.len() <= expected.len(), "{what}");
    for (rank, hypothesis) in found.iter().enumerate() {
        let same = |row: &(Vec<u32>, bool, f64, f64)| row.0 == hypothesis.ids;
        let (_, ended, sum, score) = expected.iter().find(|row| same(row)).unwrap();
        assert_eq!(hypothesis.ended, *ended, "{what}: rank {rank}");
        assert!((hypothesis.sum_logprob - sum).abs() < 1e-5, "{what}: rank {rank}");
        for score in [*score, expected[rank].3] {
            assert!((hypothesis.score - score).abs() < 1e-5, "{what}: rank {rank}");
        }
        assert!(found[..rank].iter().all(|other| other.ids != hypothesis.ids), "{what}");
    }
}

#[test]
fn beams_wide_enough_find_what_brute_force_finds() {
    let (prompt, longest, end) = ([1, 2], 4, 3);
    for stream in 0..4 {
        let toy = Toy::random(4, 1, stream);
        let rows = all_rows(&toy, &prompt, longest, end);
        for length_penalty in [0.0, 1.0, -1.0] {
            let search = BeamSearch {
                num_beams: 200,
                length_penalty,
                early_stopping: EarlyStopping::WhenImpossible,
                ..BeamSearch::default()
            };
            let expected = rows.iter().cloned().map(|(ids, ended, sum)| {
                let length = (ids.len() + usize::from(ended)) as f64;
                (ids, ended, sum, sum / length.powf(length_penalty))
            });
            let found = run(&toy, &[&prompt], &options(Strategy::Beam(search), longest, end));
            assert_best(&found[0], expected.collect(), &format!("{stream} {length_penalty}"));
        }
        let search = PatientBeamSearch { beam_size: 200, patience: 1.0, length_penalty: Some(0.7) };
        let expected = rows.iter().cloned().map(|(ids, ended, sum)| {
            let score = sum / ((5.0 + ids.len() as f64) / 6.0).powf(0.7);
            (ids, ended, sum, score)
        });
        let found = run(&toy, &[&prompt], &options(Strategy::PatientBeam(search), longest, end));
        assert_best(&found[0], expected.collect(), &format!("patient {stream}"));
    }
}

/// Decodes `prompts` together; items' streams are the sums of their prompts.
fn run(toy: &Toy, prompts: &[&[u32]], options: &GenerateOptions) -> Vec<Vec<Hypothesis>> {
    let mut toy = Toy { rows: vec![Vec::new(); prompts.len()], ..toy.clone() };
    let requests: Vec<Request> =
        prompts.iter().map(|ids| request(ids, u64::from(ids.iter().sum::<u32>()))).collect();
    generate(&eval(), &mut toy, &requests, &[], options).unwrap()
}

fn strategies() -> Vec<Strategy> {
    let sampling = Sampling { num_return_sequences: 3, top_p: 0.9, ..Sampling::default() };
    vec![
        Strategy::Greedy,
        Strategy::Sample(Sampling { seed: 5, temperature: 1.2, ..sampling }),
        Strategy::Beam(BeamSearch { num_beams: 3, ..BeamSearch::default() }),
        Strategy::Beam(BeamSearch {
            num_beams: 2,
            early_stopping: EarlyStopping::WhenFull,
            ..BeamSearch::default()
        }),
        Strategy::PatientBeam(PatientBeamSearch { patience: 2.0, ..PatientBeamSearch::default() }),
    ]
}

#[test]
fn item_in_a_batch_gives_what_it_gives_alone() {
    let toy = Toy::random(7, 1, 11);
    let prompts: [&[u32]; 5] = [&[1, 2], &[0, 6], &[5, 5], &[2, 4], &[3, 0]];
    for strategy in strategies() {
        let options = options(strategy, 12, 4);
        let together = run(&toy, &prompts, &options);
        let mut lengths: Vec<usize> = together.iter().flatten().map(|h| h.ids.len()).collect();
        for (prompt, list) in prompts.iter().zip(&together) {
            assert_eq!(run(&toy, &[prompt], &options)[0], *list, "{options:?}");
            assert!(list.windows(2).all(|pair| pair[0].score >= pair[1].score), "{list:?}");
        }
        lengths.sort_unstable();
        lengths.dedup();
        assert!(lengths.len() > 1, "all rows ended together: {options:?}");
    }
}

#[test]
fn ended_rows_leave_the_batch_and_nothing_is_fed_twice() {
    let mut toy = Toy::random(7, 3, 11);
    let requests = [request(&[1, 2], 0), request(&[0, 6], 1), request(&[5, 5], 2)];
    let sampling = Sampling { num_return_sequences: 4, seed: 1, ..Sampling::default() };
    let options = options(Strategy::Sample(sampling), 9, 4);
    let lists = generate(&eval(), &mut toy, &requests, &[], &options).unwrap();
    let length = |h: &Hypothesis| h.n_scored();
    let expected: Vec<usize> = (0..9)
        .map(|step| match step {
            0 => 3,
            _ => lists.iter().flatten().filter(|h| length(h) > step).count(),
        })
        .take_while(|&rows| rows > 0)
        .collect();
    assert_eq!(toy.fed, expected);
}

#[test]
fn samples_are_named_by_seed_and_stream() {
    let toy = Toy::random(9, 1, 3);
    let sample = |seed, stream| {
        let sampling = Sampling { num_return_sequences: 2, seed, ..Sampling::default() };
        let options = options(Strategy::Sample(sampling), 8, 0);
        generate(&eval(), &mut toy.clone(), &[request(&[1, 2], stream)], &[], &options).unwrap()
    };
    assert_eq!(sample(1, 2), sample(1, 2));
    assert_ne!(sample(1, 2), sample(1, 3));
    assert_ne!(sample(1, 2), sample(2, 2));
    let list = &sample(1, 2)[0];
    assert_ne!(list[0].ids, list[1].ids);
    let mean = list[0].sum_logprob / list[0].ids.len() as f64;
    assert_eq!(list[0].score, mean);
}

#[test]
fn no_tokens_are_asked_for_and_none_come() {
    for strategy in strategies() {
        let lists = run(&Toy::random(5, 1, 1), &[&[1, 2]], &options(strategy, 0, 4));
        assert!(lists[0].iter().all(|h| h.ids.is_empty() && !h.ended && h.sum_logprob == 0.0));
        assert!(!lists[0].is_empty());
    }
    let none =
        generate(&eval(), &mut Toy::random(5, 0, 1), &[], &[], &options(Strategy::Greedy, 3, 4));
    assert!(none.unwrap().is_empty());
}

#[test]
fn what_cannot_be_decoded_is_refused() {
    let refuse = |requests: &[Request], strategy: Strategy, value: f32| {
        let mut toy = Toy::new(vec![value; 27], 3, requests.len());
        let options = options(strategy, 3, 2);
        generate(&eval(), &mut toy, requests, &[], &options).unwrap_err().to_string()
    };
    for strategy in strategies() {
        let text = refuse(&[request(&[1, 2], 0)], strategy, f32::NAN);
        assert!(text.starts_with("decoding: no token has a finite score"), "{text}");
    }
    let uneven = [request(&[1, 2], 0), request(&[1], 0)];
    assert_eq!(
        refuse(&uneven, Strategy::Greedy, 0.0),
        "decoding: prompt 1 has 1 tokens, expected 2 (hint: prompts of one call are not empty and \
         equally long)"
    );
    assert!(refuse(&[request(&[], 0)], Strategy::Greedy, 0.0).contains("has 0 tokens, expected 1"));
    let beams = BeamSearch { num_beams: 0, ..BeamSearch::default() };
    assert_eq!(
        refuse(&[request(&[1, 2], 0)], Strategy::Beam(beams), 0.0),
        "beam search: num_beams is 0, expected at least 1"
    );
    let hasty = PatientBeamSearch { patience: 0.01, ..PatientBeamSearch::default() };
    assert_eq!(
        refuse(&[request(&[1, 2], 0)], Strategy::PatientBeam(hasty), 0.0),
        "beam search: patience is 0.01, expected above 0.1"
    );
}

#[test]
fn beams_equal_transformers() {
    let cases = golden_json("decoding/beams.json");
    for dir in golden_cases("whisper-") {
        let model = Whisper::open(&dir, LoadOptions::default()).unwrap();
        let golden = Golden::open(&dir);
        let features = golden.get("input_features");
        let memory = model.encode(&eval(), &EncoderInput::new(&features)).unwrap();
        let n_items = features.shape()[0];
        let prompt: Vec<u32> = golden.ids("prompt_ids").iter().map(|&id| id as u32).collect();
        let requests = vec![request(&prompt[..prompt.len() / n_items], 0); n_items];
        let of_folder = |case: &&Value| case["folder"] == name_of(&dir).as_str();
        for case in cases.as_array().unwrap().iter().filter(of_folder) {
            let (rules, options) = setting(&model, case);
            let mut rows = WhisperRows::new(&model, &eval(), &memory).unwrap();
            let found = generate(&eval(), &mut rows, &requests, &rules, &options).unwrap();
            assert_eq!(found.len(), case["hypotheses"].as_array().unwrap().len());
            for (found, expected) in found.iter().zip(case["hypotheses"].as_array().unwrap()) {
                compare(found, expected, options.max_new_tokens, case);
            }
        }
    }
}

/// The rules, in the order of `transformers`, and the options of a golden case.
fn setting(model: &Whisper, case: &Value) -> (Vec<Box<dyn ScoreRule>>, GenerateOptions) {
    let setting = &case["setting"];
    let mut rules: Vec<Box<dyn ScoreRule>> = Vec::new();
    if let Some(penalty) = setting["repetition_penalty"].as_f64() {
        rules.push(Box::new(RepetitionPenalty { penalty: penalty as f32 }));
    }
    if let Some(size) = setting["no_repeat_ngram_size"].as_u64() {
        rules.push(Box::new(NoRepeatNgram { size: size as usize }));
    }
    rules.push(Box::new(SuppressTokens(model.generation.suppressed())));
    rules.push(Box::new(SuppressTokensAtBegin(model.generation.begin_suppressed())));
    let strategy = match setting["num_beams"].as_u64().unwrap() {
        1 => Strategy::Greedy,
        num_beams => Strategy::Beam(BeamSearch {
            num_beams: num_beams as usize,
            length_penalty: setting["length_penalty"].as_f64().unwrap_or(1.0),
            early_stopping: match &setting["early_stopping"] {
                Value::Bool(true) => EarlyStopping::WhenFull,
                Value::String(never) if never == "never" => EarlyStopping::WhenImpossible,
                _ => EarlyStopping::WhenUnlikely,
            },
            renormalize_logits: setting["renormalize_logits"] == true,
        }),
    };
    let max_new_tokens = case["max_new_tokens"].as_u64().unwrap() as usize;
    let eos_token_ids = tokens(&case["eos_token_ids"]);
    (rules, GenerateOptions { strategy, max_new_tokens, eos_token_ids })
}

fn compare(found: &[Hypothesis], expected: &Value, longest: usize, case: &Value) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len(), "{case}");
    let ends = tokens(&case["eos_token_ids"]);
    for (found, expected) in found.iter().zip(expected) {
        let mut ids = tokens(&expected["ids"]);
        let ended = ids.last().is_some_and(|id| ends.contains(id));
        ids.truncate(ids.len() - usize::from(ended));
        assert_eq!((&found.ids, found.ended), (&ids, ended), "{case}");
        assert!(found.n_scored() <= longest);
        if let Some(score) = expected["score"].as_f64() {
            // Sums there are f32.
            assert!((found.score - score).abs() < 1e-5 * score.abs().max(1.0), "{case}");
        }
    }
}

#[test]
fn patient_beams_equal_openai_whisper() {
    let golden = golden_json("decoding/patience.json");
    let vocab_size = golden["vocab_size"].as_u64().unwrap() as usize;
    let eot = golden["eot"].as_u64().unwrap() as u32;
    let prompts: Vec<Vec<u32>> = golden["prompts"].as_array().unwrap().iter().map(tokens).collect();
    let requests: Vec<Request> = prompts.iter().map(|ids| request(ids, 0)).collect();
    for case in golden["cases"].as_array().unwrap() {
        let search = PatientBeamSearch {
            beam_size: case["beam_size"].as_u64().unwrap() as usize,
            patience: case["patience"].as_f64().unwrap_or(1.0),
            length_penalty: case["length_penalty"].as_f64(),
        };
        let longest = case["max_new_tokens"].as_u64().unwrap() as usize;
        let options = options(Strategy::PatientBeam(search), longest, eot);
        let mut toy = Toy::new(numbers(&golden["table"]), vocab_size, prompts.len());
        let rules: [Box<dyn ScoreRule>; 1] = [Box::new(SuppressTokensAtBegin(vec![eot]))];
        let found = generate(&eval(), &mut toy, &requests, &rules, &options).unwrap();
        for (found, item) in found.iter().zip(case["items"].as_array().unwrap()) {
            let ids: Vec<Vec<u32>> = item["ids"].as_array().unwrap().iter().map(tokens).collect();
            let sums = numbers(&item["sums"]);
            assert_eq!(found.len(), ids.len(), "{case}");
            assert_eq!(found[0].ids, ids[item["best"].as_u64().unwrap() as usize], "{case}");
            for hypothesis in found {
                let place = ids.iter().position(|ids| *ids == hypothesis.ids).unwrap();
                assert!((hypothesis.sum_logprob - f64::from(sums[place])).abs() < 1e-4, "{case}");
            }
        }
    }
}

#[test]
fn samples_have_the_probabilities_of_transformers() {
    for case in golden_json("decoding/sampling.json").as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let n = 4000;
        let sampling = Sampling {
            temperature: number("temperature"),
            top_k: number("top_k") as usize,
            top_p: number("top_p"),
            min_p: number("min_p"),
            num_return_sequences: n,
            ..Sampling::default()
        };
        let (scores, expected) = (numbers(&case["scores"]), numbers(&case["probabilities"]));
        let vocab_size = scores.len();
        let table = scores.repeat(vocab_size * vocab_size);
        let mut toy = Toy::new(table, vocab_size, 1);
        let options = options(Strategy::Sample(sampling), 1, 99);
        let found = generate(&eval(), &mut toy, &[request(&[0, 0], 0)], &[], &options).unwrap();
        let mut shares = vec![0.0; vocab_size];
        for hypothesis in &found[0] {
            shares[hypothesis.ids[0] as usize] += 1.0 / n as f64;
        }
        for (token, (share, expected)) in shares.iter().zip(expected).enumerate() {
            let expected = f64::from(expected);
            // Five standard deviations; what is cut off is never drawn.
            let bound = 5.0 * (expected * (1.0 - expected) / n as f64).sqrt() + 1e-9;
            assert!((share - expected).abs() <= bound, "{token}: {share} and {expected}: {case}");
        }
    }
}
