//! Maps from the frames of a speech encoder to the vectors that a language model reads.
//!
//! | kind                | vectors                                                              |
//! |---------------------|----------------------------------------------------------------------|
//! | [`QFormer`]         | a few learned queries for each window                                |
//! | [`LinearProjector`] | `k` frames beside each other, two linear maps                        |
//! | [`Conv1dProjector`] | a convolution over `k` frames at every `k`-th, two linear maps       |
//!
//! All read frames `(B, F, E)` with the number of valid ones, and give vectors `(B, N, D)` likewise.
//! The last two are those of SLAM-LLM (Ma et al. 2024, arXiv:2402.08846): `EncoderProjectorConcat`
//! and `EncoderProjectorCov1d`.

mod config;
mod stacked;

use std::path::Path;

use tensor_core::{Context, DType, Tensor};

pub use config::StackedConfig;
pub use stacked::{Conv1dProjector, LinearProjector};

pub use crate::projected::Projected;

use crate::config::{Named, read};
use crate::error::{Result, ZooError};
use crate::q_former::QFormer;
use crate::weights::{LoadOptions, Parameters};

/// A projector of any kind.
#[derive(Debug, Clone)]
pub enum Projector {
    /// Learned queries.
    QFormer(QFormer),
    /// Frames beside each other.
    Linear(LinearProjector),
    /// A convolution.
    Conv1d(Conv1dProjector),
}

impl Projector {
    /// Opens a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the folder holds no projector,
    /// [`Io`](crate::ErrorKind::Io) or [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let named: Named = read(dir)?;
        Ok(match named.model_type.as_deref() {
            Some("window_q_former") => Self::QFormer(QFormer::open(dir, options)?),
            Some("linear_projector") => Self::Linear(LinearProjector::open(dir, options)?),
            Some("conv1d_projector") => Self::Conv1d(Conv1dProjector::open(dir, options)?),
            found => {
                let found = found.map_or_else(|| "absent".to_owned(), |name| format!("`{name}`"));
                let known = "`window_q_former`, `linear_projector` or `conv1d_projector`";
                let detail = format!("model_type is {found}, expected {known}");
                return Err(ZooError::config(
                    dir.join("config.json").display().to_string(),
                    detail,
                ));
            }
        })
    }

    /// Frames `(B, F, E)`, of which item `b` has `lengths[b]`, to vectors.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the frames have another shape or are too few, or
    /// there is not one length of at most `F` for each item.
    pub fn forward(&self, ctx: &Context, frames: &Tensor, lengths: &[usize]) -> Result<Projected> {
        match self {
            Self::QFormer(projector) => projector.forward(ctx, frames, lengths),
            Self::Linear(projector) => projector.forward(ctx, frames, lengths),
            Self::Conv1d(projector) => projector.forward(ctx, frames, lengths),
        }
    }

    /// Vectors that `frames` frames become.
    pub fn output_length(&self, frames: usize) -> usize {
        match self {
            Self::QFormer(projector) => projector.config.output_length(frames),
            Self::Linear(projector) => projector.config.output_length(frames),
            Self::Conv1d(projector) => projector.config.output_length(frames),
        }
    }

    /// Width of the vectors.
    pub fn output_size(&self) -> usize {
        match self {
            Self::QFormer(projector) => projector.config.output_size,
            Self::Linear(projector) => projector.config.output_size,
            Self::Conv1d(projector) => projector.config.output_size,
        }
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        match self {
            Self::QFormer(projector) => projector.parameters(),
            Self::Linear(projector) => projector.parameters(),
            Self::Conv1d(projector) => projector.parameters(),
        }
    }

    /// Writes `config.json` and `model.safetensors`. `dtype` converts the weights; `None` keeps
    /// them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        match self {
            Self::QFormer(projector) => projector.save(dir, dtype),
            Self::Linear(projector) => projector.save(dir, dtype),
            Self::Conv1d(projector) => projector.save(dir, dtype),
        }
    }
}
