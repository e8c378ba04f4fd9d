//! Layers one after another: hidden states, layer drop and recomputation.

use std::sync::Arc;

use tensor_core::{Context, Philox, Tensor};

use crate::error::Result;

/// The layers of an encoder or a decoder.
#[derive(Debug)]
pub(crate) struct LayerStack<L> {
    layers: Vec<Arc<L>>,
    /// Probability of skipping a layer in training.
    layerdrop: f64,
    gradient_checkpointing: bool,
}

impl<L> Clone for LayerStack<L> {
    fn clone(&self) -> Self {
        Self { layers: self.layers.clone(), ..*self }
    }
}

impl<L: Send + Sync + 'static> LayerStack<L> {
    /// `n_layers` layers, of which `make(k)` gives the `k`-th.
    pub fn new(n_layers: usize, layerdrop: f64, make: impl Fn(usize) -> Result<L>) -> Result<Self> {
        let layers = (0..n_layers).map(|k| make(k).map(Arc::new)).collect::<Result<_>>()?;
        Ok(Self { layers, layerdrop, gradient_checkpointing: false })
    }

    /// The layers, in order.
    pub fn iter(&self) -> impl Iterator<Item = &L> {
        self.layers.iter().map(|layer| &**layer)
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.gradient_checkpointing = on;
    }

    /// The state after all layers and, if `keep_states`, the state before each.
    ///
    /// `inputs` are the first state and whatever else all layers read, such as the memory of a
    /// decoder: gradients reach each of them. `run` computes one layer from the state before it
    /// and those others; what it captures is constant.
    pub fn forward(
        &self,
        ctx: &Context,
        mut inputs: Vec<Tensor>,
        keep_states: bool,
        run: impl Fn(&L, &Context, &[Tensor]) -> tensor_core::Result<Tensor>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> tensor_core::Result<(Tensor, Vec<Tensor>)> {
        let mut states = Vec::new();
        for layer in &self.layers {
            if keep_states {
                states.push(inputs[0].clone());
            }
            if self.skips(ctx) {
                continue;
            }
            inputs[0] = if self.gradient_checkpointing {
                let (layer, run) = (Arc::clone(layer), run.clone());
                let edges: Vec<&Tensor> = inputs.iter().collect();
                ctx.checkpoint(&edges, move |ctx, inputs| run(&layer, ctx, inputs))?
            } else {
                run(layer, ctx, &inputs)?
            };
        }
        Ok((inputs.swap_remove(0), states))
    }

    /// Whether this pass skips the layer about to run.
    fn skips(&self, ctx: &Context) -> bool {
        self.layerdrop > 0.0
            && ctx.dropout_key().is_some_and(|key| {
                f64::from(Philox::new(key.seed, key.stream).uniform()) < self.layerdrop
            })
    }
}
