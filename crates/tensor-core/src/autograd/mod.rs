//! Reverse-mode gradients over explicit operator nodes.
//!
//! Each differentiable operator attaches a [`Node`] to its output: the edges to its inputs' nodes
//! and a boxed [`Backward`] that owns the tensors it saved. The walk takes that box out of the
//! node and consumes it, so saved tensors are freed as the walk passes them, and a graph can be
//! walked once.

mod gradients;
mod walk;

use std::sync::{Arc, Mutex, PoisonError};

pub use gradients::Gradients;

use crate::error::Result;
use crate::tensor::Tensor;
use crate::var::Var;

/// The derivative of one operator application, with what it saved for it.
pub trait Backward: Send + Sync {
    /// Operator name, for errors.
    fn name(&self) -> &'static str;

    /// Gradients with respect to the inputs, in their order; `None` for one without a gradient.
    ///
    /// `grad` has the shape and dtype of the output, each result those of its input. The box is
    /// consumed, so what it saved is freed on return.
    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>>;
}

/// An operator from outside this crate that joins the graph: losses and fused kernels.
///
/// `forward` returns the output together with its derivative, so that a kernel which computes
/// both at once keeps the gradient in the returned box.
pub trait CustomOp: Send + Sync {
    /// Operator name, for errors.
    fn name(&self) -> &'static str;

    /// The output for `inputs` (detached from the graph) and the derivative there.
    fn forward(&self, inputs: &[&Tensor]) -> Result<(Tensor, Box<dyn Backward>)>;
}

impl Tensor {
    /// Applies an operator defined outside this crate.
    pub fn apply(op: &dyn CustomOp, inputs: &[&Tensor]) -> Result<Tensor> {
        let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
        let (output, derivative) = op.forward(&detached.iter().collect::<Vec<_>>())?;
        Ok(output.detach().with_node(inputs, || derivative))
    }
}

/// Where the gradient of a tensor goes next.
#[derive(Clone)]
pub(crate) enum Edge {
    /// The tensor is the value of a trainable leaf.
    Leaf(Var),
    /// The tensor is the output of an operator.
    Node(Arc<Node>),
}

/// Re-runs a checkpointed segment on given inputs, recording the graph this time.
pub(crate) type Segment = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;

/// What a node does when the walk reaches it.
pub(crate) enum Work {
    /// One operator.
    Operator(Box<dyn Backward>),
    /// A segment whose activations were not kept.
    Checkpoint { inputs: Vec<Tensor>, segment: Segment },
}

/// One step of the graph.
pub(crate) struct Node {
    /// One more than the deepest input: walking by falling depth visits consumers first.
    depth: usize,
    edges: Vec<Option<Edge>>,
    /// `None` once the walk has passed.
    work: Mutex<Option<Work>>,
}

impl Node {
    pub(crate) fn operator(edges: Vec<Option<Edge>>, backward: Box<dyn Backward>) -> Arc<Self> {
        Self::new(edges, Work::Operator(backward))
    }

    pub(crate) fn new(edges: Vec<Option<Edge>>, work: Work) -> Arc<Self> {
        let depth = edges
            .iter()
            .flatten()
            .map(|edge| match edge {
                Edge::Leaf(_) => 0,
                Edge::Node(node) => node.depth,
            })
            .max();
        Arc::new(Self { depth: 1 + depth.unwrap_or(0), edges, work: Mutex::new(Some(work)) })
    }

    fn take_work(&self) -> Option<Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Node {
    /// Unlinks the graph in a loop: the default recursion overflows the stack on deep graphs.
    fn drop(&mut self) {
        let mut pending: Vec<Option<Edge>> = std::mem::take(&mut self.edges);
        while let Some(edge) = pending.pop() {
            if let Some(Edge::Node(node)) = edge
                && let Some(mut node) = Arc::into_inner(node)
            {
                pending.append(&mut node.edges);
            }
        }
    }
}

#[cfg(test)]
mod tests;
