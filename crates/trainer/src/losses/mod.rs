//! The objectives of the recipes, as functions of tensors.
//!
//! Each returns a sum over its items, so that a step of several micro-batches can divide by the
//! count over all of them. The arithmetic of the distillation losses is here until the alignment
//! kernels serve it; their callers see only these functions.

mod crd;
#[cfg(test)]
mod golden;
mod masking;
mod memory_bank;
mod nst;
mod scaled;

pub use crd::{crd_in_batch, draw_tokens};
pub use masking::{IGNORED, MaskedTokens, mask_tokens};
pub use memory_bank::{MemoryBank, draw_rows};
pub use nst::{nst_gauss, nst_gram, nst_poly};

use tensor_core::{Error, Result, Tensor};

/// Checks states of tokens `(N, D)`, vectors of clips `(C, D')` and the clip of each token.
fn check_tokens(op: &str, student: &Tensor, teacher: &Tensor, clip_of: &[usize]) -> Result<()> {
    for (name, x) in [("student", student), ("teacher", teacher)] {
        if x.rank() != 2 || x.shape()[1] == 0 {
            let text = format!("{name} is {:?}, expected (rows, 1 or more dimensions)", x.shape());
            return Err(Error::shape(op, text));
        }
    }
    let (tokens, clips) = (student.shape()[0], teacher.shape()[0]);
    if clip_of.len() != tokens {
        let text = format!("clips of {} tokens, expected {tokens}", clip_of.len());
        return Err(Error::shape(op, text));
    }
    match clip_of.iter().find(|&&clip| clip >= clips) {
        Some(clip) => {
            Err(Error::shape(op, format!("a token of clip {clip}, expected below {clips}")))
        }
        None => Ok(()),
    }
}
