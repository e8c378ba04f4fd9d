//! The loop of decoding: one pass of the model a step, and a search an item.
//!
//! The searches say which rows go on and with which token; rows of an item lie side by side, in
//! the order of the items. A row that no search names leaves the batch at once.

use tensor_core::Context;

use super::beam::{BeamSearch, BeamState};
use super::hypothesis::Hypothesis;
use super::patience::{PatientBeamSearch, PatientState};
use super::rules::ScoreRule;
use super::sampling::Sampling;
use super::search::{Continuation, Request, Search, Shared};
use super::token_model::TokenModel;
use super::trajectories::Trajectories;
use crate::error::{Result, ZooError};

/// How to continue.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub strategy: Strategy,
    /// Most tokens to add to a prompt, the end token included.
    pub max_new_tokens: usize,
    /// Tokens that end an item.
    pub eos_token_ids: Vec<u32>,
}

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Strategy {
    /// The likeliest token every time, the first of equals. One hypothesis; its score is the mean
    /// log-probability.
    Greedy,
    /// Tokens drawn at random.
    Sample(Sampling),
    /// Beam search as in `transformers`.
    Beam(BeamSearch),
    /// Beam search as in openai-whisper.
    PatientBeam(PatientBeamSearch),
}

impl Strategy {
    fn check(&self) -> Result<()> {
        match self {
            Self::Greedy => Ok(()),
            Self::Sample(sampling) => sampling.check(),
            Self::Beam(search) => search.check(),
            Self::PatientBeam(search) => search.check(),
        }
    }
}

/// Continues every request; `model` has one row for each.
///
/// Returns an n-best list for each, best first and never empty. `rules` are applied in their
/// order; where a strategy does not say otherwise, log-probabilities are those after the rules.
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) when prompts are empty or of several lengths, the
/// strategy's options are out of range, or no token has a finite score; errors of the model.
pub fn generate(
    ctx: &Context,
    model: &mut impl TokenModel,
    requests: &[Request],
    rules: &[Box<dyn ScoreRule>],
    options: &GenerateOptions,
) -> Result<Vec<Vec<Hypothesis>>> {
    check(requests, &options.strategy)?;
    let eos_token_ids = options.eos_token_ids.as_slice();
    let shared = Shared { rules, eos_token_ids, max_new_tokens: options.max_new_tokens };
    let mut searches: Vec<Box<dyn Search + '_>> = requests
        .iter()
        .map(|request| -> Box<dyn Search + '_> {
            match &options.strategy {
                Strategy::Greedy => Box::new(Trajectories::greedy(shared, request)),
                Strategy::Sample(sampling) => {
                    Box::new(Trajectories::sampled(shared, request, sampling))
                }
                Strategy::Beam(search) => Box::new(BeamState::new(shared, request, search)),
                Strategy::PatientBeam(search) => {
                    Box::new(PatientState::new(shared, request, search))
                }
            }
        })
        .collect();

    let mut ids: Vec<Vec<u32>> = requests.iter().map(|r| r.prompt_ids.clone()).collect();
    // Running row -> item, ascending.
    let mut owners: Vec<usize> = (0..requests.len()).collect();
    while options.max_new_tokens > 0 && !owners.is_empty() {
        let mut logits = model.next(ctx, &ids)?;
        let vocab_size = logits.vocab_size;
        if logits.rows() != owners.len() {
            let detail = format!("{} rows of logits, expected {}", logits.rows(), owners.len());
            return Err(ZooError::shape("decoding", detail));
        }
        let mut rows = Vec::new();
        let mut next_owners = Vec::new();
        ids.clear();
        let mut first = 0;
        for group in owners.chunk_by(|a, b| a == b) {
            let item = group[0];
            let scores = &mut logits.values[first * vocab_size..][..group.len() * vocab_size];
            for Continuation { source, token } in searches[item].advance(scores, vocab_size)? {
                rows.push(first + source);
                next_owners.push(item);
                ids.push(vec![token]);
            }
            first += group.len();
        }
        let same = rows.len() == owners.len() && rows.iter().enumerate().all(|(k, &r)| k == r);
        owners = next_owners;
        if !same && !owners.is_empty() {
            model.select(&rows)?;
        }
    }
    Ok(searches.into_iter().map(Search::finish).collect())
}

fn check(requests: &[Request], strategy: &Strategy) -> Result<()> {
    strategy.check()?;
    let width = requests.first().map_or(1, |request| request.prompt_ids.len());
    for (k, request) in requests.iter().enumerate() {
        let tokens = request.prompt_ids.len();
        if tokens == 0 || tokens != width {
            let detail = format!("prompt {k} has {tokens} tokens, expected {}", width.max(1));
            let hint = "prompts of one call are not empty and equally long";
            return Err(ZooError::option("decoding", detail).hint(hint));
        }
    }
    Ok(())
}
