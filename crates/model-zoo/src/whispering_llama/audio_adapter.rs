//! Attention to the frames of Whisper's encoder.

use tensor_core::{Context, Tensor, Var};

use super::autoencoder::Autoencoder;
use super::head_split::pad;
use super::query_mixing::QueryMixing;
use super::sizes::{AudioSizes, Sizes};
use crate::error::Result;
use crate::layers::{KeyValue, Linear, RmsNorm};
use crate::weights::{Builder, Init};

/// Whisper's projections of keys and values, of one block of its decoder, frozen.
#[derive(Debug)]
pub(super) struct CrossProjections {
    key: Linear,
    value: Linear,
}

impl CrossProjections {
    /// Of the scope `model.decoder.layers.K.encoder_attn` of a Whisper; keys have no bias.
    pub fn new(builder: &Builder, width: usize, init_std: f64) -> Result<Self> {
        let init = Init::Normal(init_std);
        Ok(Self {
            key: Linear::without_bias(&builder.scope("k_proj"), width, width, init)?,
            value: Linear::new(&builder.scope("v_proj"), width, width, init)?,
        })
    }
}

/// `projection_gating_factor SDPA(mix(q), pad(split(k')), pad(split(v')))`.
#[derive(Debug)]
pub(super) struct AudioAdapter {
    whisper: CrossProjections,
    rms_key: RmsNorm,
    rms_value: RmsNorm,
    /// Of keys, and of values where they have none of their own.
    key: Autoencoder,
    value: Option<Autoencoder>,
    mixing: QueryMixing,
    /// `(1)`, one at first.
    projection_gating_factor: Var,
    sizes: AudioSizes,
    heads: usize,
    head_dim: usize,
}

impl AudioAdapter {
    /// Below `builder`.
    pub fn new(
        builder: &Builder,
        sizes: &Sizes,
        audio: AudioSizes,
        whisper: CrossProjections,
    ) -> Result<Self> {
        let AudioSizes { width, inner, shared, .. } = audio;
        let norm = |name: &str| -> Result<RmsNorm> {
            let scale =
                builder.get(&format!("projection_rms_{name}.scale"), &[width], Init::Ones)?;
            Ok(RmsNorm::from_var(scale, sizes.rms_norm_eps))
        };
        Ok(Self {
            whisper,
            rms_key: norm("key")?,
            key: Autoencoder::new(builder, "key", width, inner)?,
            rms_value: norm("value")?,
            value: match shared {
                true => None,
                false => Some(Autoencoder::new(builder, "value", width, inner)?),
            },
            mixing: QueryMixing::new(builder, sizes.heads, sizes.head_dim)?,
            projection_gating_factor: builder.get("projection_gating_factor", &[1], Init::Ones)?,
            sizes: audio,
            heads: sizes.heads,
            head_dim: sizes.head_dim,
        })
    }

    /// Keys and values `(B, F, H, D)` of the encoder's `states` `(B, F, W)`, of which item `b` has
    /// `lengths[b]`; `None`: all have `F`. States behind a length are not read.
    pub fn keys_values(
        &self,
        ctx: &Context,
        states: &Tensor,
        lengths: Option<&[usize]>,
    ) -> tensor_core::Result<KeyValue> {
        let Some(lengths) = lengths else { return self.whole(ctx, states) };
        // The released split depends on the number of frames, so each item is split as it is alone.
        let frames = states.shape()[1];
        let mut items = Vec::with_capacity(lengths.len());
        for (b, &length) in lengths.iter().enumerate() {
            let item = states.narrow(0, b, 1)?.narrow(1, 0, length)?;
            items.push(self.whole(ctx, &item)?.extended_to(frames)?);
        }
        KeyValue::cat(&items)
    }

    /// Of items that have all frames.
    fn whole(&self, ctx: &Context, states: &Tensor) -> tensor_core::Result<KeyValue> {
        let to_heads = |projection: &Linear, norm: &RmsNorm, through: &Autoencoder| {
            let x = norm.forward(ctx, &projection.forward(ctx, states)?)?;
            let x = self.sizes.split.split(&through.forward(ctx, &x)?, self.sizes.heads)?;
            pad(&x, self.heads, self.head_dim)
        };
        let value = self.value.as_ref().unwrap_or(&self.key);
        Ok(KeyValue::new(
            to_heads(&self.whisper.key, &self.rms_key, &self.key)?,
            to_heads(&self.whisper.value, &self.rms_value, value)?,
        ))
    }

    /// What queries `(B, T, H, D)` find in the frames that `key_mask` `(B, F)` shows, gated.
    pub fn read(
        &self,
        ctx: &Context,
        query: &Tensor,
        memory: &KeyValue,
        key_mask: Option<&Tensor>,
    ) -> tensor_core::Result<Tensor> {
        let found = memory.read(&self.mixing.forward(ctx, query)?, key_mask)?;
        found.mul(&ctx.param(&self.projection_gating_factor))
    }
}
