//! What goes into every projector of speech and what comes out: frames and vectors, with lengths.

use tensor_core::Tensor;

use crate::error::{Result, ZooError};

/// Vectors for a language model.
#[derive(Debug, Clone)]
pub struct Projected {
    /// `(B, N, D)`; those at and behind an item's length mean nothing.
    pub vectors: Tensor,
    /// Valid vectors of each item.
    pub lengths: Vec<usize>,
}

impl Projected {
    /// The valid vectors `(lengths[b], D)` of item `b`, for
    /// [`PromptPart::Vectors`](crate::llama::PromptPart::Vectors).
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is no such item.
    pub fn item(&self, b: usize) -> Result<Tensor> {
        let Some(&length) = self.lengths.get(b) else {
            let detail = format!("item {b}, expected below {}", self.lengths.len());
            return Err(ZooError::shape("projected", detail));
        };
        Ok(self.vectors.select(0, b)?.narrow(0, 0, length)?)
    }
}

/// Frames `(B, F, width)`, checked, with zeros from each item's length on: padding may hold NaN,
/// which would reach the gradients of weights as `0 * NaN`.
pub(crate) fn frames_of(
    place: &str,
    frames: &Tensor,
    lengths: &[usize],
    width: usize,
) -> Result<Tensor> {
    let (batch, time) = match frames.shape() {
        &[batch, time, found] if batch * time > 0 && found == width => (batch, time),
        shape => {
            let detail =
                format!("frames are {shape:?}, expected (B, F, {width}) of at least 1 by 1");
            return Err(ZooError::shape(place, detail));
        }
    };
    if lengths.len() != batch || lengths.iter().any(|&n| n > time) {
        let detail = format!("lengths are {lengths:?}, expected {batch} of at most {time}");
        return Err(ZooError::shape(place, detail));
    }
    if lengths.iter().all(|&n| n == time) {
        return Ok(frames.clone());
    }
    let beyond: Vec<u8> =
        lengths.iter().flat_map(|&n| (0..time).map(move |t| u8::from(t >= n))).collect();
    let mask = Tensor::from_vec(beyond, &[batch, time, 1], frames.device())?;
    Ok(frames.masked_fill(&mask.broadcast_to(frames.shape())?, 0.0)?)
}
