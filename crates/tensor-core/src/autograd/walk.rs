//! The backward walk.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::{Backward, Edge, Gradients, Node, Segment, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::Tensor;
use crate::var::Var;

impl Tensor {
    /// Gradients of this scalar with respect to every trainable leaf it depends on.
    ///
    /// The graph behind it is consumed.
    ///
    /// # Errors
    ///
    /// [`Shape`](ErrorKind::Shape) when this is not one element; [`Graph`](ErrorKind::Graph) when
    /// nothing upstream is trainable, or the graph was walked before.
    pub fn backward(&self) -> Result<Gradients> {
        if self.elem_count() != 1 {
            return Err(Error::shape(
                "backward",
                format!("shape is {:?}, expected one element", self.shape()),
            )
            .with_hint("reduce with sum_all, or pass a seed to backward_with"));
        }
        self.backward_with(&Tensor::ones(self.shape(), self.dtype(), self.device())?)
    }

    /// Gradients of `<seed, self>`; `seed` has this tensor's shape and dtype.
    pub fn backward_with(&self, seed: &Tensor) -> Result<Gradients> {
        if seed.shape() != self.shape() || seed.dtype() != self.dtype() {
            return Err(Error::shape(
                "backward",
                format!(
                    "seed is {:?} {}, expected {:?} {}",
                    seed.shape(),
                    seed.dtype(),
                    self.shape(),
                    self.dtype()
                ),
            ));
        }
        let edge = self.edge().ok_or_else(|| {
            Error::new(ErrorKind::Graph, "backward", "nothing upstream is trainable")
                .with_hint("was the forward pass run with Context::eval, or all of it frozen?")
        })?;
        let mut walk = Walk::default();
        walk.send(edge, seed.detach())?;
        walk.run()?;
        Ok(walk.gradients)
    }
}

/// A node waiting for its turn. Deepest first; among equals, first reached first.
struct Turn {
    node: Arc<Node>,
    order: usize,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.node.depth.cmp(&other.node.depth).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

#[derive(Default)]
struct Walk {
    gradients: Gradients,
    turns: BinaryHeap<Turn>,
    /// Gradient gathered so far at the output of each waiting node.
    arrived: HashMap<*const Node, Tensor>,
    reached: usize,
}

impl Walk {
    fn send(&mut self, edge: &Edge, grad: Tensor) -> Result<()> {
        match edge {
            Edge::Leaf(var) => self.gradients.add(var, grad),
            Edge::Node(node) => {
                let key = Arc::as_ptr(node);
                let sum = match self.arrived.remove(&key) {
                    Some(sum) => sum.accumulate(&grad)?,
                    None => {
                        self.turns.push(Turn { node: node.clone(), order: self.reached });
                        self.reached += 1;
                        grad
                    }
                };
                self.arrived.insert(key, sum);
                Ok(())
            }
        }
    }

    fn run(&mut self) -> Result<()> {
        while let Some(Turn { node, .. }) = self.turns.pop() {
            let grad = self
                .arrived
                .remove(&Arc::as_ptr(&node))
                .expect("a node gets its turn when its first gradient arrives");
            match node.take_work() {
                Some(Work::Operator(backward)) => self.operator(&node, backward, grad)?,
                Some(Work::Checkpoint { inputs, segment }) => {
                    self.checkpoint(&node, &inputs, &segment, &grad)?;
                }
                None => {
                    return Err(Error::new(
                        ErrorKind::Graph,
                        "backward",
                        "this graph was walked before and its saved tensors are freed",
                    )
                    .with_hint("run the forward pass again, or add the losses before one walk"));
                }
            }
        }
        Ok(())
    }

    fn operator(&mut self, node: &Node, backward: Box<dyn Backward>, grad: Tensor) -> Result<()> {
        let name = backward.name();
        let grads = backward.backward(&grad)?;
        drop(grad);
        if grads.len() != node.edges.len() {
            return Err(Error::new(
                ErrorKind::Graph,
                "backward",
                format!("`{name}` gave {} gradients, expected {}", grads.len(), node.edges.len()),
            )
            .with_hint("one entry an input, None where it has no gradient"));
        }
        for (edge, grad) in node.edges.iter().zip(grads) {
            if let (Some(edge), Some(grad)) = (edge, grad) {
                self.send(edge, grad)?;
            }
        }
        Ok(())
    }

    /// Runs the segment again, on inputs that are leaves of a graph of its own where they want a
    /// gradient, and walks that graph.
    fn checkpoint(
        &mut self,
        node: &Node,
        inputs: &[Tensor],
        segment: &Segment,
        grad: &Tensor,
    ) -> Result<()> {
        let leaves: Vec<Option<Var>> = inputs
            .iter()
            .zip(&node.edges)
            .map(|(input, edge)| edge.as_ref().map(|_| Var::new(input.clone())))
            .collect();
        let values: Vec<Tensor> = leaves
            .iter()
            .zip(inputs)
            .map(|(leaf, input)| leaf.as_ref().map_or_else(|| input.clone(), Var::tensor))
            .collect();
        let output = segment(&values)?;
        if !output.requires_grad() {
            return Ok(());
        }
        let mut inner = output.backward_with(grad)?;
        for (edge, leaf) in node.edges.iter().zip(&leaves) {
            if let (Some(edge), Some(leaf)) = (edge, leaf)
                && let Some(grad) = inner.remove(leaf)
            {
                self.send(edge, grad)?;
            }
        }
        self.gradients.accumulate(inner)
    }
}
