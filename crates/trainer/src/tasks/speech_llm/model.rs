//! Encoder, projector and language model as one.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use model_zoo::llama::{Llama, LlamaInput, LlamaTokens};
use model_zoo::lora::LoraAdapter;
use model_zoo::projector::{Conv1dProjector, LinearProjector, Projected, Projector, StackedConfig};
use model_zoo::q_former::{QFormer, QFormerConfig};
use model_zoo::{Builder, Parameters};
use tensor_core::{Context, DType, Device, Tensor, Var};

use super::conversation::ChatFormat;
use super::states::States;
use crate::manifest::Utterance;
use crate::model_folder::open_llama_beside;
use crate::recipe::{ProjectorKind, Recipe, resolve_path};

/// A projector between a frozen encoder and a language model that is frozen but for an adapter.
pub struct SpeechLlm {
    pub(super) states: Arc<States>,
    /// `(n_states,)`, softmax of which weighs the encoder's states; `None` where one is read.
    mixture: Option<Var>,
    pub(super) projector: Projector,
    pub(super) llm: Llama,
    adapter: Option<LoraAdapter>,
    pub(super) chat: Arc<ChatFormat>,
    /// Positions of the longest sequence.
    pub(super) longest: usize,
}

/// States of the language model, before any loss looks at them.
pub struct Layers {
    /// `(B, T, D)` of each layer asked for.
    pub states: Vec<Tensor>,
    /// Valid positions of each item.
    pub lengths: Vec<usize>,
}

impl SpeechLlm {
    /// Opens encoder and language model, and draws the projector from the recipe's seed.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with a folder, or a size that does not fit.
    pub fn new(recipe: &Recipe) -> anyhow::Result<Self> {
        let states = Arc::new(States::open(&recipe.encoder)?);
        ensure!(
            !recipe.llm.dir.is_empty(),
            "recipe: llm.dir is empty, expected a folder with a LLaMA model"
        );
        let dir = resolve_path(&recipe.llm.dir);
        let (mut llm, adapter) = open_llama_beside(&recipe.llm.dir, &recipe.lora, recipe.seed)?;
        llm.parameters().vars().for_each(|var| var.set_trainable(false));
        let tokenizer = llm.open_tokenizer(&dir)?;
        let chat = ChatFormat::new(tokenizer, &llm, &recipe.llm.system)?;
        llm.set_gradient_checkpointing(recipe.train.grad_checkpoint);
        let (input, output) = (states.encoder.width(), llm.config.hidden_size);
        let projector = draw_projector(recipe, input, output)?;
        let mixture = match states.encoder.n_states() {
            1 => None,
            n => Some(Var::new(Tensor::zeros(&[n], DType::F32, Device::Cpu)?)),
        };
        let longest = recipe.llm.max_length.min(llm.config.longest_input());
        Ok(Self { states, mixture, projector, llm, adapter, chat: Arc::new(chat), longest })
    }

    /// What is trained, by name: `projector.*`, `mixture` and the adapter's.
    pub fn parameters(&self) -> anyhow::Result<Parameters> {
        let mut parameters = Parameters::new();
        for (name, var) in self.projector.parameters().iter() {
            parameters.insert(format!("projector.{name}"), var.clone())?;
        }
        if let Some(mixture) = &self.mixture {
            parameters.insert("mixture", mixture.clone())?;
        }
        if let Some(adapter) = &self.adapter {
            parameters.extend(adapter.parameters())?;
        }
        Ok(parameters)
    }

    /// Frames `(B, n_states, F, E)`, NaN after each item's `lengths`, to vectors.
    pub fn project(
        &self,
        ctx: &Context,
        frames: &Tensor,
        lengths: &[usize],
    ) -> anyhow::Result<Projected> {
        let mixed = match &self.mixture {
            None => frames.squeeze(1)?,
            Some(mixture) => {
                let &[batch, n_states, time, width] = frames.shape() else {
                    anyhow::bail!("frames are {:?}, expected (B, states, F, E)", frames.shape())
                };
                let weights = ctx.param(mixture).softmax()?.reshape(&[1, n_states, 1, 1])?;
                let weights = weights.broadcast_to(&[batch, n_states, time, width])?;
                // Padding is NaN, which gradients of the weights would take up.
                let frames = zero_from(frames, lengths)?;
                frames.mul(&weights)?.sum(&[1], false)?
            }
        };
        Ok(self.projector.forward(ctx, &mixed, lengths)?)
    }

