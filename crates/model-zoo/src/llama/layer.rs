//! One layer: attention and a gated feed-forward part, with a norm before each.

use tensor_core::{Context, Tensor};

use super::config::LlamaConfig;
use crate::error::Result;
use crate::layers::{
    Activation, AttendingLayer, ExtraAttention, GroupedQueryAttention, KeyValue, KeyValueCache,
    Linear, RmsNorm, Rotation,
};
use crate::weights::{Builder, Init};

/// What all layers read in one pass beside the states.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a> {
    pub rotation: &'a Rotation,
    /// `(B, T)`, of all positions so far: hides some.
    pub key_mask: Option<&'a Tensor>,
    /// What heads attend to beside the text, and what that reads.
    pub extra: Option<(&'a dyn ExtraAttention, &'a [Tensor])>,
}

/// ```text
/// a = x + attention(RmsNorm(x))
/// y = a + W_down (act(W_gate n) * W_up n),   n = RmsNorm(a)
/// ```
#[derive(Debug)]
pub(super) struct LlamaLayer {
    index: usize,
    self_attn: GroupedQueryAttention,
    mlp: GatedMlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
}

impl LlamaLayer {
    /// The layer number `index`.
    pub(super) fn new(builder: &Builder, config: &LlamaConfig, index: usize) -> Result<Self> {
        let norm =
            |name| RmsNorm::new(&builder.scope(name), config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            index,
            self_attn: attention(&builder.scope("self_attn"), config)?,
            mlp: GatedMlp::new(&builder.scope("mlp"), config)?,
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
        })
    }

    /// Its attention.
    pub(super) fn attention(&self) -> &GroupedQueryAttention {
        &self.self_attn
    }

    /// States `(B, T, D)` to `(B, T, D)`.
    pub(super) fn forward(
        &self,
        ctx: &Context,
        x: &Tensor,
        shared: Shared<'_>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.input_layernorm.forward(ctx, x)?;
        let own = self.self_attn.keys_values(ctx, &normed, shared.rotation)?;
        self.rest(ctx, x, &normed, &own, shared)
    }

    /// As [`forward`](Self::forward) for the positions that `cached` has not seen, which it then
    /// has.
    pub(super) fn forward_cached(
        &self,
        ctx: &Context,
        x: &Tensor,
        cached: &mut KeyValueCache,
        shared: Shared<'_>,
    ) -> tensor_core::Result<Tensor> {
        let normed = self.input_layernorm.forward(ctx, x)?;
        let all = cached.append(self.self_attn.keys_values(ctx, &normed, shared.rotation)?)?;
        self.rest(ctx, x, &normed, &all, shared)
    }

    fn rest(
        &self,
        ctx: &Context,
        x: &Tensor,
        normed: &Tensor,
        memory: &KeyValue,
        Shared { rotation, key_mask, extra }: Shared<'_>,
    ) -> tensor_core::Result<Tensor> {
        let attention = &self.self_attn;
        let (query, mut found) = attention.attend(ctx, normed, memory, rotation, key_mask)?;
        if let Some((extra, inputs)) = extra {
            let layer = AttendingLayer { index: self.index, attention, inputs };
            found = extra.add_to(ctx, layer, &query, found)?;
        }
        let x = x.add(&attention.project(ctx, &found)?)?;
        let normed = self.post_attention_layernorm.forward(ctx, &x)?;
        x.add(&self.mlp.forward(ctx, &normed)?)
    }
}

/// The feed-forward part. Shazeer 2020, arXiv:2002.05202, equation 6.
#[derive(Debug)]
struct GatedMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    activation: Activation,
}

impl GatedMlp {
    fn new(builder: &Builder, config: &LlamaConfig) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let map = |name, extents| linear(builder, name, extents, config.mlp_bias, config);
        Ok(Self {
            gate_proj: map("gate_proj", [width, inner])?,
            up_proj: map("up_proj", [width, inner])?,
            down_proj: map("down_proj", [inner, width])?,
            activation: Activation::from_name(&config.hidden_act)?,
        })
    }

    fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let gate = self.activation.forward(&self.gate_proj.forward(ctx, x)?)?;
        self.down_proj.forward(ctx, &gate.mul(&self.up_proj.forward(ctx, x)?)?)
    }
}

fn attention(builder: &Builder, config: &LlamaConfig) -> Result<GroupedQueryAttention> {
    let (width, head_dim) = (config.hidden_size, config.head_dim());
    let (queries, keys) =
        (config.num_attention_heads * head_dim, config.num_key_value_heads() * head_dim);
    let map = |name, extents| linear(builder, name, extents, config.attention_bias, config);
    let projections = [
        map("q_proj", [width, queries])?,
        map("k_proj", [width, keys])?,
        map("v_proj", [width, keys])?,
        map("o_proj", [queries, width])?,
    ];
    Ok(GroupedQueryAttention::new(projections, head_dim, config.attention_dropout))
}

/// The map `name` of `[inputs, outputs]`, with a bias or without.
fn linear(
    builder: &Builder,
    name: &str,
    [inputs, outputs]: [usize; 2],
    bias: bool,
    config: &LlamaConfig,
) -> Result<Linear> {
    let (builder, init) = (builder.scope(name), Init::Normal(config.initializer_range));
    match bias {
        true => Linear::new(&builder, inputs, outputs, init),
        false => Linear::without_bias(&builder, inputs, outputs, init),
    }
}
