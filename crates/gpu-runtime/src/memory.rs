//! Device memory: a pool, buffers that own, slices that borrow, and pinned host memory.

mod block;
pub(crate) mod buffer;
mod copy;
pub(crate) mod pinned;
pub(crate) mod pool;
pub(crate) mod slice;
