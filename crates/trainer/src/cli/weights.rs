//! `--weights`: the form in which a folder's weights are kept.

use model_zoo::{LoadOptions, WeightForm};
use tensor_core::DType;

/// The form in which weights are kept; what is computed with them is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Weights {
    /// As the file holds them, in the mapped file.
    Stored,
    /// In f32, in memory of their own.
    F32,
    /// Linear layers in 8 bits, all else as stored.
    Int8,
}

impl Weights {
    pub(super) fn form(self) -> WeightForm {
        match self {
            Self::Stored => WeightForm::AsStored,
            Self::F32 => WeightForm::DType(DType::F32),
            Self::Int8 => WeightForm::Int8,
        }
    }

    pub(super) fn load_options(self) -> LoadOptions {
        LoadOptions { weights: self.form(), ..LoadOptions::default() }
    }
}
