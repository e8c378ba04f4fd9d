//! Greedy decoding with Whisper's suppress lists.
//!
//! Every step takes the likeliest token that the lists allow. Items of a batch
//! never see each other: an item that has ended is dropped from the batch when
//! half of it has, and the others decode on as they would alone.

use tensor_core::{Context, DType, Tensor};

use super::cache::DecoderCache;
use super::decoder::WhisperDecoder;
use super::encoder::EncoderOutput;
use crate::error::{Result, ZooError};

/// How to decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreedyOptions {
    /// Tokens each transcript begins with; at least one.
    pub prompt_ids: Vec<u32>,
    /// Most tokens to add to the prompt. The decoder's positions bound it too.
    pub max_new_tokens: usize,
    /// Tokens never generated.
    pub suppress_tokens: Vec<u32>,
    /// Tokens never generated right after the prompt.
    pub begin_suppress_tokens: Vec<u32>,
    /// Tokens that end a transcript.
    pub eos_token_ids: Vec<u32>,
}

/// Decodes every item of `memory`; see [`Whisper::greedy`](super::Whisper::greedy).
pub(super) fn greedy(
    decoder: &WhisperDecoder,
    ctx: &Context,
    memory: &EncoderOutput,
    options: &GreedyOptions,
    max_target_positions: usize,
) -> Result<Vec<Vec<u32>>> {
    let batch = memory.last_hidden_state.shape()[0];
    let prompt = &options.prompt_ids;
    if prompt.is_empty() || prompt.len() > max_target_positions {
        let detail =
            format!("prompt_ids has {} tokens, expected 1 to {max_target_positions}", prompt.len());
        return Err(ZooError::option("greedy", detail));
    }
    let steps = options.max_new_tokens.min(max_target_positions - prompt.len());

    let mut transcripts = vec![Vec::new(); batch];
    let mut ended = vec![false; batch];
    // Row of the running batch -> item.
    let mut rows: Vec<usize> = (0..batch).collect();
    let mut cache = DecoderCache::new();
    let mut fresh: Vec<i64> =
        prompt.iter().copied().map(i64::from).collect::<Vec<_>>().repeat(batch);
    let mut width = prompt.len();

    for step in 0..steps {
        let device = memory.last_hidden_state.device();
        let ids = Tensor::from_vec(fresh, &[rows.len(), width], device)?;
        let hidden = decoder.forward_cached(ctx, &ids, memory, &mut cache)?;
        let last = hidden.select(1, width - 1)?;
        let logits = decoder.project(ctx, &last)?.to_dtype(DType::F32)?;
        let vocab = logits.shape()[1];
        let mut logits = logits.to_vec::<f32>()?;

        fresh = Vec::with_capacity(rows.len());
        for (scores, &item) in logits.chunks_mut(vocab).zip(&rows) {
            if ended[item] {
                // Fed only to keep the batch rectangular; nothing reads what it leads to.
                fresh.push(i64::from(prompt[0]));
                continue;
            }
            let token = best(scores, options, step == 0)?;
            fresh.push(i64::from(token));
            match options.eos_token_ids.contains(&token) {
                true => ended[item] = true,
                false => transcripts[item].push(token),
            }
        }
        width = 1;

        let running: Vec<usize> = (0..rows.len()).filter(|&row| !ended[rows[row]]).collect();
        if running.is_empty() {
            break;
        }
        if 2 * running.len() <= rows.len() {
            let kept: Vec<i64> = running.iter().map(|&row| row as i64).collect();
            cache.select(&Tensor::from_vec(kept, &[running.len()], device)?)?;
            fresh = running.iter().map(|&row| fresh[row]).collect();
            rows = running.iter().map(|&row| rows[row]).collect();
        }
    }
    Ok(transcripts)
}

/// The likeliest token that may follow; the first of equals.
fn best(scores: &mut [f32], options: &GreedyOptions, first: bool) -> Result<u32> {
    let begin: &[u32] = if first { &options.begin_suppress_tokens } else { &[] };
    for &token in options.suppress_tokens.iter().chain(begin) {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
    let mut best = None;
    let mut top = f32::NEG_INFINITY;
    for (token, &score) in scores.iter().enumerate() {
        if score > top {
            (best, top) = (Some(token as u32), score);
        }
    }
    best.ok_or_else(|| {
        let detail = "no token has a finite score, expected at least one";
        ZooError::option("greedy", detail).hint("are the weights finite and some tokens allowed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> GreedyOptions {
        GreedyOptions {
            prompt_ids: vec![0],
            max_new_tokens: 4,
            suppress_tokens: vec![3, 99],
            begin_suppress_tokens: vec![1],
            eos_token_ids: vec![2],
        }
    }

    #[test]
    fn begin_list_holds_for_the_first_token_only() {
        let scores = [0.5, 0.9, 0.1, 7.0];
        assert_eq!(best(&mut scores.clone(), &options(), true).unwrap(), 0);
        assert_eq!(best(&mut scores.clone(), &options(), false).unwrap(), 1);
    }

    #[test]
    fn first_of_equal_scores_wins() {
        assert_eq!(best(&mut [0.5, 0.2, 0.5, 9.0], &options(), false).unwrap(), 0);
    }

    #[test]
    fn scores_without_a_finite_value_are_an_error() {
        let text = best(&mut [f32::NAN; 3], &options(), false).unwrap_err().to_string();
        assert!(text.starts_with("greedy: no token has a finite score"), "{text}");
    }
}
