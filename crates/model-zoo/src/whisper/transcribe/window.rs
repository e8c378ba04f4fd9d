//! One window of speech: decoding, its scores, and another try where they are bad.

use std::collections::BTreeMap;

use tensor_core::Context;

use super::compression::compression_ratio;
use super::transcriber::Transcriber;
use crate::decoding::{
    GenerateOptions, Hypothesis, PatientBeamSearch, Request, Sampling, ScoreRule, Strategy,
    TokenModel, generate,
};
use crate::error::{Result, ZooError};
use crate::whisper::{EncoderOutput, WhisperRows};

/// What is known about a window before it is decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowContext {
    /// Its language, where the options leave it open; `None` detects it.
    pub language: Option<String>,
    /// Tokens of the text before it; the last of them are told to the model.
    pub previous_ids: Vec<u32>,
    /// Number of its random streams: a window with the same number draws the same samples in any
    /// batch.
    pub stream: u64,
}

/// What was decoded of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// Code of the language.
    pub language: String,
    /// Text of the best hypothesis, without white space around it.
    pub text: String,
    /// Sum of the log-probabilities of the best hypothesis over its tokens and an end token.
    pub avg_logprob: f64,
    /// Probability of `<|nospeech|>` right after `<|startoftranscript|>`; 0 where the vocabulary
    /// has no such token.
    pub no_speech_prob: f64,
    /// Temperature of the try that is kept.
    pub temperature: f64,
    /// See [`compression_ratio`].
    pub compression_ratio: f64,
    /// What this try found, best first, timestamps included.
    pub n_best: Vec<Hypothesis>,
}

impl WindowResult {
    /// Tokens of the best hypothesis, timestamps included.
    pub fn ids(&self) -> &[u32] {
        &self.n_best[0].ids
    }
}

/// A window under way.
struct Pending {
    item: usize,
    language: String,
    initial: Vec<u32>,
    stream: u64,
    no_speech_prob: f64,
}

