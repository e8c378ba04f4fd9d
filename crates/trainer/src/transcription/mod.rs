//! Recordings to text, by a Whisper folder.
//!
//! ```text
//! Clips    one window each, several decoded together
//! Windows  any length, each window beginning where the last one's speech ended
//! Chunks   any length, overlapping chunks decoded together and joined
//! ```
//!
//! [`transcribe`] loads sound and hears it; [`Delivery`] writes what was heard.

mod delivery;
mod listener;
mod progress;
mod recording;
mod subtitles;

use std::path::PathBuf;

use model_zoo::whisper::{DecodeOptions, Segment, Transcript, Whisper};
use model_zoo::{LoadOptions, ModelKind, WeightForm};

pub(crate) use self::delivery::{Delivery, Target};
use self::listener::Listener;
use self::progress::SoundProgress;
pub(crate) use self::subtitles::Format;
use crate::dataset::audio::load_samples;
use crate::log::ProgressMode;
use crate::manifest::Utterance;
use crate::model_folder::{expect_kind, open_tokenizer};

/// How recordings are cut into what the model hears at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// Each fits a window.
    Clips,
    /// Window after window.
    Windows {
        /// Only where there is speech.
        vad: bool,
    },
    /// Overlapping chunks.
    Chunks {
        /// Length of each.
        seconds: f64,
    },
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Hugging Face folder of the model.
    pub(crate) model: PathBuf,
    pub(crate) weights: WeightForm,
    /// How tokens are chosen.
    pub(crate) decode: DecodeOptions,
    pub(crate) mode: Mode,
    /// Hypotheses to tell of each clip; 1 tells of none beside the transcript.
    pub(crate) n_best: usize,
    /// Clips or chunks decoded together; the text does not depend on it.
    pub(crate) batch: usize,
    pub(crate) progress: ProgressMode,
}

impl Options {
    /// Whether each clip is told of with times, which are made clip by clip.
    fn has_timed_clips(&self) -> bool {
        self.mode == Mode::Clips && !self.decode.without_timestamps
    }
}

/// What was heard in a recording.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    pub(crate) transcript: Transcript,
    /// Best first; empty where one hypothesis is asked for.
    pub(crate) n_best: Vec<Scored>,
    /// Length of the recording.
    pub(crate) seconds: f64,
}

impl Heard {
    /// The text without white space around it.
    pub(crate) fn text(&self) -> &str {
        self.transcript.text.trim()
    }
}

/// One of several hypotheses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scored {
    pub(crate) text: String,
    /// What they are ordered by: see `length_penalty`.
    pub(crate) score: f64,
    pub(crate) sum_logprob: f64,
    /// With times; empty where none are asked for.
    pub(crate) segments: Vec<Segment>,
}

/// Hears `utterances` in their order; `tell` is called with each as soon as it is done.
///
/// # Errors
///
/// Names what the model folder lacks, options that it cannot serve, and the recording that cannot
/// be read or is too long.
pub(crate) fn transcribe(
    options: &Options,
    utterances: &[Utterance],
    tell: &mut dyn FnMut(&Utterance, &Heard) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    expect_kind(&options.model, &[ModelKind::Whisper])?;
    let load = LoadOptions { weights: options.weights, ..LoadOptions::default() };
    let model = Whisper::open(&options.model, load)?;
    let tokenizer = open_tokenizer(&options.model, model.config.vocab_size)?;
    let listener = Listener::new(options, &model, &tokenizer)?;
    let mut progress = SoundProgress::new(options.progress, utterances);
    if options.has_timed_clips() {
        for utterance in utterances {
            let heard = listener.timed_clip(utterance, &load_samples(utterance)?)?;
            progress.aside(|| tell(utterance, &heard))?;
            progress.finish_recording(utterance, heard.seconds);
        }
        return Ok(());
    }
    if options.mode == Mode::Clips {
        for group in utterances.chunks(options.batch.max(1)) {
            let clips =
                group.iter().map(load_samples).collect::<anyhow::Result<Vec<Vec<f32>>>>()?;
            for (utterance, heard) in group.iter().zip(listener.clips(group, &clips)?) {
                progress.aside(|| tell(utterance, &heard))?;
                progress.finish_recording(utterance, heard.seconds);
            }
        }
        return Ok(());
    }
    for utterance in utterances {
        let samples = load_samples(utterance)?;
        let heard = listener
            .recording(utterance, &samples, &mut |done| progress.within(utterance, done))?;
        progress.aside(|| tell(utterance, &heard))?;
        progress.finish_recording(utterance, heard.seconds);
    }
    Ok(())
}
