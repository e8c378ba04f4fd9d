//! How a forward pass runs: passed to every module, so that no mode is global.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::autograd::{Edge, Node, Work};
use crate::dtype::DType;
use crate::error::Result;
use crate::philox::{DropoutKey, Philox};
use crate::tensor::Tensor;
use crate::var::Var;

/// Whether to record the graph, whether to drop out, and in which dtype to multiply matrices.
///
/// Clones share the dropout counter: two layers of one pass never draw the same mask.
#[derive(Debug, Clone)]
pub struct Context {
    graph: bool,
    training: bool,
    compute: Option<DType>,
    seed: u64,
    next_stream: Arc<AtomicU64>,
}

impl Context {
    /// No graph and no dropout.
    pub fn eval() -> Self {
        Self { graph: false, training: false, ..Self::train(0, 0) }
    }

    /// Records the graph without dropout, as gradient checks and frozen statistics want it.
    pub fn grad() -> Self {
        Self { training: false, ..Self::train(0, 0) }
    }

    /// Records the graph and drops out; masks are a pure function of `seed` and `step`.
    pub fn train(seed: u64, step: u64) -> Self {
        Self {
            graph: true,
            training: true,
            compute: None,
            seed: mix(seed, step),
            next_stream: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Multiplies matrices in `dtype`; parameters stay in their own, and reductions in f32.
    pub fn with_autocast(mut self, dtype: DType) -> Self {
        self.compute = Some(dtype).filter(|&dtype| dtype != DType::F32);
        self
    }

    /// The same compute dtype without graph and dropout: for what a loss takes as given.
    pub fn constant(&self) -> Self {
        Self { graph: false, training: false, ..self.clone() }
    }

    /// Whether dropout is on.
    pub fn training(&self) -> bool {
        self.training
    }

    /// Whether parameters join the graph.
    pub fn records_graph(&self) -> bool {
        self.graph
    }

    /// The parameter as a leaf of this pass, in its own dtype.
    pub fn param(&self, var: &Var) -> Tensor {
        if self.graph { var.tensor() } else { var.value() }
    }

    /// The parameter as an operand of a matrix product.
    pub fn weight(&self, var: &Var) -> Result<Tensor> {
        self.cast(&self.param(var))
    }

    /// `x` in the compute dtype, when the policy has one and `x` is f32, or a weight stored in f16.
    pub fn cast(&self, x: &Tensor) -> Result<Tensor> {
        match self.compute {
            Some(dtype) if matches!(x.dtype(), DType::F32 | DType::F16) => x.to_dtype(dtype),
            _ => Ok(x.clone()),
        }
    }

    /// Zeroes elements with probability `p` and scales the rest by `1 / (1 - p)`, in training.
    ///
    /// # Errors
    ///
    /// As [`Tensor::dropout`], in training.
    pub fn dropout(&self, x: &Tensor, p: f64) -> Result<Tensor> {
        match self.dropout_key() {
            Some(key) => x.dropout(p, key),
            None => Ok(x.clone()),
        }
    }

    /// A fresh key for one dropout mask; `None` outside training.
    pub fn dropout_key(&self) -> Option<DropoutKey> {
        self.training.then(|| DropoutKey {
            seed: self.seed,
            stream: self.next_stream.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Runs `segment` without keeping its activations; the backward walk runs it again.
    ///
    /// Both runs see the same dropout masks. `segment` must be a pure function of its inputs and
    /// of the parameters it captures.
    pub fn checkpoint(
        &self,
        inputs: &[&Tensor],
        segment: impl Fn(&Context, &[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Tensor> {
        // The segment counts its masks from zero under a seed of its own, so that it draws the
        // same ones whenever it runs.
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let base = Context { seed: mix(self.seed, !stream), ..self.clone() };
        let at = move |graph: bool| Context {
            graph,
            next_stream: Arc::new(AtomicU64::new(0)),
            ..base.clone()
        };
        if !self.graph {
            let values: Vec<Tensor> = inputs.iter().map(|&input| input.clone()).collect();
            return segment(&at(false), &values);
        }
        let kept: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
        let output = segment(&at(false), &kept)?;
        let edges = inputs.iter().map(|input| input.edge().cloned()).collect();
        let work = Work::Checkpoint {
            inputs: kept,
            segment: Box::new(move |values| segment(&at(true), values)),
        };
        Ok(output.with_edge(Edge::Node(Node::new(edges, work))))
    }
}

/// A well-mixed seed from two numbers: one Philox block.
fn mix(seed: u64, stream: u64) -> u64 {
    let mut rng = Philox::new(seed, stream);
    (u64::from(rng.next_u32()) << 32) | u64::from(rng.next_u32())
}

#[cfg(test)]
mod tests;
