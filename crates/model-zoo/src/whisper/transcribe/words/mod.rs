//! Times of words, from the decoder's attention to the speech.
//!
//! ```text
//! attention of some heads --softmax, standardise, median--> (tokens, positions)
//!     --dynamic time warping--> position of each token --> words
//! ```
//!
//! Source: `whisper/timing.py` of openai-whisper 20250625.

mod align;
mod attach;
mod chunks;
mod dtw;
mod punctuation;
mod split;

/// A word with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word with the white space before it and the punctuation beside it.
    pub word: String,
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// Mean probability of its tokens.
    pub probability: f64,
}

/// A word as it was aligned: seconds count from the window's start.
#[derive(Debug, Clone, PartialEq)]
struct Aligned {
    word: String,
    /// Tokens, by number.
    n_tokens: usize,
    start: f64,
    end: f64,
    probability: f64,
}

/// When a token is said: seconds count from the window's start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TokenTime {
    start: f64,
    end: f64,
    probability: f64,
}
