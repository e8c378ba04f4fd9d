//! What a search is: how one item goes on, given the scores of its rows.

use super::hypothesis::Hypothesis;
use super::rules::ScoreRule;
use crate::error::Result;

/// What one item is to continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Tokens that the model is fed first; at least one, and as many for every item of a call.
    pub prompt_ids: Vec<u32>,
    /// Number of the item's random streams: an item with the same number draws the same samples
    /// in any batch.
    pub stream: u64,
}

/// What all searches of a call share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) rules: &'a [Box<dyn ScoreRule>],
    pub(super) eos_token_ids: &'a [u32],
    pub(super) max_new_tokens: usize,
}

impl Shared<'_> {
    pub(super) fn ends(&self, token: u32) -> bool {
        self.eos_token_ids.contains(&token)
    }
}

/// One row of the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Continuation {
    /// The item's row that goes on.
    pub(super) source: usize,
    pub(super) token: u32,
}

/// The search of one item.
pub(super) trait Search {
    /// Given the logits `(rows, V)` of the item's rows, the rows of the next step; none when the
    /// item is done. The first call has one row, that of the prompt.
    fn advance(&mut self, scores: &mut [f32], vocab_size: usize) -> Result<Vec<Continuation>>;

    /// What was found, best first.
    fn finish(self: Box<Self>) -> Vec<Hypothesis>;
}
