//! LLaMA as a whole: embedding, layers, final norm and the projection to the vocabulary.

use std::path::Path;
use std::sync::Arc;

use tensor_core::{Context, DType, Device, Tensor};

use super::cache::{LlamaCache, key_mask};
use super::config::LlamaConfig;
use super::generation_config::LlamaGenerationConfig;
use super::io::{Layout, LlamaInput, LlamaOutput, LlamaTokens};
use super::layer::{LlamaLayer, Shared};
use crate::config::ModelConfig;
use crate::error::Result;
use crate::folder::ModelFolder;
use crate::json;
use crate::layers::{
    Embedding, ExtraAttention, GroupedQueryAttention, KeyValueCache, LayerStack, Linear, RmsNorm,
    Rotary, rows_at,
};
use crate::lora::{LoraAdapter, LoraConfig};
use crate::tokenizer::Tokenizer;
use crate::weights::{Builder, Init, LoadOptions, NameRules, Parameters};

/// `LlamaForCausalLM`: tokens or vectors in, logits of the next token out.
#[derive(Debug, Clone)]
pub struct Llama {
    /// Dimensions.
    pub config: LlamaConfig,
    /// Constants of decoding.
    pub generation: LlamaGenerationConfig,
    embed_tokens: Embedding,
    layers: LayerStack<LlamaLayer>,
    norm: RmsNorm,
    lm_head: Linear,
    rotary: Rotary,
    parameters: Parameters,
}

impl Llama {
    /// Builds the model from `root`, the root of a folder or a generator.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself. Mismatches with
    /// a folder are reported by [`Builder::finish`].
    pub fn new(root: &Builder, config: &LlamaConfig) -> Result<Self> {
        config.check()?;
        let mark = root.mark();
        let builder = root.scope("model");
        let (width, vocab, std) = (config.hidden_size, config.vocab_size, config.initializer_range);
        let tokens = builder.scope("embed_tokens");
        let embed_tokens =
            Embedding::with_padding(&tokens, vocab, width, std, config.padding_row())?;
        let layers = LayerStack::new(config.num_hidden_layers, 0.0, |k| {
            LlamaLayer::new(&builder.scope(format!("layers.{k}")), config, k)
        })?;
        let norm = RmsNorm::new(&builder.scope("norm"), width, config.rms_norm_eps)?;
        let lm_head = if config.tie_word_embeddings {
            root.tie("lm_head.weight", "model.embed_tokens.weight")?;
            Linear::from_vars(embed_tokens.weight().clone(), None)
        } else {
            Linear::without_bias(&root.scope("lm_head"), width, vocab, Init::Normal(std))?
        };
        Ok(Self {
            config: config.clone(),
            generation: LlamaGenerationConfig::from_config(config),
            embed_tokens,
            layers,
            norm,
            lm_head,
            rotary: config.rotary()?,
            parameters: root.made_since(mark),
        })
    }

