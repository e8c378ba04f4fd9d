//! Whisper's decoder: learned positions, causal self-attention, attention to the encoder.

use std::sync::Arc;

use tensor_core::{Context, Tensor, Var};

use super::config::WhisperConfig;
use super::encoder::{EncoderOutput, FeedForward, NORM_EPS, attention, skips_layer};
use crate::error::{Result, ZooError};
use crate::layers::{Embedding, KeyValue, LayerNorm, Linear, MultiHeadAttention};
use crate::weights::{Builder, Init};

/// What the decoder reads.
#[derive(Debug, Clone, Copy)]
pub struct DecoderInput<'a> {
    /// Tokens `(B, T)`, I64. With a cache: only those that it has not seen.
    pub decoder_input_ids: &'a Tensor,
    /// The encoder's output for the same items.
    pub memory: &'a EncoderOutput,
    /// Whether to return the state before every layer too.
    pub output_hidden_states: bool,
}

impl<'a> DecoderInput<'a> {
    /// Tokens and memory; only the last state is returned.
    pub fn new(decoder_input_ids: &'a Tensor, memory: &'a EncoderOutput) -> Self {
        Self { decoder_input_ids, memory, output_hidden_states: false }
    }
}

/// What the decoder found.
#[derive(Debug, Clone)]
pub struct DecoderOutput {
    /// State after the final norm, `(B, T, D)`.
    pub last_hidden_state: Tensor,
    /// On request: `L + 1` states, the embedding first, `last_hidden_state` last.
    pub hidden_states: Vec<Tensor>,
}

/// Keys and values of what has been decoded, and of the memory, which are projected once.
#[derive(Debug, Clone, Default)]
pub struct DecoderCache {
    layers: Vec<LayerCache>,
    key_mask: Option<Tensor>,
    len: usize,
}

#[derive(Debug, Clone)]
struct LayerCache {
    own: Option<KeyValue>,
    memory: KeyValue,
}

impl DecoderCache {
    /// A cache that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of tokens seen.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been decoded.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the batch items `rows`, in that order.
    pub(super) fn select(&mut self, rows: &Tensor) -> tensor_core::Result<()> {
        for layer in &mut self.layers {
            layer.memory = layer.memory.select(rows)?;
            layer.own = layer.own.as_ref().map(|own| own.select(rows)).transpose()?;
        }
        self.key_mask = self.key_mask.as_ref().map(|m| m.index_select(0, rows)).transpose()?;
        Ok(())
    }
}

/// Whisper's text decoder with its projection to the vocabulary.
#[derive(Debug, Clone)]
pub struct WhisperDecoder {
    embed_tokens: Embedding,
    embed_positions: Var,
    layers: Vec<Arc<DecoderLayer>>,
    layer_norm: LayerNorm,
    proj_out: Linear,
    dropout: f64,
    layerdrop: f64,
    gradient_checkpointing: bool,
}

impl WhisperDecoder {
    /// Builds below `root`, the root of a folder: `model.decoder` and, if untied, `proj_out`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself.
    pub fn new(root: &Builder, config: &WhisperConfig) -> Result<Self> {
        config.check()?;
        let builder = root.scope("model.decoder");
        let (width, vocab, std) = (config.d_model, config.vocab_size, config.init_std);
        let tokens = builder.scope("embed_tokens");
        let embed_tokens =
            Embedding::with_padding(&tokens, vocab, width, std, config.pad_token_id)?;
        let shape = [config.max_target_positions, width];
        let embed_positions = builder.get("embed_positions.weight", &shape, Init::Normal(std))?;
        let layers = (0..config.decoder_layers)
            .map(|k| {
                Ok(Arc::new(DecoderLayer::new(&builder.scope(format!("layers.{k}")), config)?))
            })
            .collect::<Result<_>>()?;
        let layer_norm = LayerNorm::new(&builder.scope("layer_norm"), width, NORM_EPS)?;
        let proj_out = if config.tie_word_embeddings {
            root.tie("proj_out.weight", "model.decoder.embed_tokens.weight")?;
            Linear::from_vars(embed_tokens.weight().clone(), None)
        } else {
            Linear::without_bias(&root.scope("proj_out"), width, vocab, Init::Normal(std))?
        };
        Ok(Self {
            embed_tokens,
            embed_positions,
            layers,
            layer_norm,
            proj_out,
            dropout: config.dropout,
            layerdrop: config.decoder_layerdrop,
            gradient_checkpointing: false,
        })
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    /// Passes with a cache keep them.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.gradient_checkpointing = on;
    }

    /// States of all tokens at once: teacher forcing.
    ///
    /// Positions behind a transcript's end cannot influence those before it, so right padding
    /// needs no mask.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there are no tokens, more than
    /// `max_target_positions`, or another number of items than in the memory.
    pub fn forward(&self, ctx: &Context, input: &DecoderInput<'_>) -> Result<DecoderOutput> {
        let mut x = self.embed(ctx, input.decoder_input_ids, 0)?;
        let states = &input.memory.last_hidden_state;
        check_batch(x.shape()[0], states.shape()[0])?;
        let key_mask = input.memory.key_mask()?;
        let mut hidden_states = Vec::new();
        for layer in &self.layers {
            if input.output_hidden_states {
                hidden_states.push(x.clone());
            }
            if skips_layer(ctx, self.layerdrop) {
                continue;
            }
            x = if self.gradient_checkpointing {
                let (layer, mask) = (Arc::clone(layer), key_mask.clone());
                ctx.checkpoint(&[&x, states], move |ctx, inputs| {
                    layer.forward(ctx, &inputs[0], &inputs[1], mask.as_ref())
                })?
            } else {
                layer.forward(ctx, &x, states, key_mask.as_ref())?
            };
        }
        let last_hidden_state = self.layer_norm.forward(ctx, &x)?;
        if input.output_hidden_states {
            hidden_states.push(last_hidden_state.clone());
        }
        Ok(DecoderOutput { last_hidden_state, hidden_states })
    }

