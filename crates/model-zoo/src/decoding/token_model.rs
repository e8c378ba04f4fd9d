//! What decoding asks of a model.

use tensor_core::{Context, DType, Tensor};

use crate::error::{Result, ZooError};

/// A decoder with its cache: what continues rows of tokens.
///
/// A model begins with one row for each item, such as an utterance or a prompt; what an item is,
/// it was told when it was made. Rows never see each other: what follows one does not depend on
/// the others.
pub trait TokenModel {
    /// Feeds every row the tokens `ids` that it has not seen, all rows equally many and at least
    /// one, and returns the logits of what follows the last of them.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the number of rows is not the model's, their
    /// widths differ, or the model has no positions left.
    fn next(&mut self, ctx: &Context, ids: &[Vec<u32>]) -> Result<Logits>;

    /// Keeps `rows` of the cache, in that order; one may be named several times, as the beams of
    /// an item are, and those not named are gone.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when a row does not exist.
    fn select(&mut self, rows: &[usize]) -> Result<()>;
}

/// Scores of the whole vocabulary for each row, not normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// `(rows, V)`, row by row.
    pub values: Vec<f32>,
    /// Number of tokens `V`, at least one.
    pub vocab_size: usize,
}

impl Logits {
    /// Of a tensor `(rows, V)` of any float dtype.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when it has another rank or no tokens.
    pub fn from_tensor(logits: &Tensor) -> Result<Self> {
        match *logits.shape() {
            [_, vocab_size] if vocab_size > 0 => {
                Ok(Self { values: logits.to_dtype(DType::F32)?.to_vec::<f32>()?, vocab_size })
            }
            _ => {
                let detail = format!("logits are {:?}, expected (rows, V)", logits.shape());
                Err(ZooError::shape("decoding", detail))
            }
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocab_size
    }

    /// The scores of one row, `(V,)`.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.vocab_size..][..self.vocab_size]
    }
}
