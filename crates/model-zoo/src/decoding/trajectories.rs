//! Rows that never meet: greedy decoding and sampling.

use tensor_core::Philox;

use super::candidates::{apply, log_softmax, no_candidate, top_of_row};
use super::hypothesis::{self, Hypothesis, length_normalized};
use super::rules::Prefix;
use super::sampling::{Sampling, draw};
use super::search::{Continuation, Request, Search, Shared};
use crate::error::Result;

/// Random streams of an item; those of different items follow each other.
const STREAMS_PER_ITEM: u64 = 1 << 20;

/// One item's rows, each on its own.
pub(super) struct Trajectories<'a> {
    shared: Shared<'a>,
    prompt_len: usize,
    /// `None`: the likeliest token.
    sampling: Option<&'a Sampling>,
    rows: Vec<Trajectory>,
    /// Rows that have not ended, in order.
    running: Vec<usize>,
    steps: usize,
}

struct Trajectory {
    /// Prompt and new tokens, without the end token.
    ids: Vec<u32>,
    ended: bool,
    sum_logprob: f64,
    random: Philox,
}

impl<'a> Trajectories<'a> {
    pub(super) fn greedy(shared: Shared<'a>, request: &Request) -> Self {
        Self::new(shared, request, None)
    }

    pub(super) fn sampled(shared: Shared<'a>, request: &Request, sampling: &'a Sampling) -> Self {
        Self::new(shared, request, Some(sampling))
    }

    fn new(shared: Shared<'a>, request: &Request, sampling: Option<&'a Sampling>) -> Self {
        let (seed, n_rows) = sampling.map_or((0, 1), |s| (s.seed, s.num_return_sequences));
        let first = request.stream.wrapping_mul(STREAMS_PER_ITEM);
        let rows = (0..n_rows)
            .map(|k| Trajectory {
                ids: request.prompt_ids.clone(),
                ended: false,
                sum_logprob: 0.0,
                random: Philox::new(seed, first.wrapping_add(k as u64)),
            })
            .collect();
        let prompt_len = request.prompt_ids.len();
        Self { shared, prompt_len, sampling, rows, running: (0..n_rows).collect(), steps: 0 }
    }
}

impl Search for Trajectories<'_> {
    fn advance(&mut self, scores: &mut [f32], vocab_size: usize) -> Result<Vec<Continuation>> {
        let rows_fed = scores.len() / vocab_size;
        let mut likeliest = Vec::with_capacity(rows_fed);
        for (scores, &row) in scores.chunks_mut(vocab_size).zip(&self.running) {
            let prefix = Prefix { ids: &self.rows[row].ids, prompt_len: self.prompt_len };
            apply(self.shared.rules, prefix, scores);
            // A row without a candidate has no softmax either.
            likeliest.push(top_of_row(scores, 1).first().ok_or_else(no_candidate)?.0);
        }
        let logprobs = log_softmax(scores, vocab_size)?;
        let weights = match self.sampling {
            Some(sampling) => sampling.probabilities(scores, vocab_size)?,
            None => Vec::new(),
        };
        self.steps += 1;
        let mut next = Vec::new();
        let mut still_running = Vec::new();
        for (k, &row) in self.running.iter().enumerate() {
            // The prompt is fed once, and all rows of the first step follow it.
            let source = k.min(rows_fed - 1);
            let places = source * vocab_size..(source + 1) * vocab_size;
            let trajectory = &mut self.rows[row];
            let token = match self.sampling {
                Some(_) => draw(&weights[places.clone()], &mut trajectory.random),
                None => likeliest[source],
            };
            trajectory.sum_logprob += f64::from(logprobs[places][token as usize]);
            if self.shared.ends(token) {
                trajectory.ended = true;
                continue;
            }
            trajectory.ids.push(token);
            if self.steps < self.shared.max_new_tokens {
                next.push(Continuation { source, token });
                still_running.push(row);
            }
        }
        self.running = still_running;
        Ok(next)
    }

    fn finish(self: Box<Self>) -> Vec<Hypothesis> {
        let length_penalty = self.sampling.and_then(|sampling| sampling.length_penalty);
        let mut found: Vec<Hypothesis> = self
            .rows
            .into_iter()
            .map(|row| {
                let ids = row.ids[self.prompt_len..].to_vec();
                let score = length_normalized(row.sum_logprob, ids.len(), length_penalty);
                Hypothesis { ids, ended: row.ended, sum_logprob: row.sum_logprob, score }
            })
            .collect();
        hypothesis::sort(&mut found);
        found
    }
}