    /// Hidden states `layers` (0 is the embedding) of tokens or vectors padded on the right, each
    /// item at positions from `shifts[b]` on. The model runs only where a later state is asked for.
    pub fn hidden_states(
        &self,
        ctx: &Context,
        tokens: LlamaTokens,
        lengths: &[usize],
        layers: &[usize],
        shifts: &[usize],
    ) -> anyhow::Result<Layers> {
        let lengths = lengths.to_vec();
        if layers == [0] {
            let embedding = match tokens {
                LlamaTokens::InputIds(ids) => self.llm.embed(ctx, &ids)?,
                LlamaTokens::InputsEmbeds(vectors) => vectors,
            };
            return Ok(Layers { states: vec![embedding], lengths });
        }
        let (LlamaTokens::InputIds(given) | LlamaTokens::InputsEmbeds(given)) = &tokens;
        let (batch, time) = (given.shape()[0], given.shape()[1]);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        ensure!(
            longest <= self.longest,
            "{longest} positions, expected at most {} (hint: llm.max_length, or shorter clips by \
             data.max_duration_s)",
            self.longest
        );
        let mask: Vec<i64> =
            lengths.iter().flat_map(|&n| (0..time).map(move |t| i64::from(t < n))).collect();
        let mut input = LlamaInput::new(tokens).with_hidden_states();
        input.attention_mask = Some(Tensor::from_vec(mask, &[batch, time], Device::Cpu)?);
        if shifts.iter().any(|&shift| shift > 0) {
            let positions: Vec<i64> = shifts
                .iter()
                .flat_map(|&shift| (0..time).map(move |t| (shift + t) as i64))
                .collect();
            input.position_ids = Some(Tensor::from_vec(positions, &[batch, time], Device::Cpu)?);
        }
        let output = self.llm.forward(ctx, &input)?;
        let states = layers.iter().map(|&layer| output.hidden_states[layer].clone()).collect();
        Ok(Layers { states, lengths })
    }

    /// Bytes of states of `utterances` that a run will keep in memory beyond those that it keeps now.
    pub fn bytes_to_keep(&self, utterances: &[Utterance]) -> usize {
        self.states.bytes_to_keep(utterances)
    }

    /// Writes the projector's folder, and the adapter's beside it.
    pub fn save(&self, dir: &Path) -> anyhow::Result<()> {
        self.projector.save(&dir.join("projector"), None)?;
        if let Some(mixture) = &self.mixture {
            let mut parameters = Parameters::new();
            parameters.insert("mixture", mixture.clone())?;
            parameters.save(&dir.join("mixture.safetensors"), None)?;
        }
        if let Some(adapter) = &self.adapter {
            adapter.save(&dir.join("adapter"))?;
        }
        Ok(())
    }
}

/// `frames` `(B, n_states, F, E)` with zeros from each item's length on.
fn zero_from(frames: &Tensor, lengths: &[usize]) -> anyhow::Result<Tensor> {
    let (batch, time) = (frames.shape()[0], frames.shape()[2]);
    let beyond: Vec<u8> =
        lengths.iter().flat_map(|&n| (0..time).map(move |t| u8::from(t >= n))).collect();
    let mask = Tensor::from_vec(beyond, &[batch, 1, time, 1], Device::Cpu)?;
    Ok(frames.masked_fill(&mask.broadcast_to(frames.shape())?, 0.0)?)
}

fn draw_projector(recipe: &Recipe, input: usize, output: usize) -> anyhow::Result<Projector> {
    let settings = &recipe.projector;
    let root = Builder::random(recipe.seed, DType::F32, Device::Cpu);
    let stacked = StackedConfig {
        encoder_dim: input,
        encoder_projector_ds_rate: settings.encoder_projector_ds_rate,
        hidden_size: settings.hidden_size,
        output_size: output,
        ..StackedConfig::default()
    };
    Ok(match settings.kind {
        ProjectorKind::QFormer => {
            let config = QFormerConfig {
                encoder_hidden_size: input,
                window_size: settings.window_size,
                num_query_tokens: settings.num_query_tokens,
                hidden_size: settings.hidden_size,
                num_hidden_layers: settings.num_hidden_layers,
                num_attention_heads: settings.num_attention_heads,
                intermediate_size: settings.intermediate_size,
                output_size: output,
                hidden_dropout_prob: settings.dropout,
                attention_probs_dropout_prob: settings.dropout,
                ..QFormerConfig::default()
            };
            let mut projector = QFormer::new(&root, &config)?;
            projector.set_gradient_checkpointing(recipe.train.grad_checkpoint);
            Projector::QFormer(projector)
        }
        ProjectorKind::Linear => Projector::Linear(LinearProjector::new(&root, &stacked)?),
        ProjectorKind::Conv1d => Projector::Conv1d(Conv1dProjector::new(&root, &stacked)?),
    })
}
