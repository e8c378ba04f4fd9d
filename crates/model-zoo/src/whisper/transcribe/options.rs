//! The options that all Whisper tools share.

use crate::error::{Result, ZooError};

/// How speech is decoded. Names and defaults are those of openai-whisper's `transcribe`, but for
/// [`beam_size`](Self::beam_size) and [`best_of`](Self::best_of), which its program sets to 5 and
/// its function leaves unset, as here.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeOptions {
    /// `transcribe`, or `translate` into English.
    pub task: String,
    /// Code of the language, such as `en`; `None` detects it.
    pub language: Option<String>,
    /// Beams at temperature 0; `None` takes the likeliest token every time.
    pub beam_size: Option<usize>,
    /// Samples at temperatures above 0, of which the best is kept; `None` draws one.
    pub best_of: Option<usize>,
    /// Finished beams to wait for, over `beam_size`; 1 when unset.
    pub patience: Option<f64>,
    /// Ranks by `sum / ((5 + n) / 6)^alpha`, `alpha` in 0 to 1, instead of by `sum / n`.
    pub length_penalty: Option<f64>,
    /// Temperatures, tried in order until a window meets the thresholds; at least one.
    pub temperature: Vec<f64>,
    /// A window whose text compresses by more than this is tried again.
    pub compression_ratio_threshold: Option<f64>,
    /// A window whose mean log-probability is below this is tried again.
    pub logprob_threshold: Option<f64>,
    /// A window with a larger probability of no speech, and a mean log-probability below
    /// `logprob_threshold`, is silence.
    pub no_speech_threshold: Option<f64>,
    /// Whether a window is told the text before it.
    pub condition_on_previous_text: bool,
    /// Text that the first window is told came before it.
    pub initial_prompt: Option<String>,
    /// Tokens never generated; -1 stands for the folder's list, which holds what is not spoken.
    pub suppress_tokens: Vec<i64>,
    /// Whether a transcript must not begin with a space alone or be empty.
    pub suppress_blank: bool,
    /// Whether to decode text alone. Vocabularies without timestamps do so in any case.
    pub without_timestamps: bool,
    /// Latest first timestamp, in seconds; `None` allows all.
    pub max_initial_timestamp: Option<f64>,
    /// Whether segments have words with times. They come from the attention of the folder's
    /// `alignment_heads`, or of the upper half of the decoder.
    pub word_timestamps: bool,
    /// Most tokens of a window; `None`: half of the decoder's positions.
    pub max_new_tokens: Option<usize>,
    /// Seed of what is drawn at temperatures above 0.
    pub seed: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            task: "transcribe".to_owned(),
            language: None,
            beam_size: None,
            best_of: None,
            patience: None,
            length_penalty: None,
            temperature: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            condition_on_previous_text: true,
            initial_prompt: None,
            suppress_tokens: vec![-1],
            suppress_blank: true,
            without_timestamps: false,
            max_initial_timestamp: Some(1.0),
            word_timestamps: false,
            max_new_tokens: None,
            seed: 0,
        }
    }
}

impl DecodeOptions {
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |detail: String| Err(ZooError::option("whisper decoding", detail));
        if !matches!(self.task.as_str(), "transcribe" | "translate") {
            return refuse(format!("task is `{}`, expected transcribe or translate", self.task));
        }
        if self.temperature.is_empty() {
            return refuse("temperature has no values, expected at least one".to_owned());
        }
        if let Some(t) = self.temperature.iter().find(|t| !(**t >= 0.0 && t.is_finite())) {
            return refuse(format!("temperature is {t}, expected at least 0"));
        }
        if self.patience.is_some() && self.beam_size.is_none() {
            return refuse("patience is set and beam_size is not, expected both".to_owned());
        }
        if let Some(alpha) = self.length_penalty.filter(|alpha| !(0.0..=1.0).contains(alpha)) {
            return refuse(format!("length_penalty is {alpha}, expected 0 to 1"));
        }
        if let Some(seconds) = self.max_initial_timestamp.filter(|s| s.is_nan() || *s < 0.0) {
            return refuse(format!("max_initial_timestamp is {seconds}, expected at least 0"));
        }
        Ok(())
    }
}
