//! Word, segment and position embeddings, summed and normalised.

use tensor_core::{Context, Tensor};

use super::config::BertConfig;
use crate::error::Result;
use crate::layers::{Embedding, LayerNorm};
use crate::weights::Builder;

/// The input side of BERT.
#[derive(Debug, Clone)]
pub(super) struct BertEmbeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    layer_norm: LayerNorm,
    dropout: f64,
}

impl BertEmbeddings {
    /// Builds below `builder`, which is the scope `bert.embeddings` of a folder.
    pub(super) fn new(builder: &Builder, config: &BertConfig) -> Result<Self> {
        let (width, std) = (config.hidden_size, config.initializer_range);
        let table =
            |name: &str, rows: usize| Embedding::new(&builder.scope(name), rows, width, std);
        Ok(Self {
            word_embeddings: Embedding::with_padding(
                &builder.scope("word_embeddings"),
                config.vocab_size,
                width,
                std,
                config.pad_token_id,
            )?,
            position_embeddings: table("position_embeddings", config.max_position_embeddings)?,
            token_type_embeddings: table("token_type_embeddings", config.type_vocab_size)?,
            layer_norm: LayerNorm::new(&builder.scope("LayerNorm"), width, config.layer_norm_eps)?,
            dropout: config.hidden_dropout_prob,
        })
    }

    /// The word embedding, to which the MLM head is tied.
    pub(super) fn word_embeddings(&self) -> &Embedding {
        &self.word_embeddings
    }

    /// Ids `(B, T)`, I64, to vectors `(B, T, D)`; without segments all tokens are of the first.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        input_ids: &Tensor,
        token_type_ids: Option<&Tensor>,
    ) -> Result<Tensor> {
        let tokens = input_ids.shape()[1];
        let words = self.word_embeddings.forward(ctx, input_ids)?;
        let segments = match token_type_ids {
            Some(ids) => self.token_type_embeddings.forward(ctx, ids)?,
            None => ctx.param(self.token_type_embeddings.weight()).narrow(0, 0, 1)?,
        };
        let positions = ctx.param(self.position_embeddings.weight()).narrow(0, 0, tokens)?;
        // Added in the order of `transformers`, so that rounding is the same.
        let sum = words.add(&segments)?.add(&positions)?;
        Ok(ctx.dropout(&self.layer_norm.forward(ctx, &sum)?, self.dropout)?)
    }
}
