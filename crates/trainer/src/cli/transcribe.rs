//! `transcribe`: transcripts of sound files or manifests.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use model_zoo::whisper::DecodeOptions;
use speech_metrics::{Normalizer, wer};

use super::weights::Weights;
use super::{audio_text, on_threads};
use crate::log::ProgressMode;
use crate::manifest::Utterance;
use crate::systems::write_transcripts;
use crate::transcription::{Delivery, Format, Mode, Options, Target, transcribe};

/// Arguments of `transcribe`. Names and meanings of decoding options are openai-whisper's.
#[derive(Debug, clap::Args)]
pub(super) struct TranscribeArgs {
    /// Hugging Face folder of a Whisper model.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Sound files or JSONL manifests (`FILE.jsonl#split=test` keeps matching lines).
    #[arg(required = true)]
    inputs: Vec<String>,
    /// Language of the speech; `auto` detects it.
    #[arg(long, default_value = "en")]
    language: String,
    /// Write what is said, or translate it into English.
    #[arg(long, default_value = "transcribe", value_parser = ["transcribe", "translate"])]
    task: String,
    /// Write segments with times; recordings may be of any length.
    #[arg(long)]
    timestamps: bool,
    /// The same with times of words.
    #[arg(long)]
    word_timestamps: bool,
    /// What to write instead of JSON lines; srt, vtt and tsv have times.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Folder of one file a recording, named by its id, in place of standard output.
    #[arg(long, value_name = "DIR", requires = "format")]
    out: Option<PathBuf>,
    /// Also write one JSON line an utterance: id, text, hypothesis.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Beams at temperature 0; without it the likeliest token is taken.
    #[arg(long, alias = "beam-size", value_name = "N")]
    beam: Option<usize>,
    /// Hypotheses to tell of each clip, with scores, and with times where these are asked for; at
    /// most the beams or samples.
    #[arg(long, value_name = "N", default_value_t = 1)]
    n_best: usize,
    /// Finished beams to wait for, over the beams.
    #[arg(long, value_name = "FACTOR", requires = "beam")]
    patience: Option<f64>,
    /// Exponent of the length that scores are divided by, 0 to 1; without it, their mean counts.
    #[arg(long, value_name = "ALPHA")]
    length_penalty: Option<f64>,
    /// Temperatures, tried until a window meets the thresholds [default: 0, and with times also
    /// 0.2,0.4,0.6,0.8,1]
    #[arg(long, value_name = "T,...", value_delimiter = ',', allow_hyphen_values = true)]
    temperature: Option<Vec<f64>>,
    /// Samples at temperatures above 0, of which the best is kept.
    #[arg(long, value_name = "N")]
    best_of: Option<usize>,
    /// Seed of the samples.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A window whose text compresses by more than this is tried again; `none`: none is.
    #[arg(long, value_name = "RATIO", default_value = "2.4", value_parser = threshold)]
    compression_ratio_threshold: Threshold,
    /// A window whose mean log-probability is below this is tried again; `none`: none is.
    #[arg(long, value_name = "LOGPROB", default_value = "-1", value_parser = threshold,
        allow_hyphen_values = true)]
    logprob_threshold: Threshold,
    /// An unlikely window with a larger probability of no speech is silence; `none`: none is.
    #[arg(long, value_name = "PROB", default_value = "0.6", value_parser = threshold)]
    no_speech_threshold: Threshold,
    /// Whether a window is told the text of the one before.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    condition_on_previous_text: bool,
    /// Text that the first window, or each clip, is told came before.
    #[arg(long, value_name = "TEXT", conflicts_with = "chunked")]
    initial_prompt: Option<String>,
    /// Tokens never written; -1 stands for the folder's list.
    #[arg(
        long,
        value_name = "ID,...",
        default_value = "-1",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    suppress_tokens: Vec<i64>,
    /// Latest first timestamp of a window, in seconds; `none`: any.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = threshold)]
    max_initial_timestamp: Threshold,
    /// Hear overlapping chunks of this length, several together; recordings may be of any length.
    #[arg(long, value_name = "SECONDS")]
    chunked: Option<f64>,
    /// Hear only what is loud enough for speech.
    #[arg(long, conflicts_with = "chunked")]
    vad: bool,
    /// Longest transcript of a window, in tokens.
    #[arg(long, value_name = "N", default_value_t = 224)]
    max_new_tokens: usize,
    /// Clips or chunks decoded together; the text does not depend on it.
    #[arg(long, alias = "batch-items", value_name = "N", default_value_t = 8)]
    batch: usize,
    /// Form in which weights are kept.
    #[arg(long, value_enum, default_value_t = Weights::Stored)]
    weights: Weights,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// A number, or none.
