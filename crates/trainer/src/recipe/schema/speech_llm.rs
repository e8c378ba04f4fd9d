//! `[encoder]`, `[projector]`, `[llm]`, `[pretrain]`, `[mixed]` and `[instruct]`: a speech encoder
//! whose vectors a language model reads, arXiv 2412.15712.

use serde::{Deserialize, Serialize};

use super::choice::choice;

/// `[encoder]`: the frozen speech encoder of `speech-llm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Hugging Face folder of a HuBERT, wav2vec 2.0 or Whisper model.
    pub dir: String,
    /// Hidden states that are projected: `"last"` (after the encoder's last norm), an index (`"0"`
    /// is what the first layer reads) or `"weighted"`, a learned average of all of them.
    pub layer: String,
    /// Whether the encoder is without its dropout and SpecAugment while the projector trains. The
    /// released code of arXiv 2412.15712 leaves them on, by oversight; false does so too, and then
    /// encodes every clip anew at each step.
    pub eval: bool,
    /// Cap on the disk cache of states, in MiB; 0 keeps none.
    pub cache_mb: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { dir: String::new(), layer: "last".into(), eval: true, cache_mb: 4096 }
    }
}

/// `[projector]`: from states of the encoder to vectors of the language model, of `speech-llm`.
/// Keys are those of the projectors' `config.json`; widths follow from the models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projector {
    /// What the projector is.
    pub kind: ProjectorKind,
    /// Frames of a window of the Q-Former.
    pub window_size: usize,
    /// Vectors that stand for a window.
    pub num_query_tokens: usize,
    /// Width of the Q-Former, and between the two maps of the others.
    pub hidden_size: usize,
    /// Layers of the Q-Former.
    pub num_hidden_layers: usize,
    /// Heads of the Q-Former.
    pub num_attention_heads: usize,
    /// Inner width of the Q-Former's feed-forward parts.
    pub intermediate_size: usize,
    /// Dropout of the Q-Former's states and attention weights, in [0, 1).
    pub dropout: f64,
    /// Frames that become one vector, of `linear` and `conv1d`.
    pub encoder_projector_ds_rate: usize,
}

impl Default for Projector {
    fn default() -> Self {
        Self {
            kind: ProjectorKind::QFormer,
            window_size: 17,
            num_query_tokens: 4,
            hidden_size: 768,
            num_hidden_layers: 4,
            num_attention_heads: 12,
            intermediate_size: 3072,
            dropout: 0.1,
            encoder_projector_ds_rate: 5,
        }
    }
}

choice! {
    /// What a projector is.
    ProjectorKind {
        /// Learned queries that read windows of frames.
        QFormer = "q-former",
        /// Frames beside each other, two linear maps.
        Linear = "linear",
        /// A convolution over frames, two linear maps.
        Conv1d = "conv1d",
    }
}

/// `[llm]`: the language model of `speech-llm`, frozen but for an adapter of `[lora]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// Hugging Face folder of a LLaMA whose tokenizer knows the chat format of Llama 3.1, or of one
    /// with `<s>` and `</s>`.
    pub dir: String,
    /// What the system says before each question; "" says nothing.
    pub system: String,
    /// Longest sequence of tokens and vectors.
    pub max_length: usize,
}

impl Default for Llm {
    fn default() -> Self {
        let system = "A chat between a curious user and an artificial intelligence assistant. The \
                      assistant gives helpful, detailed, and polite answers to the user's \
                      questions.";
        Self { dir: String::new(), system: system.into(), max_length: 2048 }
    }
}