    /// States `(B, T, D)` of the tokens that `cache` has not seen, which it then has.
    ///
    /// The first call projects the memory; later calls do not read it.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward); the cache counts towards `max_target_positions`.
    pub fn forward_cached(
        &self,
        ctx: &Context,
        decoder_input_ids: &Tensor,
        memory: &EncoderOutput,
        cache: &mut DecoderCache,
    ) -> Result<Tensor> {
        let mut x = self.embed(ctx, decoder_input_ids, cache.len)?;
        let (batch, fresh) = (x.shape()[0], x.shape()[1]);
        if cache.is_empty() {
            check_batch(batch, memory.last_hidden_state.shape()[0])?;
            cache.key_mask = memory.key_mask()?;
            cache.layers = self
                .layers
                .iter()
                .map(|layer| {
                    let states = &memory.last_hidden_state;
                    let memory = layer.encoder_attn.keys_values(ctx, states)?;
                    Ok(LayerCache { own: None, memory })
                })
                .collect::<Result<_>>()?;
        }
        for (layer, cached) in self.layers.iter().zip(&mut cache.layers) {
            x = layer.forward_cached(ctx, &x, cached, cache.key_mask.as_ref())?;
        }
        cache.len += fresh;
        Ok(self.layer_norm.forward(ctx, &x)?)
    }

    /// States `(.., D)` to logits `(.., V)`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the last extent is not `d_model`.
    pub fn project(&self, ctx: &Context, hidden_states: &Tensor) -> Result<Tensor> {
        Ok(self.proj_out.forward(ctx, hidden_states)?)
    }

    /// Token plus position embeddings; the first token stands at `start`.
    fn embed(&self, ctx: &Context, ids: &Tensor, start: usize) -> Result<Tensor> {
        let longest = self.embed_positions.shape()[0];
        let &[_, tokens] = ids.shape() else {
            let detail = format!("decoder_input_ids is {:?}, expected (B, T)", ids.shape());
            return Err(ZooError::shape("whisper decoder", detail));
        };
        if tokens == 0 || start + tokens > longest {
            let detail = format!("{} tokens, expected 1 to {longest}", start + tokens);
            return Err(ZooError::shape("whisper decoder", detail));
        }
        let positions = ctx.param(&self.embed_positions).narrow(0, start, tokens)?;
        let x = self.embed_tokens.forward(ctx, ids)?.add(&positions)?;
        Ok(ctx.dropout(&x, self.dropout)?)
    }
}

fn check_batch(tokens: usize, memory: usize) -> Result<()> {
    if tokens == memory {
        return Ok(());
    }
    let detail = format!("{tokens} token rows, expected {memory} as in the memory");
    Err(ZooError::shape("whisper decoder", detail))
}

#[derive(Debug)]
struct DecoderLayer {
    self_attn: MultiHeadAttention,
    self_attn_layer_norm: LayerNorm,
    encoder_attn: MultiHeadAttention,
    encoder_attn_layer_norm: LayerNorm,
    feed_forward: FeedForward,
    dropout: f64,
}

impl DecoderLayer {
    fn new(builder: &Builder, config: &WhisperConfig) -> Result<Self> {
        let (width, heads) = (config.d_model, config.decoder_attention_heads);
        let norm = |name: &str| LayerNorm::new(&builder.scope(name), width, NORM_EPS);
        Ok(Self {
            self_attn: attention(&builder.scope("self_attn"), config, heads)?,
            self_attn_layer_norm: norm("self_attn_layer_norm")?,
            encoder_attn: attention(&builder.scope("encoder_attn"), config, heads)?,
            encoder_attn_layer_norm: norm("encoder_attn_layer_norm")?,
            feed_forward: FeedForward::new(builder, config, config.decoder_ffn_dim)?,
            dropout: config.dropout,
        })
    }

    fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        memory: &Tensor,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.self_attn_layer_norm.forward(ctx, x)?;
        let own = self.self_attn.keys_values(ctx, &normed)?;
        let memory = self.encoder_attn.keys_values(ctx, memory)?;
        self.rest(ctx, x, &normed, [&own, &memory], key_mask)
    }

    fn forward_cached(
        &self,
        ctx: &Context,
        x: &Tensor,
        cached: &mut LayerCache,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.self_attn_layer_norm.forward(ctx, x)?;
        let fresh = self.self_attn.keys_values(ctx, &normed)?;
        let own = match cached.own.take() {
            Some(seen) => seen.append(&fresh)?,
            None => fresh,
        };
        let out = self.rest(ctx, x, &normed, [&own, &cached.memory], key_mask)?;
        cached.own = Some(own);
        Ok(out)
    }

    /// The layer, given the keys and values of the text so far and of the memory.
    fn rest(
        &self,
        ctx: &Context,
        x: &Tensor,
        normed: &Tensor,
        [own, memory]: [&KeyValue; 2],
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let mixed = self.self_attn.attend(ctx, normed, own, true, None)?;
        let x = x.add(&ctx.dropout(&mixed, self.dropout)?)?;
        let normed = self.encoder_attn_layer_norm.forward(ctx, &x)?;
        let mixed = self.encoder_attn.attend(ctx, &normed, memory, false, key_mask)?;
        let x = x.add(&ctx.dropout(&mixed, self.dropout)?)?;
        self.feed_forward.forward(ctx, &x)
    }
}
