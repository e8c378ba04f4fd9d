//! Beam search as in `transformers`.

use super::candidates::{Candidate, apply, log_softmax, no_candidate, top_of_rows};
use super::hypothesis::{self, Hypothesis};
use super::rules::Prefix;
use super::search::{Continuation, Request, Search, Shared};
use crate::error::{Result, ZooError};

/// Beam search whose tokens are those of `generate(num_beams, length_penalty, early_stopping)`.
///
/// ```text
/// score = sum_logprob / n^length_penalty        n: new tokens, the end token included
/// ```
///
/// Each step keeps the `num_beams` best rows that have not ended. Rows that end among the best
/// `num_beams` candidates of a step are finished, and the `num_beams` best of these are returned.
/// Rules rewrite log-probabilities, which are not normalised again unless
/// [`renormalize_logits`](Self::renormalize_logits) says so.
///
/// # Source
///
/// `GenerationMixin._beam_search` of `transformers` 5.23, for one item at a time; there the items
/// of a batch do not change each other's result either.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamSearch {
    /// Rows kept; at least 1.
    pub num_beams: usize,
    /// Exponent of the length in the score: above 0 favours long rows, as sums are negative.
    pub length_penalty: f64,
    /// When to stop.
    pub early_stopping: EarlyStopping,
    /// Whether log-probabilities are normalised again after the rules.
    pub renormalize_logits: bool,
}

/// When a beam search stops before the longest length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlyStopping {
    /// `False`: when the best running row, scored at its present length, is no better than the
    /// worst of `num_beams` finished ones.
    #[default]
    WhenUnlikely,
    /// `True`: as soon as `num_beams` rows have finished.
    WhenFull,
    /// `"never"`: when no running row can become better than the worst of `num_beams` finished
    /// ones.
    WhenImpossible,
}

impl Default for BeamSearch {
    /// Five beams and the defaults of `transformers`.
    fn default() -> Self {
        Self {
            num_beams: 5,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            renormalize_logits: false,
        }
    }
}

impl BeamSearch {
    pub(super) fn check(&self) -> Result<()> {
        let detail = if self.num_beams == 0 {
            "num_beams is 0, expected at least 1".to_owned()
        } else if !self.length_penalty.is_finite() {
            format!("length_penalty is {}, expected a finite number", self.length_penalty)
        } else {
            return Ok(());
        };
        Err(ZooError::option("beam search", detail))
    }
}

/// The search of one item.
pub(super) struct BeamState<'a> {
    shared: Shared<'a>,
    search: &'a BeamSearch,
    prompt_len: usize,
    /// Best first.
    running: Vec<Beam>,
    /// Best first, at most `num_beams`.
    finished: Vec<Hypothesis>,
    /// New tokens of the running rows.
    steps: usize,
}

/// A row that has not ended.
#[derive(Debug, Clone)]
pub(super) struct Beam {
    /// Prompt and new tokens.
    pub(super) ids: Vec<u32>,
    pub(super) sum_logprob: f64,
}

impl Beam {
    pub(super) fn prompt(request: &Request) -> Self {
        Self { ids: request.prompt_ids.clone(), sum_logprob: 0.0 }
    }

    /// The row with one more token.
    pub(super) fn followed_by(&self, candidate: Candidate) -> Self {
        let mut ids = self.ids.clone();
        ids.push(candidate.token);
        Self { ids, sum_logprob: candidate.sum_logprob }
    }
}

impl<'a> BeamState<'a> {
    pub(super) fn new(shared: Shared<'a>, request: &Request, search: &'a BeamSearch) -> Self {
        Self {
            shared,
            search,
            prompt_len: request.prompt_ids.len(),
            running: vec![Beam::prompt(request)],
            finished: Vec::new(),
            steps: 0,
        }
    }

    fn score(&self, sum_logprob: f64, length: usize) -> f64 {
        sum_logprob / (length as f64).powf(self.search.length_penalty)
    }

    fn is_full(&self) -> bool {
        self.finished.len() == self.search.num_beams
    }

    /// The candidate as a finished row.
    fn ended(&self, candidate: Candidate) -> Hypothesis {
        let mut ids = self.running[candidate.source].ids[self.prompt_len..].to_vec();
        let ended = self.shared.ends(candidate.token);
        if !ended {
            ids.push(candidate.token);
        }
        let sum_logprob = candidate.sum_logprob;
        Hypothesis { ids, ended, sum_logprob, score: self.score(sum_logprob, self.steps) }
    }

    /// Whether a row that runs on may still become better than the worst finished one.
    fn may_improve(&self) -> bool {
        let Some(worst) = self.finished.last().filter(|_| self.is_full()) else { return true };
        let search = self.search;
        let length = match search.early_stopping {
            EarlyStopping::WhenImpossible if search.length_penalty > 0.0 => {
                self.shared.max_new_tokens
            }
            _ => self.steps,
        };
        self.running.first().is_some_and(|best| self.score(best.sum_logprob, length) > worst.score)
    }
}

impl Search for BeamState<'_> {
    fn advance(&mut self, scores: &mut [f32], vocab_size: usize) -> Result<Vec<Continuation>> {
        let k = self.search.num_beams;
        let mut logprobs = log_softmax(scores, vocab_size)?;
        for (logprobs, beam) in logprobs.chunks_mut(vocab_size).zip(&self.running) {
            let prefix = Prefix { ids: &beam.ids, prompt_len: self.prompt_len };
            apply(self.shared.rules, prefix, logprobs);
        }
        if self.search.renormalize_logits {
            logprobs = log_softmax(&logprobs, vocab_size)?;
        }
        // Enough that `k` are left when every row may end in every way.
        let keep = k * (1 + self.shared.eos_token_ids.len()).max(2);
        let sums: Vec<f64> = self.running.iter().map(|beam| beam.sum_logprob).collect();
        let mut candidates = top_of_rows(&logprobs, vocab_size, &sums, keep);
        candidates.truncate(keep);
        if candidates.is_empty() && self.finished.is_empty() {
            return Err(no_candidate());
        }

        self.steps += 1;
        let last = self.steps == self.shared.max_new_tokens;
        let stops = |candidate: &Candidate| last || self.shared.ends(candidate.token);
        let finished: Vec<Hypothesis> =
            candidates.iter().take(k).filter(|c| stops(c)).map(|&c| self.ended(c)).collect();
        let kept: Vec<Candidate> =
            candidates.iter().filter(|c| !stops(c)).take(k).copied().collect();
        self.finished.extend(finished);
        hypothesis::sort(&mut self.finished);
        self.finished.truncate(k);
        self.running = kept.iter().map(|&c| self.running[c.source].followed_by(c)).collect();

        let full = self.search.early_stopping == EarlyStopping::WhenFull && self.is_full();
        if full || !self.may_improve() {
            return Ok(Vec::new());
        }
        Ok(kept.iter().map(|c| Continuation { source: c.source, token: c.token }).collect())
    }

    fn finish(self: Box<Self>) -> Vec<Hypothesis> {
        if !self.finished.is_empty() {
            return self.finished;
        }
        // No step was allowed, or the rules left nothing to say after the last one.
        let length = self.steps.max(1);
        let running = self.running.iter().map(|beam| Hypothesis {
            ids: beam.ids[self.prompt_len..].to_vec(),
            ended: false,
            sum_logprob: beam.sum_logprob,
            score: self.score(beam.sum_logprob, length),
        });
        running.collect()
    }
}