/// `[pretrain]`: what the projector of `speech-llm` learns before any task; its steps, rate and
/// batches are `[schedule]`, `[optim]` and `[batch]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// `none`, or parts joined by `+`, each at most once: `asr`, `mixed-nwp` (`mixed` for short),
    /// and one of `contr-cos-WHERE` and `contr-wasser-WHERE`, where WHERE is `emb`, `last`, `all` or
    /// the index of a hidden state.
    pub objective: String,
    /// Hidden states of `all`; 0 is the embedding, the last one comes after the last norm. The
    /// default is that of the released code for the 32 layers of Llama-3.1-8B.
    pub layers: Vec<usize>,
    /// Divides similarities.
    pub temperature: f64,
    /// Learn the temperature, from there on.
    pub learn_temperature: bool,
    /// Blur of the Sinkhorn divergence: the paper's code has 0.05, its text 0.5.
    pub blur: f64,
    /// Which side picks its partner among those of the other.
    pub direction: Direction,
    /// Largest shift of the positions of both sides, one draw from 0 to it; 0 shifts nothing. Where
    /// positions are rotated and relative, as in every LLaMA without `dynamic` scaling, a shift changes
    /// nothing but rounding; the paper found no help in it.
    pub position_shift: usize,
    /// What a shift is drawn for.
    pub shift_per: ShiftPer,
    /// Items that are computed at once where the contrast is over more (GradCache, arXiv
    /// 2101.06983): memory follows this, negatives follow `batch.max_items`. 0 takes all at once.
    pub cached_items: usize,
}

impl Default for Pretrain {
    fn default() -> Self {
        Self {
            objective: "contr-cos-all".into(),
            layers: vec![0, 5, 10, 15, 20, 25, 32],
            temperature: 0.1,
            learn_temperature: false,
            blur: 0.05,
            direction: Direction::TextToSpeech,
            position_shift: 0,
            shift_per: ShiftPer::Batch,
            cached_items: 0,
        }
    }
}

choice! {
    /// Which side of a contrast has the anchors.
    Direction {
        /// Each text among all recordings.
        TextToSpeech = "text-to-speech",
        /// Each recording among all texts.
        SpeechToText = "speech-to-text",
        /// The mean of both.
        Symmetric = "symmetric",
    }
}

choice! {
    /// What one shift of positions is drawn for.
    ShiftPer {
        /// A whole batch.
        Batch = "batch",
        /// A text and its recording.
        Example = "example",
    }
}

/// `[mixed]`: sequences of speech and text in turn, for `mixed-nwp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// Leave punctuation out of the text.
    pub no_punctuation: bool,
    /// Fewest and most words of a stretch of speech.
    pub speech_words: [usize; 2],
    /// Fewest and most words of a stretch of text.
    pub text_words: [usize; 2],
}

impl Default for Mixed {
    fn default() -> Self {
        Self { no_punctuation: true, speech_words: [2, 5], text_words: [4, 10] }
    }
}

/// `[instruct]`: fine-tuning of `speech-llm` on spoken tasks, after pretraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruct {
    /// `asr`; `st-XX`, a translation that the manifest field `text_XX` holds; `sqa`, with `question`
    /// and `answer` or `answers`. Lines without the fields of a task are passed over by it.
    pub tasks: Vec<String>,
    /// Shares of all examples that are trained on, each from the same pretrained projector, in
    /// (0, 1].
    pub fractions: Vec<f64>,
    /// Optimiser steps on each share; 0 leaves fine-tuning out.
    pub steps: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Examples in a micro-batch.
    pub batch_items: usize,
    /// Language of the recordings.
    pub source: String,
    /// Prompts of `asr`: one is drawn in training, tests take the first.
    pub asr_prompts: Vec<String>,
    /// Prompts of `st-XX`, likewise, with `{source}` and `{target}`.
    pub st_prompts: Vec<String>,
    /// Prompts of `sqa`, likewise, with `{question}`.
    pub sqa_prompts: Vec<String>,
    /// Scores that count 0 and 1 in the normalised average: word error rate in per cent.
    pub wer_bounds: [f64; 2],
    /// Likewise: chrF of translations, which stands where the paper has COMET.
    pub chrf_bounds: [f64; 2],
    /// Likewise: F1 of answers in per cent.
    pub f1_bounds: [f64; 2],
}

impl Default for Instruct {
    fn default() -> Self {
        Self {
            tasks: vec!["asr".into()],
            fractions: vec![1.0],
            steps: 0,
            lr: 1e-4,
            warmup_steps: 0,
            batch_items: 10,
            source: "en".into(),
            asr_prompts: vec!["Can you transcribe this audio?".into()],
            st_prompts: vec!["Can you translate this audio from {source} into {target}?".into()],
            sqa_prompts: vec!["Listen to the audio and answer this question: {question}".into()],
            wer_bounds: [18.38, 6.54],
            chrf_bounds: [0.0, 100.0],
            f1_bounds: [54.76, 77.10],
        }
    }
}
