//! The objectives of the recipes, as functions of tensors.
//!
//! Each returns a sum over its items, so that a step of several micro-batches can divide by the
//! count over all of them. The arithmetic of the distillation losses is here until the alignment
//! kernels serve it; their callers see only these functions.

mod crd;
#[cfg(test)]
mod golden;
mod masking;
mod nst;

pub use crd::{BankDraw, MemoryBank, crd_in_batch, draw_tokens};
pub use masking::{IGNORED, MaskedTokens, mask_tokens};
pub use nst::{nst_gauss, nst_gram, nst_poly};