impl Transcriber<'_> {
    /// Decodes the windows that `memory` holds, one context for each.
    ///
    /// A window that misses a threshold of the options is decoded again at the next temperature;
    /// the last try is kept. What a window gives does not depend on the others.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when there is not one context for each window or no
    /// token has a finite score; [`Tokenizer`](crate::ErrorKind::Tokenizer) when the vocabulary
    /// lacks a language.
    ///
    /// # Source
    ///
    /// `DecodingTask` and `decode_with_fallback` of openai-whisper 20250625.
    pub fn decode(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
        contexts: &[WindowContext],
    ) -> Result<Vec<WindowResult>> {
        let n_items = memory.last_hidden_state.shape()[0];
        if contexts.len() != n_items {
            let detail = format!("{} contexts, expected {n_items}", contexts.len());
            return Err(ZooError::option("whisper decoding", detail));
        }
        let heard = WhisperRows::new(self.model, ctx, memory)?;
        let mut pending = self.begin(ctx, &heard, contexts)?;
        let rules = self.rules();
        let mut results: Vec<Option<WindowResult>> = vec![None; n_items];
        for (attempt, &temperature) in self.options.temperature.iter().enumerate() {
            let strategy = self.strategy(temperature, attempt);
            for group in by_prompt_length(&pending).into_values() {
                let lists = self.attempt(ctx, &heard, &group, &rules, &strategy)?;
                for (window, n_best) in group.into_iter().zip(lists) {
                    results[window.item] = Some(self.result(window, n_best, temperature)?);
                }
            }
            pending.retain(|window| {
                results[window.item].as_ref().is_some_and(|result| self.needs_fallback(result))
            });
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Languages, prompts and probabilities of no speech.
    fn begin(
        &self,
        ctx: &Context,
        heard: &WhisperRows<'_>,
        contexts: &[WindowContext],
    ) -> Result<Vec<Pending>> {
        let known = |context: &WindowContext| {
            self.options.language.clone().or_else(|| context.language.clone())
        };
        let unknown: Vec<usize> =
            (0..contexts.len()).filter(|&item| known(&contexts[item]).is_none()).collect();
        let mut detected = BTreeMap::new();
        if !unknown.is_empty() {
            let mut rows = heard.clone();
            rows.select(&unknown)?;
            let lists = self.languages_after_start(ctx, &mut rows, unknown.len())?;
            for (item, mut list) in unknown.into_iter().zip(lists) {
                detected.insert(item, list.swap_remove(0).0);
            }
        }
        let mut pending = Vec::new();
        for (item, context) in contexts.iter().enumerate() {
            let language = known(context).or_else(|| detected.remove(&item)).unwrap_or_default();
            let initial = self.initial_tokens(&language, &context.previous_ids)?;
            let stream = context.stream;
            pending.push(Pending { item, language, initial, stream, no_speech_prob: 0.0 });
        }
        if let Some(no_speech) = self.tokens.no_speech {
            self.weigh_silence(ctx, heard, &mut pending, no_speech)?;
        }
        Ok(pending)
    }

    /// Sets the probabilities of no speech: what follows the start token.
    fn weigh_silence(
        &self,
        ctx: &Context,
        heard: &WhisperRows<'_>,
        pending: &mut [Pending],
        no_speech: u32,
    ) -> Result<()> {
        let groups: Vec<Vec<usize>> = by_prompt_length(pending)
            .into_values()
            .map(|group| group.iter().map(|window| window.item).collect())
            .collect();
        for items in groups {
            let until_start = |item: &usize| {
                let ids = &pending[*item].initial;
                let end = ids.iter().rposition(|&id| id == self.tokens.sot).map_or(1, |k| k + 1);
                ids[..end].to_vec()
            };
            let ids: Vec<Vec<u32>> = items.iter().map(until_start).collect();
            let mut rows = heard.clone();
            rows.select(&items)?;
            let logits = rows.next(ctx, &ids)?;
            for (row, item) in items.into_iter().enumerate() {
                pending[item].no_speech_prob = probability(logits.row(row), no_speech);
            }
        }
        Ok(())
    }

    /// One try of windows with equally long prompts.
    fn attempt(
        &self,
        ctx: &Context,
        heard: &WhisperRows<'_>,
        group: &[&Pending],
        rules: &[Box<dyn ScoreRule>],
        strategy: &Strategy,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let items: Vec<usize> = group.iter().map(|window| window.item).collect();
        let mut rows = heard.clone();
        rows.select(&items)?;
        let requests: Vec<Request> = group
            .iter()
            .map(|window| Request { prompt_ids: window.initial.clone(), stream: window.stream })
            .collect();
        let positions = self.model.config.max_target_positions;
        let longest = self.options.max_new_tokens.unwrap_or(positions / 2);
        // The last token is never fed, so that it needs no position.
        let room = positions + 1 - group[0].initial.len();
        let options = GenerateOptions {
            strategy: strategy.clone(),
            max_new_tokens: longest.min(room),
            eos_token_ids: vec![self.tokens.eot],
        };
        generate(ctx, &mut rows, &requests, rules, &options)
    }

    fn strategy(&self, temperature: f64, attempt: usize) -> Strategy {
        let options = &self.options;
        let length_penalty = options.length_penalty;
        match options.beam_size {
            _ if temperature > 0.0 => Strategy::Sample(Sampling {
                temperature,
                num_return_sequences: options.best_of.unwrap_or(1),
                length_penalty,
                // Tries draw anew.
                seed: options.seed.wrapping_add(attempt as u64),
                ..Sampling::default()
            }),
            Some(beam_size) => Strategy::PatientBeam(PatientBeamSearch {
                beam_size,
                patience: options.patience.unwrap_or(1.0),
                length_penalty,
            }),
            None => Strategy::Greedy,
        }
    }

    fn result(
        &self,
        window: &Pending,
        n_best: Vec<Hypothesis>,
        temperature: f64,
    ) -> Result<WindowResult> {
        let best = &n_best[0];
        let text = self.text(&best.ids)?.trim().to_owned();
        Ok(WindowResult {
            language: window.language.clone(),
            avg_logprob: best.sum_logprob / (best.ids.len() + 1) as f64,
            no_speech_prob: window.no_speech_prob,
            temperature,
            compression_ratio: compression_ratio(&text),
            text,
            n_best,
        })
    }

    fn needs_fallback(&self, result: &WindowResult) -> bool {
        let options = &self.options;
        let above = |value: f64, threshold: Option<f64>| threshold.is_some_and(|t| value > t);
        let unsure = options.logprob_threshold.is_some_and(|t| result.avg_logprob < t);
        let silent = unsure && above(result.no_speech_prob, options.no_speech_threshold);
        let repetitive = above(result.compression_ratio, options.compression_ratio_threshold);
        (repetitive || unsure) && !silent
    }
}

/// Windows by the length of their prompts: those that can be fed together.
fn by_prompt_length(pending: &[Pending]) -> BTreeMap<usize, Vec<&Pending>> {
    let mut groups: BTreeMap<usize, Vec<&Pending>> = BTreeMap::new();
    for window in pending {
        groups.entry(window.initial.len()).or_default().push(window);
    }
    groups
}

/// Probability of `token` under logits `(V,)`; 0 outside the vocabulary.
fn probability(logits: &[f32], token: u32) -> f64 {
    let Some(&logit) = logits.get(token as usize) else { return 0.0 };
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - top).exp()).sum();
    f64::from(logit - top).exp() / sum
}
