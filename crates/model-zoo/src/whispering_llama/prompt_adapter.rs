//! Attention to learned rows.

use tensor_core::{Context, Tensor, Var};

use super::sizes::Sizes;
use crate::error::Result;
use crate::layers::{GroupedQueryAttention, KeyValue, RmsNorm};
use crate::weights::{Builder, Init, Parameters};

/// `gating_factor SDPA(q, K(n), V(n))`, where `n` is `RmsNorm(M)`, or `M` where no audio is heard,
/// and `K` and `V` are the frozen projections of the layer.
#[derive(Debug)]
pub(super) struct PromptAdapter {
    /// `M`, `(P, W)`, drawn from the normal distribution of variance 1.
    adapter_wte: Var,
    /// `(1)`, zero at first: a fresh adapter adds nothing.
    gating_factor: Var,
    /// Its scale is not trained, in the released code by its name alone.
    rms_gate: Option<RmsNorm>,
}

impl PromptAdapter {
    /// Below `builder`; what is not trained goes to `frozen`, under the name of `scope`.
    pub fn new(
        builder: &Builder,
        sizes: &Sizes,
        scope: &str,
        frozen: &mut Parameters,
    ) -> Result<Self> {
        let shape = [sizes.prompt_length, sizes.hidden_size];
        let adapter_wte = builder.get("adapter_wte.weight", &shape, Init::Normal(1.0))?;
        let gating_factor = builder.get("gating_factor", &[1], Init::Zeros)?;
        let rms_gate = match sizes.audio {
            Some(_) => {
                let like = adapter_wte.value();
                let ones = Tensor::ones(&[sizes.hidden_size], like.dtype(), like.device())?;
                let scale = Var::new(ones);
                scale.set_trainable(false);
                frozen.insert(format!("{scope}.rms_gate.scale"), scale.clone())?;
                Some(RmsNorm::from_var(scale, sizes.rms_norm_eps))
            }
            None => None,
        };
        Ok(Self { adapter_wte, gating_factor, rms_gate })
    }

    /// Keys and values of `M`, `(1, P, Hkv, D)`, at no position.
    pub fn keys_values(
        &self,
        ctx: &Context,
        attention: &GroupedQueryAttention,
    ) -> tensor_core::Result<KeyValue> {
        let rows = ctx.param(&self.adapter_wte).unsqueeze(0)?;
        let rows = match &self.rms_gate {
            Some(norm) => norm.forward(ctx, &rows)?,
            None => rows,
        };
        attention.unrotated_keys_values(ctx, &rows)
    }

    /// What queries `(B, T, H, D)` find in `memory`, gated.
    pub fn read(
        &self,
        ctx: &Context,
        query: &Tensor,
        memory: &KeyValue,
    ) -> tensor_core::Result<Tensor> {
        let found = memory.shared_by(query.shape()[0])?.read(query, None)?;
        found.mul(&ctx.param(&self.gating_factor))
    }
}
