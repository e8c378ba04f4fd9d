//! Captures under way, and who stands where in them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::ThreadId;

use super::context::Context;
use super::operation::Node;
use crate::types::CUstream;

/// A capture under way.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) context: Arc<Context>,
    pub(crate) origin: CUstream,
    pub(crate) mode: u32,
    pub(crate) thread: ThreadId,
    /// An error has spoilt it; it can only be ended.
    pub(crate) broken: bool,
    pub(crate) nodes: Vec<Node>,
}

/// Where a stream, or an event, stands in a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) capture: u64,
    pub(crate) after: BTreeSet<usize>,
}
