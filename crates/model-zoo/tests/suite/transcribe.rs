//! Whisper's decoding of speech, against openai-whisper and `transformers`.

use std::path::{Path, PathBuf};

use audio_frontend::{Features, LogMel, load};
use model_zoo::decoding::{BeamSearch, Prefix, ScoreRule, Strategy};
use model_zoo::whisper::{
    ChunkOptions, DecodeOptions, EncoderInput, EncoderOutput, LogMelSource, LogMelWindow,
    TimestampRules, Transcriber, Whisper, WhisperConfig, WindowContext,
};
use model_zoo::{LoadOptions, Result, Tokenizer};
use serde_json::Value;
use tensor_core::{Device, Tensor};

use crate::common::*;

#[test]
fn timestamps_are_allowed_where_openai_whisper_allows_them() {
    let golden = golden_json("decoding/timestamps.json");
    let prompt = tokens(&golden["prompt"]);
    for case in golden["cases"].as_array().unwrap() {
        let index = case["max_initial_timestamp_index"].as_u64();
        let rules = TimestampRules {
            eot: golden["eot"].as_u64().unwrap() as u32,
            no_timestamps: golden["no_timestamps"].as_u64().unwrap() as u32,
            max_initial_timestamp_index: index.map(|index| index as usize),
        };
        let ids = [prompt.clone(), tokens(&case["row"])].concat();
        let before = numbers(&case["scores"]);
        let mut scores = before.clone();
        rules.apply(Prefix { ids: &ids, prompt_len: prompt.len() }, &mut scores);
        let allowed: Vec<u32> =
            (0..scores.len() as u32).filter(|&k| scores[k as usize].is_finite()).collect();
        assert_eq!(allowed, tokens(&case["allowed"]), "{case}");
        assert!(allowed.iter().all(|&k| scores[k as usize] == before[k as usize]));
    }
}

/// The folder of a published model, what is expected of it, and the folder of data.
fn published(name: &str, test: &str) -> Option<(PathBuf, PathBuf, Value)> {
    let data = shared_data(test)?;
    let dir = data.join("models").join(name);
    if !dir.is_dir() {
        eprintln!("skipped {test}: no {name} in {}", data.join("models").display());
        return None;
    }
    Some((data, dir, golden_json("speech/speech.json")[name].clone()))
}

fn samples(data: &Path, clip: &Value) -> Vec<f32> {
    load(data.join(clip.as_str().unwrap()), &audio_frontend::LoadOptions::default())
        .unwrap()
        .samples
}

fn encode(model: &Whisper, data: &Path, clips: &[&Value]) -> EncoderOutput {
    let log_mel = LogMel::new(model.config.num_mel_bins);
    let features: Vec<Tensor> = clips
        .iter()
        .map(|case| {
            let features = log_mel.compute_padded(&samples(data, &case["clip"]), 480_000);
            let shape = [1, features.n_mels, features.n_frames];
            Tensor::from_vec(features.data, &shape, Device::Cpu).unwrap()
        })
        .collect();
    let features = Tensor::cat(&features.iter().collect::<Vec<_>>(), 0).unwrap();
    model.encode(&eval(), &EncoderInput::new(&features)).unwrap()
}

fn close(got: f64, expected: &Value, bound: f64, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= bound, "{what}: {got} and {expected}");
}

