//! Whisper as a model that continues rows of tokens.

use tensor_core::{Context, Tensor};

use super::cache::DecoderCache;
use super::decoder::WhisperDecoder;
use super::encoder::EncoderOutput;
use super::model::Whisper;
use crate::decoding::{Logits, TokenModel};
use crate::error::{Result, ZooError};

/// Rows of text that hear the items of one encoder output. A clone goes on from the same place;
/// what was heard is shared.
#[derive(Debug, Clone)]
pub struct WhisperRows<'a> {
    decoder: &'a WhisperDecoder,
    memory: &'a EncoderOutput,
    cache: DecoderCache,
}

impl<'a> WhisperRows<'a> {
    /// One row without tokens for each item of `memory`.
    ///
    /// # Errors
    ///
    /// Errors of the operators that project the memory.
    pub fn new(model: &'a Whisper, ctx: &Context, memory: &'a EncoderOutput) -> Result<Self> {
        let decoder = &model.decoder;
        Ok(Self { decoder, memory, cache: decoder.hear(ctx, memory)? })
    }
}

impl TokenModel for WhisperRows<'_> {
    fn next(&mut self, ctx: &Context, ids: &[Vec<u32>]) -> Result<Logits> {
        let width = ids.first().map_or(0, Vec::len);
        if let Some(row) = ids.iter().position(|row| row.len() != width) {
            let detail = format!("row {row} has {} tokens, expected {width}", ids[row].len());
            return Err(ZooError::shape("whisper decoder", detail));
        }
        let tokens: Vec<i64> = ids.iter().flatten().map(|&id| i64::from(id)).collect();
        let device = self.memory.last_hidden_state.device();
        let tokens = Tensor::from_vec(tokens, &[ids.len(), width], device)?;
        let states = self.decoder.forward_cached(ctx, &tokens, self.memory, &mut self.cache)?;
        let last = states.select(1, width - 1)?;
        Logits::from_tensor(&self.decoder.project(ctx, &last)?)
    }

    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.cache.select(rows)
    }
}
