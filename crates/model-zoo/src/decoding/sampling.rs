//! Drawing tokens at random.

use tensor_core::{Device, Philox, Tensor};

use crate::error::{Result, ZooError};

/// How tokens are drawn. The defaults draw one sample from the model's own distribution.
///
/// A list is ordered by the log-probability over the length, see
/// [`length_penalty`](Self::length_penalty); log-probabilities are the model's, with the rules and
/// without the temperature.
///
/// # Source
///
/// `TemperatureLogitsWarper`, `TopKLogitsWarper`, `TopPLogitsWarper` and `MinPLogitsWarper` of
/// `transformers` 5.23, applied in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; above 0.
    pub temperature: f64,
    /// Keeps the likeliest tokens, this many and those equal to the last; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest of the likeliest tokens that together have this probability; in `(0, 1]`.
    pub top_p: f64,
    /// Drops tokens below this share of the likeliest one's probability; in `[0, 1)`.
    pub min_p: f64,
    /// Samples of each item, 1 to 2^20.
    pub num_return_sequences: usize,
    /// With `alpha`, scores are `sum / ((5 + n) / 6)^alpha`, else `sum / n`.
    pub length_penalty: Option<f64>,
    /// Seed of all draws. Each sample of each item reads a stream of its own.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            num_return_sequences: 1,
            length_penalty: None,
            seed: 0,
        }
    }
}

impl Sampling {
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |name: &str, got: f64, expected: &str| {
            let detail = format!("{name} is {got}, expected {expected}");
            Err(ZooError::option("sampling", detail))
        };
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", self.temperature, "above 0");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", self.top_p, "above 0, at most 1");
        }
        if !(0.0..1.0).contains(&self.min_p) {
            return refuse("min_p", self.min_p, "at least 0, under 1");
        }
        if !(1..=1 << 20).contains(&self.num_return_sequences) {
            let got = self.num_return_sequences as f64;
            return refuse("num_return_sequences", got, "1 to 1048576");
        }
        Ok(())
    }

    /// Probabilities `(rows, V)` that tokens are drawn with, given scores of the same shape, of
    /// which every row has a finite one.
    pub(super) fn probabilities(&self, scores: &[f32], vocab_size: usize) -> Result<Vec<f32>> {
        let inverse = (1.0 / self.temperature) as f32;
        let mut scaled: Vec<f32> = scores.iter().map(|score| score * inverse).collect();
        if self.top_k > 0 && self.top_k < vocab_size {
            for row in scaled.chunks_mut(vocab_size) {
                keep_top_k(row, self.top_k);
            }
        }
        let mut weights = softmax(scaled, vocab_size)?;
        if self.top_p < 1.0 || self.min_p > 0.0 {
            for row in weights.chunks_mut(vocab_size) {
                keep_likely(row, self.top_p, self.min_p);
            }
        }
        Ok(weights)
    }
}

fn softmax(scores: Vec<f32>, vocab_size: usize) -> Result<Vec<f32>> {
    let shape = [scores.len() / vocab_size, vocab_size];
    Ok(Tensor::from_vec(scores, &shape, Device::Cpu)?.softmax()?.to_vec::<f32>()?)
}

fn keep_top_k(scores: &mut [f32], top_k: usize) {
    let mut sorted = scores.to_vec();
    let (_, &mut last, _) = sorted.select_nth_unstable_by(top_k - 1, |a, b| b.total_cmp(a));
    for score in scores.iter_mut().filter(|score| **score < last) {
        *score = f32::NEG_INFINITY;
    }
}

/// Drops the tail beyond `top_p`, then what is under `min_p` of the largest. What is left is not
/// normalised again: shares decide both rules, and drawing needs none.
fn keep_likely(weights: &mut [f32], top_p: f64, min_p: f64) {
    let mut order: Vec<usize> = (0..weights.len()).filter(|&k| weights[k] > 0.0).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let least = order.first().map_or(0.0, |&k| f64::from(weights[k]) * min_p);
    let total: f64 = order.iter().map(|&k| f64::from(weights[k])).sum();
    let mut before = 0.0;
    for (rank, &k) in order.iter().enumerate() {
        let weight = f64::from(weights[k]);
        if rank > 0 && (before >= top_p * total || weight < least) {
            weights[k] = 0.0;
        }
        before += weight;
    }
}

/// A place with the probability of its share of the sum.
pub(super) fn draw(weights: &[f32], random: &mut Philox) -> u32 {
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let mut left = f64::from(random.next_u32()) / 4_294_967_296.0 * total;
    let mut last = 0;
    for (place, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        left -= f64::from(weight);
        last = place;
        if left < 0.0 {
            break;
        }
    }
    last as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sampling: &Sampling) -> Vec<usize> {
        // Probabilities 0.4, 0.3, 0.2, 0.1 in another order, and a token that a rule forbids.
        let scores = [0.1f32.ln(), 0.4f32.ln(), f32::NEG_INFINITY, 0.2f32.ln(), 0.3f32.ln()];
        let weights = sampling.probabilities(&scores, 5).unwrap();
        (0..5).filter(|&k| weights[k] > 0.0).collect()
    }

    #[test]
    fn filters_keep_the_likeliest() {
        let default = Sampling::default();
        assert_eq!(kept(&default), [0, 1, 3, 4]);
        assert_eq!(kept(&Sampling { top_k: 2, ..default.clone() }), [1, 4]);
        assert_eq!(kept(&Sampling { top_p: 0.65, ..default.clone() }), [1, 4]);
        assert_eq!(kept(&Sampling { top_p: 0.75, ..default.clone() }), [1, 3, 4]);
        assert_eq!(kept(&Sampling { top_p: 1e-9, ..default.clone() }), [1]);
        assert_eq!(kept(&Sampling { min_p: 0.6, ..default.clone() }), [1, 4]);
        // Among the two likeliest the shares are 4/7 and 3/7.
        assert_eq!(kept(&Sampling { top_k: 2, top_p: 0.5, ..default.clone() }), [1]);
        // Squared, the shares are 16, 9, 4 and 1 of 30.
        assert_eq!(kept(&Sampling { temperature: 0.5, top_p: 0.8, ..default }), [1, 4]);
    }

    #[test]
    fn draws_follow_the_weights() {
        let weights = [0.0f32, 0.5, 0.0, 1.5, 2.0];
        let mut random = Philox::new(3, 4);
        let n = 20_000;
        let mut counts = [0; 5];
        for _ in 0..n {
            counts[draw(&weights, &mut random) as usize] += 1;
        }
        assert_eq!((counts[0], counts[2]), (0, 0));
        for (count, weight) in counts.iter().zip(weights) {
            // Five standard deviations of a share of at most one half.
            let share = f64::from(*count) / f64::from(n);
            assert!((share - f64::from(weight) / 4.0).abs() < 5.0 * 0.0036, "{counts:?}");
        }
    }

    #[test]
    fn options_out_of_range_are_named() {
        let text = |sampling: Sampling| sampling.check().unwrap_err().to_string();
        let default = Sampling::default;
        assert_eq!(
            text(Sampling { temperature: 0.0, ..default() }),
            "sampling: temperature is 0, expected above 0"
        );
        assert_eq!(
            text(Sampling { top_p: 0.0, ..default() }),
            "sampling: top_p is 0, expected above 0, at most 1"
        );
        assert_eq!(
            text(Sampling { min_p: 1.0, ..default() }),
            "sampling: min_p is 1, expected at least 0, under 1"
        );
        assert!(text(Sampling { num_return_sequences: 0, ..default() }).contains("is 0, expected"));
    }
}