/// Holds a published model to what `make_speech.py` found, all clips in one batch.
fn check_clips(name: &str, test: &str) {
    let Some((data, dir, expected)) = published(name, test) else { return };
    let model = Whisper::open(&dir, LoadOptions::default()).unwrap();
    let tokenizer = Tokenizer::open(&dir).unwrap();
    let clips: Vec<&Value> = expected["clips"].as_array().unwrap().iter().collect();
    let memory = encode(&model, &data, &clips);

    let mut options = model.generate_options(tokens(&clips[0]["prompt"]));
    options.max_new_tokens = 100;
    for (key, strategy) in
        [("greedy", Strategy::Greedy), ("beam5", Strategy::Beam(BeamSearch::default()))]
    {
        options.strategy = strategy;
        let found = best_ids(model.generate(&eval(), &memory, &options).unwrap());
        for (found, case) in found.iter().zip(&clips) {
            assert_eq!(*found, tokens(&case[key]), "{key} of {}", case["clip"]);
        }
    }

    for (key, beam_size) in [("openai_greedy", None), ("openai_beam5", Some(5))] {
        let options = DecodeOptions { beam_size, ..plain_options() };
        let transcriber = Transcriber::new(&model, &tokenizer, options).unwrap();
        let contexts = vec![WindowContext::default(); clips.len()];
        let found = transcriber.decode(&eval(), &memory, &contexts).unwrap();
        for (found, case) in found.iter().zip(&clips) {
            let (what, expected) = (format!("{key} of {}", case["clip"]), &case[key]);
            assert_eq!(found.ids(), tokens(&expected["ids"]), "{what}");
            assert_eq!(found.text, expected["text"].as_str().unwrap(), "{what}");
            close(found.avg_logprob, &expected["avg_logprob"], 2e-3, &what);
            close(found.no_speech_prob, &expected["no_speech_prob"], 2e-3, &what);
            close(found.compression_ratio, &expected["compression_ratio"], 0.01, &what);
        }
    }

    let transcriber = Transcriber::new(&model, &tokenizer, DecodeOptions::default()).unwrap();
    let found = transcriber.detect_language(&eval(), &memory).unwrap();
    for (found, case) in found.iter().zip(&clips) {
        for (code, probability) in case["languages"].as_object().into_iter().flatten() {
            let (_, got) = found.iter().find(|(known, _)| known == code).unwrap();
            close(*got, probability, 2e-3, &format!("{code} in {}", case["clip"]));
        }
        assert_eq!(found[0].0, "en");
    }
}

#[test]
fn whisper_tiny_hears_speech_as_transformers_and_openai_whisper_do() {
    check_clips("whisper-tiny", "whisper_tiny_hears_speech_as_transformers_and_openai_whisper_do");
}

#[test]
fn whisper_base_en_hears_speech_as_transformers_and_openai_whisper_do() {
    let test = "whisper_base_en_hears_speech_as_transformers_and_openai_whisper_do";
    check_clips("whisper-base.en", test);
}

/// A recording as openai-whisper cuts it: features of the whole, followed by silence, and zeros
/// where a window is longer than what is left.
struct Recording {
    features: Features,
    n_frames: usize,
}

impl Recording {
    fn new(samples: &[f32], n_mels: usize) -> Self {
        let features = LogMel::new(n_mels).compute_padded(samples, samples.len() + 480_000);
        Self { n_frames: features.n_frames - 3000, features }
    }
}

impl LogMelSource for Recording {
    type Error = model_zoo::ZooError;

    fn n_frames(&self) -> usize {
        self.n_frames
    }

    fn window(&mut self, seek: usize, len: usize) -> Result<LogMelWindow> {
        let n_mels = self.features.n_mels;
        let mut values = Vec::with_capacity(n_mels * 3000);
        for band in 0..n_mels {
            values.extend(&self.features.band(band)[seek..seek + len]);
            values.resize((band + 1) * 3000, 0.0);
        }
        let input_features = Tensor::from_vec(values, &[1, n_mels, 3000], Device::Cpu).unwrap();
        Ok(LogMelWindow { input_features, n_frames: 3000 })
    }
}

/// The recording of several utterances that `make_speech.py` made.
fn long_recording(data: &Path, expected: &Value) -> Vec<f32> {
    let mut all = Vec::new();
    for clip in expected["clips"].as_array().unwrap() {
        all.extend(samples(data, clip));
        all.resize(all.len() + 8000, 0.0);
    }
    assert_eq!(all.len() as f64 / 16_000.0, expected["seconds"].as_f64().unwrap());
    all
}

/// Greedy English decoding, never tried again.
fn plain_options() -> DecodeOptions {
    DecodeOptions {
        language: Some("en".to_owned()),
        temperature: vec![0.0],
        ..DecodeOptions::default()
    }
}

#[test]
fn long_recording_has_the_segments_of_openai_whisper() {
    let test = "long_recording_has_the_segments_of_openai_whisper";
    let Some((data, dir, expected)) = published("whisper-tiny", test) else { return };
    let expected = &expected["long"];
    let model = Whisper::open(&dir, LoadOptions::default()).unwrap();
    let tokenizer = Tokenizer::open(&dir).unwrap();
    let transcriber = Transcriber::new(&model, &tokenizer, plain_options()).unwrap();
    let mut recording = Recording::new(&long_recording(&data, expected), 80);
    let mut done = vec![0.0];
    let found = transcriber
        .transcribe(&eval(), &mut recording, &[], &mut |progress| done.push(progress.done))
        .unwrap();
    let segments = expected["segments"].as_array().unwrap();
    assert_eq!(found.segments.len(), segments.len());
    for (found, expected) in found.segments.iter().zip(segments) {
        assert_eq!(found.text, expected["text"].as_str().unwrap());
        assert_eq!(found.ids, tokens(&expected["tokens"]));
        close(found.start, &expected["start"], 1e-6, &found.text);
        close(found.end, &expected["end"], 1e-6, &found.text);
        close(found.avg_logprob, &expected["avg_logprob"], 2e-3, &found.text);
    }
    assert_eq!(found.text, expected["text"].as_str().unwrap());
    assert!(done.len() > 2 && done.windows(2).all(|pair| pair[0] < pair[1]), "{done:?}");
    assert_eq!(*done.last().unwrap(), recording.n_frames as f64 / 100.0);
}

