//! `[data]`, `[batch]` and `[augment]`: from manifests to training batches.

use serde::{Deserialize, Serialize};

/// `[data]`: manifests and which of their lines are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Training manifests: one path or a list; `file.jsonl#split=train` keeps matching lines.
    pub train: Vec<String>,
    /// Share of each training manifest in an epoch, in utterances and in any unit, such as
    /// `[3, 1]`; `[]` takes every utterance once an epoch.
    pub weights: Vec<f64>,
    /// Manifests for evaluation during training and for choosing the best checkpoint.
    pub dev: Vec<String>,
    /// Manifests for the numbers at the end of a run.
    pub test: Vec<String>,
    /// Utterances known to be longer are left out of training, in seconds; 0 keeps all.
    pub max_duration_s: f64,
    /// Utterances known to be shorter are left out of training, in seconds.
    pub min_duration_s: f64,
    /// Manifest field that holds the text.
    pub text_field: String,
    /// Lower-case the text before tokenising.
    pub lowercase: bool,
    /// Train on the first this many of the utterances that are left; 0 takes all. `finetune-text`
    /// takes all.
    pub limit: usize,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            train: Vec::new(),
            weights: Vec::new(),
            dev: Vec::new(),
            test: Vec::new(),
            max_duration_s: 30.0,
            min_duration_s: 0.0,
            text_field: "text".into(),
            lowercase: false,
            limit: 0,
        }
    }
}

/// `[batch]`: how utterances become batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Cap on seconds of audio in a micro-batch, padding included; 0 is no cap.
    pub max_seconds: f64,
    /// Cap on tokens in a micro-batch, padding included; 0 is no cap.
    pub max_tokens: usize,
    /// Cap on utterances in a micro-batch; 0 is no cap.
    pub max_items: usize,
    /// Length buckets at most; 1 mixes all lengths.
    pub bucket_count: usize,
    /// Micro-batches summed into one optimiser step, weighted by their tokens.
    pub accumulate: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { max_seconds: 0.0, max_tokens: 0, max_items: 16, bucket_count: 8, accumulate: 1 }
    }
}

/// `[augment]`: random changes to the training audio, seeded by (seed, step).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Speed factors, one drawn per utterance; `[1.0]` leaves the speed alone.
    pub speed: Vec<f64>,
    /// Vocal tract length perturbation: largest deviation of the frequency factor from 1, in
    /// [0, 0.5]; 0 leaves the voice alone.
    pub vocal_tract: f64,
    /// Number the encoder's positions of `asr` from a random start, one draw a batch, so that it
    /// learns nothing about absolute times.
    pub position_shift: bool,
    /// SpecAugment: time masks per utterance.
    pub time_masks: usize,
    /// SpecAugment: longest time mask, in 10 ms frames.
    pub time_mask_width: usize,
    /// SpecAugment: frequency masks per utterance.
    pub freq_masks: usize,
    /// SpecAugment: widest frequency mask, in mel bands.
    pub freq_mask_width: usize,
    /// Share of the utterances of `asr` in which about half of the words are replaced, sound and
    /// text, by words of the same speaker, in [0, 1]; needs `word_ends` in the manifest (`data
    /// align`) and `speaker`.
    pub splice: f64,
    /// Share of the decoder's input tokens of `asr` that are replaced by random ones, in [0, 1),
    /// so that it listens rather than guesses.
    pub token_noise: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            speed: vec![1.0],
            vocal_tract: 0.0,
            position_shift: false,
            time_masks: 0,
            time_mask_width: 40,
            freq_masks: 0,
            freq_mask_width: 15,
            splice: 0.0,
            token_noise: 0.0,
        }
    }
}
