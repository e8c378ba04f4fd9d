//! Best-path decoding.

use super::emission::Emission;
use crate::error::Result;

/// The labelling of the likeliest path: the best label of every frame, repeats merged, blanks
/// dropped. Of equal labels the first wins.
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) when `blank` is no label.
///
/// # Source
///
/// Graves et al. 2006, equation 4.
pub fn greedy(emission: &Emission, blank: u32) -> Result<Vec<u32>> {
    emission.check_blank("ctc greedy", blank)?;
    let mut path: Vec<u32> = emission
        .frames()
        .map(|frame| {
            let first_best = |best: usize, k: usize| if frame[k] > frame[best] { k } else { best };
            (0..frame.len()).fold(0, first_best) as u32
        })
        .collect();
    path.dedup();
    path.retain(|&label| label != blank);
    Ok(path)
}
