//! Rules that rewrite scores before a token is chosen.

mod repetition;
mod suppress;

pub use repetition::{NoRepeatNgram, RepetitionPenalty};
pub use suppress::{SuppressTokens, SuppressTokensAtBegin};

/// A row so far.
#[derive(Debug, Clone, Copy)]
pub struct Prefix<'a> {
    /// Prompt and new tokens.
    pub ids: &'a [u32],
    /// How many of them are the prompt.
    pub prompt_len: usize,
}

impl<'a> Prefix<'a> {
    /// The tokens that were chosen.
    pub fn new_ids(&self) -> &'a [u32] {
        &self.ids[self.prompt_len..]
    }
}

/// Rewrites what may follow a row: a `LogitsProcessor` of `transformers`, a `LogitFilter` of
/// openai-whisper.
///
/// Scores are logits, or log-probabilities in [`BeamSearch`](super::BeamSearch), as there. A rule
/// sees one row and must not depend on anything else.
pub trait ScoreRule {
    /// Rewrites the scores `(V,)` of what follows `prefix`; minus infinity forbids a token.
    fn apply(&self, prefix: Prefix<'_>, scores: &mut [f32]);
}

/// Forbids `tokens`; those outside the vocabulary are nothing to forbid.
fn forbid(tokens: &[u32], scores: &mut [f32]) {
    for &token in tokens {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
}
