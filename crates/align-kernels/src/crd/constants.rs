//! What the scores against a bank are compared with.

/// Added to `K/M` in denominators.
const TINY: f64 = 1e-7;

/// Constants of a bank's loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Constants {
    /// `ln(Z c)`, which is taken off each score.
    pub shift: f32,
    /// What each negative adds, `ln(c M / K)`.
    pub excess: f64,
}

impl Constants {
    /// For `negatives` rows an anchor out of `n_data`, scores being over `z`.
    pub fn new(negatives: usize, n_data: usize, z: f64) -> Self {
        let ratio = negatives as f64 / n_data as f64;
        let c = ratio + TINY;
        Self { shift: (z.ln() + c.ln()) as f32, excess: (c / ratio).ln() }
    }
}

/// `M` times the mean exponential of all scores, from their sum. One that is not finite is used but
/// not kept: it must not decide for the batches that follow.
pub(crate) fn normaliser(sum: f64, scores: usize, n_data: usize, z: &mut f64) -> f64 {
    let fresh = sum / scores as f64 * n_data as f64;
    if fresh.is_finite() {
        *z = fresh;
    }
    fresh
}
