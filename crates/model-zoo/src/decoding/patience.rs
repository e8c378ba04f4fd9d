//! Beam search as in openai-whisper, with patience.

use super::beam::Beam;
use super::candidates::{apply, log_softmax, no_candidate, top_of_rows};
use super::hypothesis::{self, Hypothesis, length_normalized};
use super::rules::Prefix;
use super::search::{Continuation, Request, Search, Shared};
use crate::error::{Result, ZooError};

/// Beam search that goes on until `round(beam_size * patience)` rows have finished.
///
/// Each step walks the candidates from the best down: those that end are finished, the others run
/// on, until `beam_size` do. Running rows fill the list where the longest length leaves fewer than
/// `beam_size` finished ones. Log-probabilities are those after the rules.
///
/// # Source
///
/// `BeamSearchDecoder` and `MaximumLikelihoodRanker` of openai-whisper 20250625, for one item at a
/// time; patience is from Kasai et al. 2022, arXiv:2204.05424.
#[derive(Debug, Clone, PartialEq)]
pub struct PatientBeamSearch {
    /// Rows that run; at least 1.
    pub beam_size: usize,
    /// Finished rows to wait for, over `beam_size`; above 0.
    pub patience: f64,
    /// With `alpha`, scores are `sum / ((5 + n) / 6)^alpha`, else `sum / n`; `n` counts the new
    /// tokens without the end token.
    pub length_penalty: Option<f64>,
}

impl Default for PatientBeamSearch {
    fn default() -> Self {
        Self { beam_size: 5, patience: 1.0, length_penalty: None }
    }
}

impl PatientBeamSearch {
    pub(super) fn check(&self) -> Result<()> {
        if self.beam_size == 0 {
            let detail = "beam_size is 0, expected at least 1";
            return Err(ZooError::option("beam search", detail));
        }
        if self.max_candidates() == 0 || !self.patience.is_finite() {
            let least = 0.5 / self.beam_size as f64;
            let detail = format!("patience is {}, expected above {least}", self.patience);
            return Err(ZooError::option("beam search", detail));
        }
        Ok(())
    }

    fn max_candidates(&self) -> usize {
        // Halves go to the even neighbour, as Python rounds them.
        (self.beam_size as f64 * self.patience).round_ties_even() as usize
    }
}

/// The search of one item.
pub(super) struct PatientState<'a> {
    shared: Shared<'a>,
    search: &'a PatientBeamSearch,
    prompt_len: usize,
    /// Best first.
    running: Vec<Beam>,
    /// In the order of their ends.
    finished: Vec<Hypothesis>,
    steps: usize,
}

impl<'a> PatientState<'a> {
    pub(super) fn new(
        shared: Shared<'a>,
        request: &Request,
        search: &'a PatientBeamSearch,
    ) -> Self {
        Self {
            shared,
            search,
            prompt_len: request.prompt_ids.len(),
            running: vec![Beam::prompt(request)],
            finished: Vec::new(),
            steps: 0,
        }
    }

    fn hypothesis(&self, beam: &Beam, sum_logprob: f64, ended: bool) -> Hypothesis {
        let ids = beam.ids[self.prompt_len..].to_vec();
        let score = length_normalized(sum_logprob, ids.len(), self.search.length_penalty);
        Hypothesis { ids, ended, sum_logprob, score }
    }
}

impl Search for PatientState<'_> {
    fn advance(&mut self, scores: &mut [f32], vocab_size: usize) -> Result<Vec<Continuation>> {
        for (scores, beam) in scores.chunks_mut(vocab_size).zip(&self.running) {
            apply(
                self.shared.rules,
                Prefix { ids: &beam.ids, prompt_len: self.prompt_len },
                scores,
            );
        }
        let logprobs = log_softmax(scores, vocab_size)?;
        let sums: Vec<f64> = self.running.iter().map(|beam| beam.sum_logprob).collect();
        let beam_size = self.search.beam_size;
        let candidates = top_of_rows(&logprobs, vocab_size, &sums, beam_size + 1);
        if candidates.is_empty() && self.finished.is_empty() {
            return Err(no_candidate());
        }

        let mut next = Vec::new();
        let mut running = Vec::new();
        for candidate in candidates {
            let beam = &self.running[candidate.source];
            if self.shared.ends(candidate.token) {
                if self.finished.len() < self.search.max_candidates() {
                    self.finished.push(self.hypothesis(beam, candidate.sum_logprob, true));
                }
                continue;
            }
            running.push(beam.followed_by(candidate));
            next.push(Continuation { source: candidate.source, token: candidate.token });
            if next.len() == beam_size {
                break;
            }
        }
        self.running = running;
        self.steps += 1;
        let patient = self.finished.len() < self.search.max_candidates();
        let goes_on = patient && self.steps < self.shared.max_new_tokens;
        Ok(if goes_on { next } else { Vec::new() })
    }

    fn finish(mut self: Box<Self>) -> Vec<Hypothesis> {
        let missing = self.search.beam_size.saturating_sub(self.finished.len());
        let running: Vec<Hypothesis> = self
            .running
            .iter()
            .take(missing)
            .map(|beam| self.hypothesis(beam, beam.sum_logprob, false))
            .collect();
        self.finished.extend(running);
        hypothesis::sort(&mut self.finished);
        self.finished
    }
}
