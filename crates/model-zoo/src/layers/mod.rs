//! The layers that both models are made of.
//!
//! A layer holds [`Var`](tensor_core::Var)s and nothing else that changes; what kind of pass it
//! is comes with the [`Context`](tensor_core::Context). Cloning a layer shares its parameters.
//! Layers trust their caller for shapes and pass on the operators' errors.

mod activation;
mod attention;
mod conv1d;
mod embedding;
mod layer_norm;
mod linear;

pub use activation::Activation;
pub use attention::{KeyValue, MultiHeadAttention};
pub use conv1d::Conv1d;
pub use embedding::Embedding;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
