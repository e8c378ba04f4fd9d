//! Tensors with reverse-mode gradients, fused operators and optimiser arithmetic.
//!
//! Eager: an operator runs when it is called, on a run-time [`DType`] and [`Device`]. Gradients
//! flow back over explicit nodes that own what they saved (see [`Backward`]). Nothing is global:
//! whether a pass records the graph, drops out or multiplies in bf16 is in the [`Context`] that
//! modules are given, and parallel loops run on the caller's rayon pool.
//!
//! ```
//! use tensor_core::{Device, Tensor, Var};
//!
//! # fn main() -> tensor_core::Result<()> {
//! let w = Var::new(Tensor::from_vec(vec![1.0f32, 2.0, 3.0], &[3], Device::Cpu)?);
//! let loss = w.tensor().sqr()?.sum_all()?;
//! let gradients = loss.backward()?;
//! let grad = gradients.get(&w).expect("the loss depends on w");
//! assert_eq!(grad.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
//! # Ok(())
//! # }
//! ```
//!
//! # Numerics
//!
//! bf16 and f16 are storage: operators widen to f32 inside and round once at the end, and the
//! bf16 matrix product accumulates in f32. [`Tensor::linear`] multiplies f32 inputs with bf16 and f16
//! weights as they are stored. Every reduction has a fixed order that depends on the
//! shape alone, so results have the same bits on any number of threads.

mod allocator;
mod autograd;
mod context;
mod cpu;
mod dtype;
mod error;
mod int8_weight;
mod ops;
mod optim;
mod philox;
mod safetensors_io;
mod shape;
mod storage;
mod tensor;
#[cfg(test)]
mod testing;
mod var;

pub use allocator::keep_freed_memory;
pub use autograd::{Backward, CustomOp, Gradients};
pub use context::Context;
pub use dtype::{DType, Element};
pub use error::{Error, ErrorKind, Result};
pub use int8_weight::Int8Weight;
pub use ops::{
    AttentionOptions, Conv1dOptions, CrossEntropyOptions, attention, cross_entropy, ctc_loss,
};
pub use optim::{AdamW, AdamWOptions};
pub use philox::{DropoutKey, Philox};
pub use safetensors_io::{SafeTensors, save_safetensors};
pub use storage::Device;
pub use tensor::{GrowingTensor, Tensor};
pub use var::{Var, VarId};