#[derive(Debug, Clone, Copy)]
struct Threshold(Option<f64>);

fn threshold(text: &str) -> Result<Threshold, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Threshold(None));
    }
    let number = text.parse().map_err(|_| "expected a number or none".to_owned())?;
    Ok(Threshold(Some(number)))
}

impl TranscribeArgs {
    fn has_times(&self) -> bool {
        self.timestamps || self.word_timestamps || self.format.is_some_and(Format::is_timed)
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mode = match self.chunked {
            Some(seconds) => Mode::Chunks { seconds },
            // Hypotheses with times are those of one window.
            None if self.vad || (self.has_times() && self.n_best <= 1) => {
                Mode::Windows { vad: self.vad }
            }
            None => Mode::Clips,
        };
        let defaults = DecodeOptions::default();
        // Only windows that others follow are worth another try: an error would spread.
        let usual = match mode {
            Mode::Windows { .. } => defaults.temperature.clone(),
            Mode::Clips | Mode::Chunks { .. } => vec![0.0],
        };
        let decode = DecodeOptions {
            task: self.task.clone(),
            language: Some(self.language.clone()).filter(|code| code != "auto"),
            beam_size: self.beam,
            best_of: self.best_of,
            patience: self.patience,
            length_penalty: self.length_penalty,
            temperature: self.temperature.clone().unwrap_or(usual),
            compression_ratio_threshold: self.compression_ratio_threshold.0,
            logprob_threshold: self.logprob_threshold.0,
            no_speech_threshold: self.no_speech_threshold.0,
            condition_on_previous_text: self.condition_on_previous_text,
            initial_prompt: self.initial_prompt.clone(),
            suppress_tokens: self.suppress_tokens.clone(),
            without_timestamps: !self.has_times(),
            max_initial_timestamp: self.max_initial_timestamp.0,
            word_timestamps: self.word_timestamps,
            max_new_tokens: Some(self.max_new_tokens),
            seed: self.seed,
            ..defaults
        };
        self.check_counts(mode, &decode)?;
        Ok(Options {
            model: self.model.clone(),
            weights: self.weights.form(),
            decode,
            mode,
            n_best: self.n_best,
            batch: self.batch.max(1),
            progress: ProgressMode::Auto,
        })
    }

    fn check_counts(&self, mode: Mode, decode: &DecodeOptions) -> anyhow::Result<()> {
        for (name, value) in [
            ("--beam", self.beam),
            ("--best-of", self.best_of),
            ("--n-best", Some(self.n_best)),
            ("--max-new-tokens", Some(self.max_new_tokens)),
        ] {
            ensure!(value != Some(0), "{name} is 0, expected at least 1 (hint: leave it out)");
        }
        let is_greedy = decode.temperature.first() == Some(&0.0);
        let most = if is_greedy { self.beam } else { self.best_of }.unwrap_or(1);
        ensure!(
            self.n_best <= most,
            "--n-best is {}, expected at most {most} (hint: --{} {0} or more)",
            self.n_best,
            if is_greedy { "beam" } else { "best-of" }
        );
        ensure!(
            self.n_best <= 1 || mode == Mode::Clips,
            "--n-best is {}, expected 1 with --vad and --chunked: hypotheses of several \
             windows are not joined (hint: leave it out, or cut clips with offset and duration)",
            self.n_best
        );
        Ok(())
    }

    fn target(&self) -> Target {
        match (self.format, &self.out) {
            (Some(format), Some(dir)) => Target::Folder(format, dir.clone()),
            (Some(format), None) => Target::Printed(format),
            (None, _) => Target::Lines { times: self.has_times() },
        }
    }
}

pub(super) fn run(args: &TranscribeArgs) -> anyhow::Result<()> {
    on_threads(args.threads, || transcribe_all(args))
}

fn transcribe_all(args: &TranscribeArgs) -> anyhow::Result<()> {
    let options = args.options()?;
    let mut utterances: Vec<Utterance> = Vec::new();
    for input in &args.inputs {
        utterances.extend(audio_text::utterances(input)?);
    }
    let mut out = std::io::stdout();
    let mut delivery = Delivery::new(args.target(), &utterances, &mut out)?;
    let (mut texts, mut seconds) = (Vec::new(), 0.0);
    let began = Instant::now();
    transcribe(&options, &utterances, &mut |utterance, heard| {
        seconds += heard.seconds;
        texts.push(heard.text().to_owned());
        delivery.write(utterance, heard)
    })?;
    let elapsed = began.elapsed().as_secs_f64();
    eprintln!(
        "{} utterances, {seconds:.1} s of sound in {elapsed:.1} s: real-time factor {:.3}, {:.1} \
         times real time",
        utterances.len(),
        elapsed / seconds,
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
