//! Work that was issued and failed later.

use crate::fault::Trouble;

/// Trouble of work that a thread issued and that failed later, with the thread's place.
#[derive(Debug)]
pub(crate) struct Late {
    /// The CTA of the cluster, and its warp.
    pub(crate) rank: usize,
    pub(crate) warp: usize,
    pub(crate) line: u32,
    pub(crate) trouble: Trouble,
}
