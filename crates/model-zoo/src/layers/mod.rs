//! The layers that all models are made of.
//!
//! A layer holds [`Var`](tensor_core::Var)s and nothing else that changes; what kind of pass it
//! is comes with the [`Context`](tensor_core::Context). Cloning a layer shares its parameters.
//! Layers trust their caller for shapes and pass on the operators' errors.

mod activation;
mod attention;
mod conv1d;
mod embedding;
mod extra_attention;
mod grouped_query_attention;
mod key_value_cache;
mod layer_norm;
mod linear;
mod padding;
mod rms_norm;
mod rotary;
mod rows;
mod stack;

pub(crate) use activation::Activation;
pub(crate) use attention::{KeyValue, MultiHeadAttention, Sight};
pub(crate) use conv1d::Conv1d;
pub(crate) use embedding::Embedding;
pub(crate) use extra_attention::{AttendingLayer, ExtraAttention};
pub(crate) use grouped_query_attention::GroupedQueryAttention;
pub(crate) use key_value_cache::KeyValueCache;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
pub(crate) use padding::{length_mask, zero_beyond};
pub(crate) use rms_norm::RmsNorm;
pub(crate) use rotary::{RopeScaling, Rotary, Rotation};
pub(crate) use rows::rows_at;
pub(crate) use stack::LayerStack;
