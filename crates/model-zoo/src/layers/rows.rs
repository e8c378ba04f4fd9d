//! Chosen positions of a batch, so that a head need not score all of them.

use tensor_core::Tensor;

use crate::error::{Result, ZooError};

/// States `(N, D)` at `positions`, each `b * T + t`, of `hidden_states` `(B, T, D)`.
pub(crate) fn rows_at(place: &str, hidden_states: &Tensor, positions: &[usize]) -> Result<Tensor> {
    let &[batch, tokens, width] = hidden_states.shape() else {
        let detail = format!("hidden_states is {:?}, expected (B, T, D)", hidden_states.shape());
        return Err(ZooError::shape(place, detail));
    };
    let rows = batch * tokens;
    if positions.is_empty() {
        return Err(ZooError::shape(place, "0 positions, expected at least 1"));
    }
    if let Some(at) = positions.iter().find(|&&at| at >= rows) {
        let detail = format!("position {at}, expected below B * T = {batch} * {tokens}");
        return Err(ZooError::shape(place, detail));
    }
    let index: Vec<i64> = positions.iter().map(|&at| at as i64).collect();
    let index = Tensor::from_vec(index, &[positions.len()], hidden_states.device())?;
    Ok(hidden_states.reshape(&[rows, width])?.index_select(0, &index)?)
}