#[test]
fn words_have_the_times_of_openai_whisper() {
    let test = "words_have_the_times_of_openai_whisper";
    let Some((data, dir, expected)) = published("whisper-tiny", test) else { return };
    let expected = &expected["long"];
    let model = Whisper::open(&dir, LoadOptions::default()).unwrap();
    let tokenizer = Tokenizer::open(&dir).unwrap();
    let options = DecodeOptions { word_timestamps: true, ..plain_options() };
    let transcriber = Transcriber::new(&model, &tokenizer, options).unwrap();
    let mut recording = Recording::new(&long_recording(&data, expected), 80);
    let found = transcriber.transcribe(&eval(), &mut recording, &[], &mut |_| ()).unwrap();
    let words: Vec<_> = found.segments.iter().flat_map(|segment| &segment.words).collect();
    let all = expected["words"].as_array().unwrap();
    assert_eq!(words.len(), all.len());
    for (found, expected) in words.iter().zip(all) {
        assert_eq!(found.word, expected[0].as_str().unwrap());
        close(found.start, &expected[1], 1e-6, &found.word);
        close(found.end, &expected[2], 1e-6, &found.word);
        close(found.probability, &expected[3], 5e-3, &found.word);
    }
}

/// A recording whose windows are made of their own sound alone.
struct Sound(Vec<f32>);

impl LogMelSource for Sound {
    type Error = model_zoo::ZooError;

    fn n_frames(&self) -> usize {
        self.0.len().div_ceil(160)
    }

    fn window(&mut self, seek: usize, len: usize) -> Result<LogMelWindow> {
        let end = self.0.len().min((seek + len) * 160);
        let features = LogMel::new(80).compute_padded(&self.0[seek * 160..end], 480_000);
        let shape = [1, features.n_mels, features.n_frames];
        let input_features = Tensor::from_vec(features.data, &shape, Device::Cpu).unwrap();
        Ok(LogMelWindow { input_features, n_frames: features.n_frames })
    }
}

#[test]
fn overlapping_chunks_give_what_the_pipeline_of_transformers_gives() {
    let test = "overlapping_chunks_give_what_the_pipeline_of_transformers_gives";
    let Some((data, dir, expected)) = published("whisper-tiny", test) else { return };
    let expected = &expected["long"];
    let model = Whisper::open(&dir, LoadOptions::default()).unwrap();
    let tokenizer = Tokenizer::open(&dir).unwrap();
    let mut samples = long_recording(&data, expected);
    samples.truncate(24 * 16_000);
    let mut sound = Sound(samples);
    let mut transcribe = |options: DecodeOptions| {
        let stride_length_s = Some((2.0, 1.5));
        let chunks = ChunkOptions { chunk_length_s: 10.0, stride_length_s, batch_size: 3 };
        let transcriber = Transcriber::new(&model, &tokenizer, options).unwrap();
        transcriber.transcribe_chunked(&eval(), &mut sound, &chunks, &mut |_| ()).unwrap()
    };
    let text = transcribe(DecodeOptions { without_timestamps: true, ..plain_options() });
    assert_eq!(text.text, expected["chunked"]["text"].as_str().unwrap());
    assert_eq!(text.segments.len(), 1);

    // The folder's max_initial_timestamp_index is 1, which that pipeline heeds.
    let options = DecodeOptions { max_initial_timestamp: Some(0.02), ..plain_options() };
    let timed = transcribe(options);
    let pieces = expected["chunked"]["with_timestamps"].as_array().unwrap();
    assert_eq!(timed.segments.len(), pieces.len());
    for (found, expected) in timed.segments.iter().zip(pieces) {
        assert_eq!(found.text, expected[2].as_str().unwrap());
        close(found.start, &expected[0], 0.011, &found.text);
        close(found.end, &expected[1], 0.011, &found.text);
    }
}

