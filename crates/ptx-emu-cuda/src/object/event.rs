//! Events: moments in the order of a stream's work.

use std::sync::Arc;
use std::time::Instant;

use super::capture::Tail;
use super::context::Context;

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) context: Arc<Context>,
    pub(crate) timed: bool,
    pub(crate) moment: Moment,
}

/// When an event was recorded.
#[derive(Debug, Clone)]
pub(crate) enum Moment {
    Never,
    At(Instant),
    /// In a capture, where it stands for the nodes before it.
    InCapture(Tail),
}
