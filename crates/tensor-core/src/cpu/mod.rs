//! CPU kernels: pure functions on contiguous slices, without tensors or graphs.
//!
//! Work is cut into chunks whose borders depend on the shape alone, and partial sums are combined
//! in chunk order, so a result has the same bits on any number of threads.

pub(crate) mod activation;
pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod conv;
pub(crate) mod cross_entropy;
pub(crate) mod ctc;
pub(crate) mod norm;
pub(crate) mod reduce;
pub(crate) mod rotary;
pub(crate) mod softmax;
pub(crate) mod strided;