/// A vocabulary of twelve words and Whisper's special tokens, timestamps up to 0.28 s.
fn small_tokenizer() -> Tokenizer {
    let specials = [
        "endoftext",
        "startoftranscript",
        "en",
        "de",
        "translate",
        "transcribe",
        "startoflm",
        "startofprev",
        "nospeech",
        "notimestamps",
    ];
    let words = (0..12).map(|k| format!("w{k}"));
    let times = (0..15).map(|k| format!("<|{:.2}|>", 0.02 * f64::from(k)));
    let names: Vec<String> =
        words.chain(specials.iter().map(|name| format!("<|{name}|>"))).chain(times).collect();
    let vocab: serde_json::Map<String, Value> =
        names.iter().enumerate().map(|(id, name)| (name.clone(), Value::from(id))).collect();
    let added = |(id, name): (usize, &String)| {
        serde_json::json!({
            "id": id, "content": name, "special": id < 22, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let tokens: Vec<Value> = names.iter().enumerate().skip(12).map(added).collect();
    let file = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens,
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "w0" },
    });
    Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap()
}

fn small_model() -> Whisper {
    let config = WhisperConfig {
        eos_token_id: 12,
        decoder_start_token_id: 13,
        pad_token_id: None,
        suppress_tokens: Some(vec![3]),
        begin_suppress_tokens: Some(vec![12]),
        ..small_whisper()
    };
    Whisper::new(&fresh(), &config).unwrap()
}

#[test]
fn windows_of_a_batch_give_what_they_give_alone() {
    let (model, tokenizer) = (small_model(), small_tokenizer());
    let features = noise(&[4, 5, 40], 9);
    let context = |language: Option<&str>, previous_ids: &[u32], stream| WindowContext {
        language: language.map(str::to_owned),
        previous_ids: previous_ids.to_vec(),
        stream,
    };
    let contexts = [
        context(None, &[], 7),
        context(Some("de"), &[1, 2, 25], 8),
        context(None, &[4, 5, 6], 9),
        context(Some("en"), &[], 10),
    ];
    // Nothing random is this likely: every temperature is tried, and the last one draws.
    let options = DecodeOptions {
        beam_size: Some(3),
        best_of: Some(2),
        logprob_threshold: Some(-1e-3),
        no_speech_threshold: None,
        ..DecodeOptions::default()
    };
    let transcriber = Transcriber::new(&model, &tokenizer, options).unwrap();
    let decode = |features: &Tensor, contexts: &[WindowContext]| {
        let memory = model.encode(&eval(), &EncoderInput::new(features)).unwrap();
        transcriber.decode(&eval(), &memory, contexts).unwrap()
    };
    let together = decode(&features, &contexts);
    for (item, result) in together.iter().enumerate() {
        let alone = decode(&features.narrow(0, item, 1).unwrap(), &contexts[item..=item]);
        assert_eq!((alone[0].ids(), &alone[0].text), (result.ids(), &result.text));
        assert!((alone[0].avg_logprob - result.avg_logprob).abs() < 1e-4);
        assert!((alone[0].no_speech_prob - result.no_speech_prob).abs() < 1e-5);
        assert_eq!((result.temperature, result.n_best.len()), (1.0, 2));
        assert!(result.no_speech_prob > 0.0 && result.no_speech_prob < 1.0);
    }
    assert_eq!((together[1].language.as_str(), together[3].language.as_str()), ("de", "en"));
    assert_eq!(together, decode(&features, &contexts));

    // A first try that is good enough is kept.
    let easy = DecodeOptions {
        logprob_threshold: None,
        compression_ratio_threshold: None,
        ..transcriber.options().clone()
    };
    let transcriber = Transcriber::new(&model, &tokenizer, easy).unwrap();
    let memory = model.encode(&eval(), &EncoderInput::new(&features)).unwrap();
    let results = transcriber.decode(&eval(), &memory, &contexts).unwrap();
    assert!(results.iter().all(|result| result.temperature == 0.0));
    let detected = transcriber.detect_language(&eval(), &memory).unwrap();
    for (result, languages) in results.iter().zip(&detected).take(1) {
        assert_eq!(result.language, languages[0].0);
        let sum: f64 = languages.iter().map(|(_, p)| p).sum();
        assert!(languages.len() == 2 && (sum - 1.0).abs() < 1e-9);
    }
}

/// Noise without end.
struct Noise {
    n_frames: usize,
    asked: Vec<(usize, usize)>,
}

impl LogMelSource for Noise {
    type Error = model_zoo::ZooError;

    fn n_frames(&self) -> usize {
        self.n_frames
    }

