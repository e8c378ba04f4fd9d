//! Whisper's decoder: learned positions, causal self-attention, attention to the encoder.

use tensor_core::{Context, Tensor, Var};

use super::cache::{DecoderCache, LayerCache};
use super::config::WhisperConfig;
use super::encoder::EncoderOutput;
use super::layer::{DecoderLayer, Heard, norm};
use crate::config::ModelConfig;
use crate::error::{Result, ZooError};
use crate::layers::{Embedding, KeyValueCache, LayerNorm, LayerStack, Linear};
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

/// Whisper's text decoder with its projection to the vocabulary.
#[derive(Debug, Clone)]
pub struct WhisperDecoder {
    embed_tokens: Embedding,
    embed_positions: Var,
    layers: LayerStack<DecoderLayer>,
    layer_norm: LayerNorm,
    proj_out: Linear,
    dropout: f64,
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
        let layers = LayerStack::new(config.decoder_layers, config.decoder_layerdrop, |k| {
            DecoderLayer::new(&builder.scope(format!("layers.{k}")), config)
        })?;
        let layer_norm = norm(&builder, "layer_norm", config)?;
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
        })
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    /// Passes with a cache keep them.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.layers.set_gradient_checkpointing(on);
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
        let x = self.embed(ctx, input.decoder_input_ids, 0)?;
        let states = &input.memory.last_hidden_state;
        check_batch(x.shape()[0], states.shape()[0])?;
        let key_mask = input.memory.key_mask()?;
        let keep = input.output_hidden_states;
        let (x, mut hidden_states) = self.layers.forward(
            ctx,
            vec![x, states.clone()],
            keep,
            move |layer, ctx, inputs| layer.forward(ctx, &inputs[0], &inputs[1], key_mask.as_ref()),
        )?;
        let last_hidden_state = self.layer_norm.forward(ctx, &x)?;
        if keep {
            hidden_states.push(last_hidden_state.clone());
        }
        Ok(DecoderOutput { last_hidden_state, hidden_states })
    }

    /// States `(B, T, D)` of all tokens, and how well each token's query meets each position of the
    /// memory: scores `(B, T, T')` before the softmax, in the order of `heads`, which are pairs of
    /// a layer and a head. Padding of the memory has scores too.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward); [`Option`](crate::ErrorKind::Option) when a layer does not
    /// exist, an error of the operators when a head does not.
    pub fn forward_with_scores(
        &self,
        ctx: &Context,
        input: &DecoderInput<'_>,
        heads: &[(usize, usize)],
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let mut x = self.embed(ctx, input.decoder_input_ids, 0)?;
        let states = &input.memory.last_hidden_state;
        check_batch(x.shape()[0], states.shape()[0])?;
        let key_mask = input.memory.key_mask()?;
        let mut found: Vec<Option<Tensor>> = vec![None; heads.len()];
        for (k, layer) in self.layers.iter().enumerate() {
            let places: Vec<usize> = (0..heads.len()).filter(|&p| heads[p].0 == k).collect();
            let wanted: Vec<usize> = places.iter().map(|&p| heads[p].1).collect();
            let (next, scores) =
                layer.forward_with_scores(ctx, &x, states, key_mask.as_ref(), &wanted)?;
            x = next;
            for (place, scores) in places.into_iter().zip(scores) {
                found[place] = Some(scores);
            }
        }
        let scores: Vec<Tensor> = found.into_iter().flatten().collect();
        if scores.len() < heads.len() {
            let detail = format!("heads are {heads:?}, expected layers of the decoder");
            return Err(ZooError::option("whisper decoder", detail));
        }
        Ok((self.layer_norm.forward(ctx, &x)?, scores))
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
        if cache.layers.is_empty() {
            check_batch(batch, memory.last_hidden_state.shape()[0])?;
            *cache = self.hear(ctx, memory)?;
        }
        check_batch(batch, cache.rows())?;
        let hearing = cache.hearing();
        let heard = Heard { hearing: &hearing, key_mask: cache.key_mask.as_ref() };
        for (layer, cached) in self.layers.iter().zip(&mut cache.layers) {
            x = layer.forward_cached(ctx, &x, cached, heard)?;
        }
        cache.len += fresh;
        Ok(self.layer_norm.forward(ctx, &x)?)
    }

    /// A cache with one row for each item of `memory`, which is projected here, and no tokens.
    ///
    /// # Errors
    ///
    /// Errors of the operators.
    pub fn hear(&self, ctx: &Context, memory: &EncoderOutput) -> Result<DecoderCache> {
        let states = &memory.last_hidden_state;
        let mut layers = Vec::new();
        for layer in self.layers.iter() {
            let memory = layer.project_memory(ctx, states)?;
            layers.push(LayerCache { own: KeyValueCache::default(), memory });
        }
        let mut cache = DecoderCache::new();
        cache.hear(layers, memory.key_mask()?, states.shape()[0]);
        Ok(cache)
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
