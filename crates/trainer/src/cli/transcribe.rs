//! `transcribe`: greedy transcripts of sound files or manifests.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use audio_frontend::LogMel;
use model_zoo::whisper::{EncoderInput, Prompt, Whisper, prompt_ids};
use model_zoo::{LoadOptions, Tokenizer};
use serde_json::json;
use speech_metrics::{Normalizer, wer};
use tensor_core::{Context, Tensor};

use super::{audio_text, on_threads};
use crate::dataset::audio::{SAMPLE_RATE, Window, load_samples};
use crate::manifest::Utterance;
use crate::systems::write_transcripts;

/// Arguments of `transcribe`.
#[derive(Debug, clap::Args)]
pub(super) struct TranscribeArgs {
    /// Hugging Face folder of a Whisper model.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Sound files or JSONL manifests (`FILE.jsonl#split=test` keeps matching lines).
    #[arg(required = true)]
    inputs: Vec<String>,
    /// Language of the speech.
    #[arg(long, default_value = "en")]
    language: String,
    /// Longest transcript, in tokens.
    #[arg(long, default_value_t = 224)]
    max_new_tokens: usize,
    /// Utterances decoded together; the text does not depend on it.
    #[arg(long, default_value_t = 8)]
    batch_items: usize,
    /// Also write one JSON line an utterance: id, text, hypothesis.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(super) fn run(args: &TranscribeArgs) -> anyhow::Result<()> {
    on_threads(args.threads, || transcribe(args))
}

fn transcribe(args: &TranscribeArgs) -> anyhow::Result<()> {
    let model = Whisper::open(&args.model, LoadOptions::default())?;
    let tokenizer = Tokenizer::open(&args.model)?;
    let window = Window::of_folder(&args.model, &model.config)?;
    let log_mel = LogMel::new(model.config.num_mel_bins);
    let prompt = Prompt { language: &args.language, ..Prompt::default() };
    let mut options = model.generate_options(prompt_ids(&tokenizer, prompt)?);
    options.max_new_tokens = options.max_new_tokens.min(args.max_new_tokens);

    let mut utterances: Vec<Utterance> = Vec::new();
    for input in &args.inputs {
        utterances.extend(audio_text::utterances(input)?);
    }
    let began = Instant::now();
    let ctx = Context::eval();
    let (mut texts, mut seconds) = (Vec::new(), 0.0);
    for group in utterances.chunks(args.batch_items.max(1)) {
        let mut features = Vec::new();
        let mut lengths = Vec::new();
        for utterance in group {
            let samples = load_samples(utterance)?;
            seconds += samples.len() as f64 / f64::from(SAMPLE_RATE);
            let (mel, n_frames) = window
                .features(&log_mel, &samples)
                .with_context(|| format!("{}: utterance `{}`", utterance.place, utterance.id))?;
            features.push(mel);
            lengths.push(n_frames);
        }
        let features = pad_frames(&features)?;
        let input = EncoderInput { frame_lengths: Some(&lengths), ..EncoderInput::new(&features) };
        let memory = model.encode(&ctx, &input)?;
        for (found, utterance) in model.generate(&ctx, &memory, &options)?.into_iter().zip(group) {
            let text = tokenizer.decode(&found[0].ids, true)?.trim().to_owned();
            let line = json!({ "id": utterance.id, "hypothesis": text });
            writeln!(std::io::stdout(), "{line}")?;
            texts.push(text);
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    eprintln!(
        "{} utterances, {seconds:.1} s of sound in {elapsed:.1} s: {:.1} times real time",
        utterances.len(),
        seconds / elapsed
    );
    if let Some(path) = &args.output {
        write_transcripts(path, &utterances, &texts)?;
    }
    score(&utterances, &texts)
}

/// Word error rates, when every utterance has a transcript to compare with.
fn score(utterances: &[Utterance], texts: &[String]) -> anyhow::Result<()> {
    if utterances.iter().any(|utterance| utterance.text.is_empty()) {
        return Ok(());
    }
    let references: Vec<&str> = utterances.iter().map(|u| u.text.as_str()).collect();
    for normalizer in [Normalizer::Basic, Normalizer::None] {
        let rate = wer(&references, texts, normalizer)?;
        let counts = &rate.counts;
        eprintln!(
            "WER {:.2} % (S {}, D {}, I {} of {} words; mean over utterances {:.2} %; normaliser {})",
            100.0 * rate.corpus,
            counts.substitutions,
            counts.deletions,
            counts.insertions,
            counts.reference_len(),
            100.0 * rate.utterance_mean,
            normalizer
        );
    }
    Ok(())
}

/// Joins `(1, F, T)` features, padded with NaN to the longest.
fn pad_frames(features: &[Tensor]) -> anyhow::Result<Tensor> {
    let longest = features.iter().map(|f| f.shape()[2]).max().unwrap_or(0);
    let padded = features
        .iter()
        .map(|f| {
            let missing = longest - f.shape()[2];
            let nan = Tensor::full(&[1, f.shape()[1], missing], f64::NAN, f.dtype(), f.device())?;
            Ok(Tensor::cat(&[f, &nan], 2)?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&padded.iter().collect::<Vec<_>>(), 0)?)
}
