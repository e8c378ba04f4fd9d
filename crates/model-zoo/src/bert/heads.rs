//! What is put on top of BERT: a pooler, a vocabulary projection, a classifier.

use tensor_core::{Context, Tensor, Var};

use super::config::BertConfig;
use crate::error::Result;
use crate::layers::{Activation, LayerNorm, Linear};
use crate::weights::{Builder, Init};

/// `tanh(W h_0 + b)`: one vector for a text, from its first token.
#[derive(Debug, Clone)]
pub struct Pooler {
    dense: Linear,
}

impl Pooler {
    /// Builds below `builder`, which is the scope `bert.pooler` of a folder.
    pub(super) fn new(builder: &Builder, config: &BertConfig) -> Result<Self> {
        let (width, init) = (config.hidden_size, Init::Normal(config.initializer_range));
        Ok(Self { dense: Linear::new(&builder.scope("dense"), width, width, init)? })
    }

    /// States `(B, T, D)` to `(B, D)`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the last extent is not `D`.
    pub fn forward(&self, ctx: &Context, hidden_states: &Tensor) -> Result<Tensor> {
        let first = hidden_states.select(1, 0)?;
        Ok(self.dense.forward(ctx, &first)?.tanh()?)
    }
}

/// Scores of every vocabulary entry at a position: transform, norm, projection.
#[derive(Debug, Clone)]
pub(super) struct MlmHead {
    transform: Linear,
    activation: Activation,
    layer_norm: LayerNorm,
    decoder: Linear,
}

impl MlmHead {
    /// Builds below `builder`, which is the scope `cls.predictions` of a folder. `tied` is the
    /// word embedding `(V, D)`; without it the projection has a weight of its own.
    pub(super) fn new(builder: &Builder, config: &BertConfig, tied: Option<&Var>) -> Result<Self> {
        let (width, vocab) = (config.hidden_size, config.vocab_size);
        let init = Init::Normal(config.initializer_range);
        let transform = builder.scope("transform");
        let weight = match tied {
            Some(weight) => weight.clone(),
            None => builder.get("decoder.weight", &[vocab, width], init)?,
        };
        let bias = builder.get("bias", &[vocab], Init::Zeros)?;
        Ok(Self {
            transform: Linear::new(&transform.scope("dense"), width, width, init)?,
            activation: Activation::from_name(&config.hidden_act)?,
            layer_norm: LayerNorm::new(
                &transform.scope("LayerNorm"),
                width,
                config.layer_norm_eps,
            )?,
            decoder: Linear::from_vars(weight, Some(bias)),
        })
    }

    /// States `(.., D)` to logits `(.., V)`.
    pub(super) fn forward(&self, ctx: &Context, hidden_states: &Tensor) -> Result<Tensor> {
        let x = self.activation.forward(&self.transform.forward(ctx, hidden_states)?)?;
        Ok(self.decoder.forward(ctx, &self.layer_norm.forward(ctx, &x)?)?)
    }
}

/// Dropout and one linear map over the pooled vector.
#[derive(Debug, Clone)]
pub(super) struct ClassificationHead {
    classifier: Linear,
    dropout: f64,
}

impl ClassificationHead {
    /// Builds below `builder`, which is the scope `classifier` of a folder.
    pub(super) fn new(builder: &Builder, config: &BertConfig, num_labels: usize) -> Result<Self> {
        let init = Init::Normal(config.initializer_range);
        Ok(Self {
            classifier: Linear::new(builder, config.hidden_size, num_labels, init)?,
            dropout: config.classifier_dropout.unwrap_or(config.hidden_dropout_prob),
        })
    }

    /// Pooled vectors `(B, D)` to logits `(B, num_labels)`: of classes, of independent labels,
    /// or one score for regression.
    pub(super) fn forward(&self, ctx: &Context, pooled: &Tensor) -> Result<Tensor> {
        Ok(self.classifier.forward(ctx, &ctx.dropout(pooled, self.dropout)?)?)
    }
}
