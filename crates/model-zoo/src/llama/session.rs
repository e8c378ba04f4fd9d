//! Decoding step by step: a model, its cache, and the logits of what follows.

use tensor_core::{Context, DType, Tensor};

use super::cache::LlamaCache;
use super::io::{LlamaInput, LlamaTokens};
use super::model::Llama;
use crate::decoding::{Logits, TokenModel};
use crate::error::{Result, ZooError};

/// One decoding of a batch of rows, each of which sees itself alone.
#[derive(Debug, Clone)]
pub struct LlamaSession<'m> {
    model: &'m Llama,
    cache: LlamaCache,
    /// Logits `(B, V)` of what follows prompts that were read ahead.
    following: Option<Tensor>,
}

impl<'m> LlamaSession<'m> {
    /// A session that has read nothing.
    pub fn new(model: &'m Llama) -> Self {
        Self::with_cache(model, LlamaCache::new())
    }

    /// A session that has read `prompts`, for decoding by [`TokenModel`]: its first call gets what
    /// follows them, whatever tokens it feeds, so that prompts may be of unequal length or vectors.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn prompted(ctx: &Context, model: &'m Llama, prompts: &LlamaInput) -> Result<Self> {
        Self::new(model).having_read(ctx, prompts)
    }

    /// A session that goes on from `cache`.
    pub(crate) fn with_cache(model: &'m Llama, cache: LlamaCache) -> Self {
        Self { model, cache, following: None }
    }

    /// The session when it has read `prompts`; see [`prompted`](Self::prompted).
    pub(super) fn having_read(mut self, ctx: &Context, prompts: &LlamaInput) -> Result<Self> {
        self.following = Some(self.read(ctx, prompts)?);
        Ok(self)
    }

    /// The model that decodes.
    pub fn model(&self) -> &'m Llama {
        self.model
    }

    /// What has been read.
    pub fn cache(&self) -> &LlamaCache {
        &self.cache
    }

    /// Reads prompts, or what continues them, and returns the logits `(B, V)`, f32, of what
    /// follows each row's last attended position. Rows may be padded on either side.
    ///
    /// # Errors
    ///
    /// As [`Llama::forward_cached`].
    pub fn read(&mut self, ctx: &Context, input: &LlamaInput) -> Result<Tensor> {
        let output = self.model.forward_cached(ctx, input, &mut self.cache)?;
        let (states, last) = (&output.last_hidden_state, &output.last_positions);
        Ok(self.model.logits_at(ctx, states, last)?.to_dtype(DType::F32)?)
    }

    /// As [`read`](Self::read) of tokens, every row equally many.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`Shape`](crate::ErrorKind::Shape) when there is no row, one
    /// is empty or their widths differ.
    pub fn read_ids(&mut self, ctx: &Context, ids: &[Vec<u32>]) -> Result<Tensor> {
        let width = ids.first().map_or(0, Vec::len);
        if width == 0 || ids.iter().any(|row| row.len() != width) {
            let widths: Vec<usize> = ids.iter().map(Vec::len).collect();
            let detail = format!("rows have {widths:?} tokens, expected equally many, at least 1");
            return Err(ZooError::shape("llama session", detail));
        }
        let flat: Vec<i64> = ids.iter().flatten().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_vec(flat, &[ids.len(), width], self.model.device())?;
        self.read(ctx, &LlamaInput::new(LlamaTokens::InputIds(ids)))
    }
}

impl TokenModel for LlamaSession<'_> {
    fn next(&mut self, ctx: &Context, ids: &[Vec<u32>]) -> Result<Logits> {
        match self.following.take() {
            Some(logits) => Logits::from_tensor(&logits),
            None => Logits::from_tensor(&self.read_ids(ctx, ids)?),
        }
    }

    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.cache.select(rows)?;
        if let Some(logits) = self.following.take() {
            let index = rows.iter().map(|&row| row as i64).collect();
            let index = Tensor::from_vec(index, &[rows.len()], logits.device())?;
            self.following = Some(logits.index_select(0, &index)?);
        }
        Ok(())
    }
}
