//! Which position of the speech each token belongs to.

use tensor_core::{Context, DType, Tensor};

use super::dtw::{first_columns, median_filter};
use super::split::split;
use super::{Aligned, TokenTime};
use crate::error::Result;
use crate::whisper::transcribe::transcriber::Transcriber;
use crate::whisper::{DecoderInput, EncoderOutput, Prompt, SECONDS_PER_TIMESTAMP, prompt_ids};

/// Width of the median filter along time.
const MEDIAN_WIDTH: usize = 7;
/// Tokens whose logits are held at a time.
const TOKENS_AT_A_TIME: usize = 32;

impl Transcriber<'_> {
    /// Words of the text tokens `ids` with their times in the one window that `memory` holds, of
    /// which `n_frames` are speech.
    ///
    /// # Source
    ///
    /// `find_alignment` in `whisper/timing.py` of openai-whisper 20250625.
    pub(super) fn align(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
        ids: &[u32],
        n_frames: usize,
        language: &str,
    ) -> Result<Vec<Aligned>> {
        let times = self.token_times(ctx, memory, ids, n_frames, language)?;
        self.words_of(ids, &times, language)
    }

    /// Words of text tokens whose times are known; none where they are not.
    pub(super) fn words_of(
        &self,
        ids: &[u32],
        times: &[TokenTime],
        language: &str,
    ) -> Result<Vec<Aligned>> {
        if ids.len() != times.len() {
            return Ok(Vec::new());
        }
        let mut aligned = Vec::new();
        let mut rest = times;
        for (word, n_tokens) in split(self.tokenizer, ids, language)? {
            let (own, after) = rest.split_at(n_tokens);
            let sum: f64 = own.iter().map(|token| token.probability).sum();
            aligned.push(Aligned {
                word,
                n_tokens,
                start: own.first().map_or(0.0, |token| token.start),
                end: own.last().map_or(0.0, |token| token.end),
                probability: sum / n_tokens as f64,
            });
            rest = after;
        }
        Ok(aligned)
    }

    /// Times of the text tokens `ids` in the one window that `memory` holds, as
    /// [`align`](Self::align) gives them to words; none where the window has no position.
    pub(in crate::whisper::transcribe) fn token_times(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
        ids: &[u32],
        n_frames: usize,
        language: &str,
    ) -> Result<Vec<TokenTime>> {
        let n_positions = (n_frames / 2).min(memory.last_hidden_state.shape()[1]);
        if ids.is_empty() || n_positions == 0 {
            return Ok(Vec::new());
        }
        let task = self.options.task.as_str();
        let prompt = prompt_ids(self.tokenizer, Prompt { language, task, timestamps: false })?;
        let row: Vec<i64> =
            prompt.iter().chain(ids).chain([&self.tokens.eot]).map(|&id| i64::from(id)).collect();
        let device = memory.last_hidden_state.device();
        let tokens = Tensor::from_vec(row, &[1, prompt.len() + ids.len() + 1], device)?;
        let input = DecoderInput::new(&tokens, memory);
        let heads = self.alignment_heads();
        let (states, scores) = self.model.decoder.forward_with_scores(ctx, &input, &heads)?;

        // Position p of the row predicts token p + 1.
        let first = prompt.len() - 1;
        let probabilities = self.probabilities(ctx, &states, first, ids)?;
        let mut mean = vec![0.0f32; (ids.len() + 1) * n_positions];
        for scores in &scores {
            let weights = standardized(scores, n_positions)?;
            let used = weights[first * n_positions..].iter();
            mean.iter_mut().zip(used).for_each(|(mean, w)| *mean += w / heads.len() as f32);
        }
        let cost: Vec<f32> = mean.iter().map(|weight| -weight).collect();
        let begins = first_columns(&cost, ids.len() + 1, n_positions);

        let seconds = |token: usize| begins[token] as f64 * SECONDS_PER_TIMESTAMP;
        let time = |(token, probability): (usize, f64)| TokenTime {
            start: seconds(token),
            end: seconds(token + 1),
            probability,
        };
        Ok(probabilities.into_iter().enumerate().map(time).collect())
    }

    /// The heads that the folder names, else all of the upper half of the layers.
    fn alignment_heads(&self) -> Vec<(usize, usize)> {
        let config = &self.model.config;
        match &self.model.generation.alignment_heads {
            Some(heads) if !heads.is_empty() => heads.clone(),
            _ => (config.decoder_layers / 2..config.decoder_layers)
                .flat_map(|layer| (0..config.decoder_attention_heads).map(move |h| (layer, h)))
                .collect(),
        }
    }

    /// Probability of each of `ids` among all text tokens, given states `(1, T, D)` of which the
    /// one at `first` predicts the first.
    fn probabilities(
        &self,
        ctx: &Context,
        states: &Tensor,
        first: usize,
        ids: &[u32],
    ) -> Result<Vec<f64>> {
        let vocab_size = self.model.config.vocab_size as u32;
        let is_text: Vec<bool> = (0..vocab_size).map(|id| self.tokens.is_text(id)).collect();
        let mut found = Vec::with_capacity(ids.len());
        for (k, ids) in ids.chunks(TOKENS_AT_A_TIME).enumerate() {
            let states = states.narrow(1, first + k * TOKENS_AT_A_TIME, ids.len())?;
            let logits = self.model.decoder.project(ctx, &states)?.to_dtype(DType::F32)?;
            for (logits, &id) in logits.to_vec::<f32>()?.chunks(is_text.len()).zip(ids) {
                let text = || logits.iter().zip(&is_text).filter(|(_, text)| **text);
                let top = text().map(|(x, _)| *x).fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = text().map(|(x, _)| f64::from(x - top).exp()).sum();
                found.push(f64::from(logits[id as usize] - top).exp() / sum);
            }
        }
        Ok(found)
    }
}

/// Weights `(T, n_positions)` of one head: a softmax over the speech, standardised over the tokens
/// and smoothed along time.
fn standardized(scores: &Tensor, n_positions: usize) -> Result<Vec<f32>> {
    let n_tokens = scores.shape()[1];
    let scores = scores.select(0, 0)?.narrow(1, 0, n_positions)?.contiguous()?;
    let mut weights = scores.softmax()?.to_dtype(DType::F32)?.to_vec::<f32>()?;
    for position in 0..n_positions {
        let column = || weights[position..].iter().step_by(n_positions).map(|&w| f64::from(w));
        let mean = column().sum::<f64>() / n_tokens as f64;
        let variance = column().map(|w| (w - mean) * (w - mean)).sum::<f64>() / n_tokens as f64;
        let deviation = variance.sqrt();
        for weight in weights[position..].iter_mut().step_by(n_positions) {
            *weight = ((f64::from(*weight) - mean) / deviation) as f32;
        }
    }
    median_filter(&mut weights, n_positions, MEDIAN_WIDTH);
    Ok(weights)
}
