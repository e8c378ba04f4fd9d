//! Streams: names for an order of work.

use std::ffi::c_int;
use std::sync::Arc;

use super::capture::Tail;
use super::context::Context;

/// The number of the most urgent priority; the least is 0.
pub(crate) const GREATEST_PRIORITY: c_int = -5;

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) context: Arc<Context>,
    pub(crate) non_blocking: bool,
    pub(crate) tail: Option<Tail>,
    pub(crate) priority: c_int,
}
