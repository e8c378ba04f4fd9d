//! Prompts of tokens and vectors, such as speech before a question.

use tensor_core::{Context, Tensor};

use super::model::Llama;
use crate::error::{Result, ZooError};

/// A stretch of a prompt.
#[derive(Debug, Clone)]
pub enum PromptPart {
    /// Tokens, which are embedded.
    Tokens(Vec<u32>),
    /// Vectors `(N, D)` that stand for themselves.
    Vectors(Tensor),
}

impl PromptPart {
    /// Positions that the part takes.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens(ids) => ids.len(),
            Self::Vectors(vectors) => vectors.shape().first().copied().unwrap_or(0),
        }
    }

    /// Whether the part takes no position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Llama {
    /// The vectors `(T, D)` of a prompt, part after part, for
    /// [`LlamaInput::from_embeds`](super::LlamaInput::from_embeds). Gradients flow back to them
    /// and to the embedding.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the prompt is empty or its vectors are not
    /// `(N, hidden_size)`; [`Option`](crate::ErrorKind::Option) when an id is not below
    /// `vocab_size`.
    pub fn embed_prompt(&self, ctx: &Context, parts: &[PromptPart]) -> Result<Tensor> {
        let place = "embed_prompt";
        let width = self.config.hidden_size;
        let device = self.device();
        let mut vectors = Vec::with_capacity(parts.len());
        for part in parts.iter().filter(|part| !part.is_empty()) {
            vectors.push(match part {
                PromptPart::Tokens(ids) => {
                    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
                    self.embed(ctx, &Tensor::from_vec(ids, &[part.len()], device)?)?
                }
                PromptPart::Vectors(given) if given.rank() == 2 && given.shape()[1] == width => {
                    given.clone()
                }
                PromptPart::Vectors(given) => {
                    let detail = format!("vectors are {:?}, expected (N, {width})", given.shape());
                    let hint = "project them to the model's hidden_size first";
                    return Err(ZooError::shape(place, detail).hint(hint));
                }
            });
        }
        if vectors.is_empty() {
            return Err(ZooError::shape(place, "prompt has no positions, expected at least 1"));
        }
        Ok(Tensor::cat(&vectors.iter().collect::<Vec<_>>(), 0)?)
    }
}
