//! What one layer of LLaMA has beside it.

use tensor_core::{Context, Tensor};

use super::audio_adapter::{AudioAdapter, CrossProjections};
use super::prompt_adapter::PromptAdapter;
use super::sizes::Sizes;
use crate::error::Result;
use crate::layers::{GroupedQueryAttention, KeyValue};
use crate::weights::{Builder, Parameters};

/// The adapters of one layer.
#[derive(Debug)]
pub(super) struct LayerAdapter {
    prompt: PromptAdapter,
    audio: Option<AudioAdapter>,
}

/// Keys and values beside the text: what a decoding computes once.
#[derive(Debug, Clone)]
pub(super) struct LayerMemory {
    /// Of the learned rows, `(1, P, Hkv, D)`.
    prompt: KeyValue,
    /// Of the frames, `(B, F, H, D)`.
    audio: Option<KeyValue>,
}

impl LayerAdapter {
    /// The adapters of layer `index`, which hears through `whisper`, under the released names.
    pub fn new(
        builder: &Builder,
        sizes: &Sizes,
        index: usize,
        whisper: Option<CrossProjections>,
        frozen: &mut Parameters,
    ) -> Result<Self> {
        let scope = format!("transformer.h.{index}.attn");
        let builder = builder.scope(&scope);
        let prompt = PromptAdapter::new(&builder, sizes, &scope, frozen)?;
        let audio = match sizes.audio.zip(whisper) {
            Some((audio, whisper)) => Some(AudioAdapter::new(&builder, sizes, audio, whisper)?),
            None => None,
        };
        Ok(Self { prompt, audio })
    }

    /// What queries are to find, given the encoder's `states` `(B, F, W)`.
    pub fn memory(
        &self,
        ctx: &Context,
        attention: &GroupedQueryAttention,
        states: Option<&Tensor>,
        lengths: Option<&[usize]>,
    ) -> tensor_core::Result<LayerMemory> {
        let audio = self.audio.as_ref().zip(states);
        Ok(LayerMemory {
            prompt: self.prompt.keys_values(ctx, attention)?,
            audio: audio
                .map(|(audio, states)| audio.keys_values(ctx, states, lengths))
                .transpose()?,
        })
    }

    /// `found` and what the rotated queries `(B, T, H, D)` find in `memory`.
    pub fn add_to(
        &self,
        ctx: &Context,
        query: &Tensor,
        found: Tensor,
        memory: &LayerMemory,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let found = found.add(&self.prompt.read(ctx, query, &memory.prompt)?)?;
        match self.audio.as_ref().zip(memory.audio.as_ref()) {
            Some((audio, memory)) => found.add(&audio.read(ctx, query, memory, key_mask)?),
            None => Ok(found),
        }
    }
}

impl LayerMemory {
    /// For the batch items `rows` (I64, one dimension), in that order.
    pub fn select(&self, rows: &Tensor) -> tensor_core::Result<Self> {
        let audio = self.audio.as_ref().map(|audio| audio.select(rows)).transpose()?;
        Ok(Self { prompt: self.prompt.clone(), audio })
    }
}
