//! What positions may see: masks and zeros from the valid lengths of a batch.

use tensor_core::{Device, Tensor};

/// `(B, T)`, U8, one before each length; `None` when every item is full.
pub(crate) fn length_mask(
    lengths: &[usize],
    time: usize,
    device: Device,
) -> tensor_core::Result<Option<Tensor>> {
    if lengths.iter().all(|&n| n == time) {
        return Ok(None);
    }
    let valid: Vec<u8> =
        lengths.iter().flat_map(|&n| (0..time).map(move |t| u8::from(t < n))).collect();
    Tensor::from_vec(valid, &[lengths.len(), time], device).map(Some)
}

/// `x` `(B, C, T)` with zeros from each item's length on; `None`: every item is full. A fill and
/// not a product, because padding may hold NaN.
pub(crate) fn zero_beyond(x: &Tensor, lengths: Option<&[usize]>) -> tensor_core::Result<Tensor> {
    let Some(lengths) = lengths else { return Ok(x.clone()) };
    let (batch, time) = (x.shape()[0], x.shape()[2]);
    let beyond: Vec<u8> =
        lengths.iter().flat_map(|&n| (0..time).map(move |t| u8::from(t >= n))).collect();
    let mask = Tensor::from_vec(beyond, &[batch, 1, time], x.device())?;
    x.masked_fill(&mask.broadcast_to(x.shape())?, 0.0)
}
