//! The forms in which weights are kept.

use tensor_core::DType;

/// The form in which a folder's weights are kept. What is computed with them stays f32, unless the
/// [`Context`](tensor_core::Context) says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightForm {
    /// In one dtype, whatever the file holds, in memory of their own. Training needs f32.
    DType(DType),
    /// As the file holds them, and in the mapped file where they are aligned there: memory is that of
    /// the file, and linear layers multiply with bf16 and f16 weights without an f32 copy. The file
    /// may be replaced by rename meanwhile, but not be written to.
    AsStored,
    /// The weights of linear layers in 8 bits ([`Int8Weight`](tensor_core::Int8Weight)), all else as stored: a quarter of f32,
    /// half of bf16, for inference. Such a model can neither train these weights nor be saved.
    Int8,
}