    fn window(&mut self, seek: usize, len: usize) -> Result<LogMelWindow> {
        self.asked.push((seek, len));
        Ok(LogMelWindow { input_features: noise(&[1, 5, len], seek as u64), n_frames: len })
    }
}

#[test]
fn only_the_given_regions_are_heard() {
    let (model, tokenizer) = (small_model(), small_tokenizer());
    for word_timestamps in [false, true] {
        let options = DecodeOptions {
            word_timestamps,
            temperature: vec![0.0],
            no_speech_threshold: None,
            ..DecodeOptions::default()
        };
        let transcriber = Transcriber::new(&model, &tokenizer, options).unwrap();
        let mut source = Noise { n_frames: 155, asked: Vec::new() };
        let regions = [0.1..0.3, 0.5..0.5, 0.6..9.0];
        let mut done = Vec::new();
        let transcript = transcriber
            .transcribe(&eval(), &mut source, &regions, &mut |progress| done.push(progress.done))
            .unwrap();
        assert!(done.is_sorted() && *done.last().unwrap() == 1.55);
        assert!(source.asked.iter().all(|&(seek, len)| {
            (10 <= seek && seek + len <= 30) || (60 <= seek && seek + len <= 155 && len <= 40)
        }));
        assert_eq!(source.asked[0], (10, 20));
        assert!(source.asked.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", source.asked);
        assert!(transcript.segments.iter().all(|segment| segment.start < segment.end));
        let with_words = transcript.segments.iter().filter(|segment| !segment.words.is_empty());
        assert_eq!(with_words.count() > 0, word_timestamps);
    }
    let options = DecodeOptions::default();
    let transcriber = Transcriber::new(&model, &tokenizer, options).unwrap();
    let mut nothing = Noise { n_frames: 0, asked: Vec::new() };
    let empty = transcriber.transcribe(&eval(), &mut nothing, &[], &mut |_| ()).unwrap();
    assert!(empty.segments.is_empty() && empty.text.is_empty() && nothing.asked.is_empty());
}

#[test]
fn chunks_do_not_depend_on_the_batch() {
    let (model, tokenizer) = (small_model(), small_tokenizer());
    let options = DecodeOptions { temperature: vec![0.0], ..DecodeOptions::default() };
    let transcriber = Transcriber::new(&model, &tokenizer, options).unwrap();
    let transcribe = |batch_size| {
        let mut source = Noise { n_frames: 155, asked: Vec::new() };
        let chunks = ChunkOptions { chunk_length_s: 0.4, stride_length_s: None, batch_size };
        let found =
            transcriber.transcribe_chunked(&eval(), &mut source, &chunks, &mut |_| ()).unwrap();
        (source.asked, found.text, found.segments.len())
    };
    let together = transcribe(8);
    assert_eq!(together.0.last(), Some(&(130, 25)));
    assert!(together.2 > 0);
    assert_eq!(transcribe(1), together);
}

#[test]
fn decode_options_that_contradict_each_other_are_refused() {
    let (model, tokenizer) = (small_model(), small_tokenizer());
    let refuse = |options: DecodeOptions| {
        Transcriber::new(&model, &tokenizer, options).unwrap_err().to_string()
    };
    let default = DecodeOptions::default;
    assert_eq!(
        refuse(DecodeOptions { task: "sing".into(), ..default() }),
        "whisper decoding: task is `sing`, expected transcribe or translate"
    );
    assert_eq!(
        refuse(DecodeOptions { temperature: vec![], ..default() }),
        "whisper decoding: temperature has no values, expected at least one"
    );
    assert_eq!(
        refuse(DecodeOptions { patience: Some(2.0), ..default() }),
        "whisper decoding: patience is set and beam_size is not, expected both"
    );
    assert_eq!(
        refuse(DecodeOptions { length_penalty: Some(1.5), ..default() }),
        "whisper decoding: length_penalty is 1.5, expected 0 to 1"
    );
    assert_eq!(
        refuse(DecodeOptions { language: Some("fr".into()), ..default() }),
        "whisper prompt: language is `fr`, expected a code that the vocabulary has as `<|fr|>` \
         (hint: codes are those of ISO 639-1, such as `en` and `de`)"
    );
    let transcriber = Transcriber::new(&model, &tokenizer, default()).unwrap();
    let memory = model.encode(&eval(), &EncoderInput::new(&noise(&[2, 5, 8], 1))).unwrap();
    assert_eq!(
        transcriber.decode(&eval(), &memory, &[]).unwrap_err().to_string(),
        "whisper decoding: 0 contexts, expected 2"
    );
}
