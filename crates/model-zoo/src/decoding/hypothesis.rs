//! A continuation with its scores.

/// One way to continue an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// The new tokens: without the prompt and without the end token.
    pub ids: Vec<u32>,
    /// Whether an end token followed; false where the longest length cut it off.
    pub ended: bool,
    /// Sum of the log-probabilities of the new tokens, the end token's included.
    pub sum_logprob: f64,
    /// What the list is ordered by, larger is better; the strategy says how it is formed.
    pub score: f64,
}

impl Hypothesis {
    /// Number of tokens in [`sum_logprob`](Self::sum_logprob).
    pub fn n_scored(&self) -> usize {
        self.ids.len() + usize::from(self.ended)
    }

    /// Mean log-probability of a token; 0 of none.
    pub fn mean_logprob(&self) -> f64 {
        self.sum_logprob / self.n_scored().max(1) as f64
    }
}

/// `sum_logprob` made comparable between lengths.
///
/// ```text
/// sum / n                        without a penalty
/// sum / ((5 + n) / 6)^alpha      with length_penalty alpha
/// ```
///
/// `n` counts the tokens without the end token.
///
/// # Source
///
/// `MaximumLikelihoodRanker` of openai-whisper 20250625; the second form is equation 14 of Wu et
/// al. 2016, arXiv:1609.08144.
pub(super) fn length_normalized(
    sum_logprob: f64,
    n_tokens: usize,
    length_penalty: Option<f64>,
) -> f64 {
    match (length_penalty, n_tokens) {
        (Some(alpha), n) => sum_logprob / ((5.0 + n as f64) / 6.0).powf(alpha),
        // A mean of nothing: the worst of all, as openai-whisper forbids it altogether.
        (None, 0) => f64::NEG_INFINITY,
        (None, n) => sum_logprob / n as f64,
    }
}

/// Best first; equals keep their order.
pub(super) fn sort(hypotheses: &mut [Hypothesis]) {
    hypotheses.sort_by(|a, b| b.score.total_cmp(&a.score));
}