    /// Opens a Hugging Face folder.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), [`Io`](crate::ErrorKind::Io) or, listing every
    /// tensor that does not fit, [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let config = LlamaConfig::open(dir)?;
        let rules = NameRules::llama();
        let mut model = Builder::open_model(dir, rules, options, |root| Self::new(root, &config))?;
        model.generation = LlamaGenerationConfig::open(dir, &config)?;
        Ok(model)
    }

    /// As [`open`](Self::open), frozen, with a fresh adapter beside it.
    ///
    /// # Errors
    ///
    /// As there and as [`LoraAdapter::around`].
    pub fn open_with_lora(
        dir: &Path,
        options: LoadOptions,
        lora: &LoraConfig,
    ) -> Result<(Self, LoraAdapter)> {
        Self::open_beside(dir, options, |root, config| {
            LoraAdapter::around(root, lora, |root| Self::new(root, config))
        })
    }

    /// As [`open`](Self::open), by `build`, which returns the model and what it puts beside it.
    pub(crate) fn open_beside<A>(
        dir: &Path,
        options: LoadOptions,
        build: impl FnOnce(&Builder, &LlamaConfig) -> Result<(Self, A)>,
    ) -> Result<(Self, A)> {
        let config = LlamaConfig::open(dir)?;
        let rules = NameRules::llama();
        let (mut model, beside) =
            Builder::open_model(dir, rules, options, |root| build(root, &config))?;
        model.generation = LlamaGenerationConfig::open(dir, &config)?;
        Ok((model, beside))
    }

    /// Opens the tokenizer of a folder, whose ids must all have an embedding here.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](crate::ErrorKind::Tokenizer) when it is absent, malformed or larger than
    /// `vocab_size`.
    pub fn open_tokenizer(&self, dir: &Path) -> Result<Tokenizer> {
        let tokenizer = Tokenizer::open(dir)?;
        let place = dir.join("tokenizer.json").display().to_string();
        tokenizer.expect_within(self.config.vocab_size).map_err(|e| e.at(place))?;
        Ok(tokenizer)
    }

    /// Parameters by name, a tied output projection once.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    /// Passes with a cache keep them.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.layers.set_gradient_checkpointing(on);
    }

    /// Embeddings `(.., D)` of tokens `(..)`, I64: what the first layer reads.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when an id is not below `vocab_size`.
    pub fn embed(&self, ctx: &Context, input_ids: &Tensor) -> Result<Tensor> {
        // Weights may be stored as halves; states are f32 or wider.
        let x = self.embed_tokens.forward(ctx, input_ids)?;
        Ok(match x.dtype() {
            DType::BF16 | DType::F16 => x.to_dtype(DType::F32)?,
            _ => x,
        })
    }

    /// States of all positions at once.
    ///
    /// # Shapes
    ///
    /// Input `(B, T)` tokens or `(B, T, D)` vectors; states `(B, T, D)`. Those of padding mean
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the input is empty, mask or positions have another
    /// shape, or a row has more attended positions than [`LlamaConfig::longest_input`];
    /// [`Option`](crate::ErrorKind::Option) when an id is not below `vocab_size`.
    pub fn forward(&self, ctx: &Context, input: &LlamaInput) -> Result<LlamaOutput> {
        self.forward_beside(ctx, input, None, Vec::new())
    }

    /// As [`forward`](Self::forward), with heads that also attend to `extra`, which reads `others`.
    pub(crate) fn forward_beside(
        &self,
        ctx: &Context,
        input: &LlamaInput,
        extra: Option<Arc<dyn ExtraAttention>>,
        others: Vec<Tensor>,
    ) -> Result<LlamaOutput> {
        let layout = Layout::new(input, &self.config, &LlamaCache::new())?;
        let x = self.entry(ctx, input, &layout)?;
        let rotation = self.rotary.rotation(&layout.positions, x.device())?;
        let key_mask = key_mask(&layout.attended, x.device())?;
        let keep = input.output_hidden_states;
        let inputs = std::iter::once(x).chain(others).collect();
        let (x, mut hidden_states) =
            self.layers.forward(ctx, inputs, keep, move |layer, ctx, inputs| {
                let extra = extra.as_deref().map(|extra| (extra, &inputs[1..]));
                let shared = Shared { rotation: &rotation, key_mask: key_mask.as_ref(), extra };
                layer.forward(ctx, &inputs[0], shared)
            })?;
        let last_hidden_state = self.norm.forward(ctx, &x)?;
        if keep {
            hidden_states.push(last_hidden_state.clone());
        }
        Ok(LlamaOutput {
            last_hidden_state,
            hidden_states,
            lengths: layout.lengths(),
            last_positions: layout.last_positions(),
        })
    }

    /// As [`forward`](Self::forward) for positions that `cache` has not seen, which it then has;
    /// hidden states are not collected.
    ///
    /// A cache grows in place. With `dynamic` rotary scaling it keeps keys as they were rotated
    /// when they came, as `transformers` does; beyond the trained length that is not what one
    /// pass over everything computes.
    ///
    /// # Errors
    ///
    /// As there, and [`Shape`](crate::ErrorKind::Shape) when the number of rows is not the
    /// cache's. After an error the cache is not to be used.
    pub fn forward_cached(
        &self,
        ctx: &Context,
        input: &LlamaInput,
        cache: &mut LlamaCache,
    ) -> Result<LlamaOutput> {
        let layout = Layout::new(input, &self.config, cache)?;
        let mut x = self.entry(ctx, input, &layout)?;
        let rotation = self.rotary.rotation(&layout.positions, x.device())?;
        cache.extend(&layout.attended, &layout.positions);
        let key_mask = cache.key_mask(x.device())?;
        cache.layers.resize_with(self.config.num_hidden_layers, KeyValueCache::default);
        let extra = cache.extra.as_deref().map(|extra| (extra, &[][..]));
        let shared = Shared { rotation: &rotation, key_mask: key_mask.as_ref(), extra };
        for (layer, cached) in self.layers.iter().zip(&mut cache.layers) {
            x = layer.forward_cached(ctx, &x, cached, shared)?;
        }
        Ok(LlamaOutput {
            last_hidden_state: self.norm.forward(ctx, &x)?,
            hidden_states: Vec::new(),
            lengths: layout.lengths(),
            last_positions: layout.last_positions(),
        })
    }

    /// States `(.., D)` to logits `(.., V)`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the last extent is not `hidden_size`.
    pub fn logits(&self, ctx: &Context, hidden_states: &Tensor) -> Result<Tensor> {
        Ok(self.lm_head.forward(ctx, hidden_states)?)
    }

    /// Logits `(N, V)` at `positions` alone, each `b * T + t`, of states `(B, T, D)`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is no position or one is not below `B * T`.
    pub fn logits_at(
        &self,
        ctx: &Context,
        hidden_states: &Tensor,
        positions: &[usize],
    ) -> Result<Tensor> {
        self.logits(ctx, &rows_at("logits_at", hidden_states, positions)?)
    }

    /// Writes `config.json`, `generation_config.json` and `model.safetensors`, which
    /// `transformers` loads. `dtype` converts the weights; `None` keeps them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_hf_folder(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&self.config, &self.parameters);
        let architecture = "LlamaForCausalLM";
        ModelFolder { config, architecture, parameters, aliases: &[] }.save(dir, dtype)?;
        json::write(&dir.join("generation_config.json"), &self.generation)
    }

    /// The attention of each layer, in order.
    pub(crate) fn attentions(&self) -> impl Iterator<Item = &GroupedQueryAttention> {
        self.layers.iter().map(LlamaLayer::attention)
    }

    /// Where the parameters are.
    pub(super) fn device(&self) -> Device {
        self.embed_tokens.weight().value().device()
    }

    /// The first layer's input. Vectors of padding are replaced by zeros: they may hold NaN, which
    /// would reach the gradients of weights as `0 * NaN`.
    fn entry(&self, ctx: &Context, input: &LlamaInput, layout: &Layout) -> Result<Tensor> {
        let vectors = match &input.tokens {
            LlamaTokens::InputIds(ids) => return self.embed(ctx, ids),
            LlamaTokens::InputsEmbeds(vectors) if !layout.is_padded() => return Ok(vectors.clone()),
            LlamaTokens::InputsEmbeds(vectors) => vectors,
        };
        let padding = layout.attended.iter().flatten().map(|&seen| u8::from(!seen)).collect();
        let shape = [layout.attended.len(), layout.tokens, 1];
        let padding = Tensor::from_vec(padding, &shape, vectors.device())?;
        Ok(vectors.masked_fill(&padding.broadcast_to(vectors.shape())?, 0.0)?)
    }
}
