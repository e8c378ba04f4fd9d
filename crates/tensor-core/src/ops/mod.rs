//! Operators: methods of [`Tensor`](crate::Tensor) that join kernels to the gradient graph.

mod activation;
mod attention;
mod binary;
mod cast;
mod compare;
mod conv;
mod cross_entropy;
mod ctc;
mod dropout;
mod index;
mod join;
mod linear_int8;
mod matmul;
mod norm;
mod pointwise;
mod promote;
mod reduce;
mod rotary;
mod softmax;
mod view;

pub use attention::{AttentionOptions, attention};
pub use conv::Conv1dOptions;
pub use cross_entropy::{CrossEntropyOptions, cross_entropy};
pub use ctc::ctc_loss;
pub(crate) use reduce::sum_of_squares;
