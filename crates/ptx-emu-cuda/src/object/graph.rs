//! Graphs: work that was recorded.

use super::operation::Node;
use crate::types::CUgraphNode;

/// A graph.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) handles: Vec<CUgraphNode>,
}
