//! Connectionist temporal classification: the sum over all alignments of a label sequence.
//!
//! The lattice of one item has a row per frame and a state per symbol of the label sequence with
//! blanks in between (`S = 2 U + 1`). `alpha` sums the ways into a state, its emission included;
//! `beta` the ways out of it, its emission excluded, so that `alpha + beta - ln p` is the log
//! occupancy. Everything inside the lattice is in f64 and in the log domain.

use rayon::prelude::*;

use cpu_math::real::Real;

/// A batch of lattices over `(B, T, V)` logits.
pub(crate) struct CtcProblem<'a, T> {
    /// `(B, T, V)`, unnormalised. Frames at or after the item's length are never read.
    pub(crate) logits: &'a [T],
    pub(crate) n_frames: usize,
    pub(crate) vocab: usize,
    /// `(B,)`: valid frames of each item.
    pub(crate) logit_lengths: &'a [usize],
    /// `B` label sequences without blanks.
    pub(crate) targets: &'a [Vec<u32>],
    pub(crate) blank: usize,
    /// Items without any alignment count as zero instead of infinity.
    pub(crate) zero_infinity: bool,
}

impl<T: Real> CtcProblem<'_, T> {
    /// `(B,)` negative log-likelihoods, in nats.
    pub(crate) fn losses(&self) -> Vec<f64> {
        (0..self.targets.len())
            .into_par_iter()
            .map(|b| match self.lattice(b).loss() {
                loss if loss == f64::INFINITY && self.zero_infinity => 0.0,
                loss => loss,
            })
            .collect()
    }

    /// `(B, T, V)` gradient of `sum_b loss_grads[b] * losses[b]` with respect to the logits.
    pub(crate) fn logit_grads(&self, loss_grads: &[f64]) -> Vec<T> {
        let mut grads = vec![T::ZERO; self.logits.len()];
        let item = self.n_frames * self.vocab;
        if item > 0 {
            grads
                .par_chunks_mut(item)
                .enumerate()
                .for_each(|(b, grad)| self.item_grads(b, loss_grads[b], grad));
        }
        grads
    }

    fn item_grads(&self, b: usize, loss_grad: f64, grads: &mut [T]) {
        let lattice = self.lattice(b);
        let loss = lattice.loss();
        let len = self.logit_lengths[b];
        if loss == f64::INFINITY {
            // No alignment exists, so no direction reduces the loss: undefined unless asked away.
            let fill = if self.zero_infinity { 0.0 } else { f64::NAN };
            grads[..len * self.vocab].fill(T::from_f64(fill));
            return;
        }
        let mut occupancy = vec![0.0; self.vocab];
        let mut beta = lattice.final_beta();
        for t in (0..len).rev() {
            occupancy.fill(0.0);
            for (s, &label) in lattice.labels.iter().enumerate() {
                occupancy[label] += (lattice.alpha(t)[s] + beta[s] + loss).exp();
            }
            let row = &mut grads[t * self.vocab..][..self.vocab];
            let logits = self.frame(b, t);
            for ((g, &x), &gamma) in row.iter_mut().zip(logits).zip(&occupancy) {
                let probability = (x.to_f64() - lattice.normalisers[t]).exp();
                *g = T::from_f64(loss_grad * (probability - gamma));
            }
            if t > 0 {
                beta = lattice.step_back(&beta, t);
            }
        }
    }

    fn frame(&self, b: usize, t: usize) -> &[T] {
        &self.logits[(b * self.n_frames + t) * self.vocab..][..self.vocab]
    }

    fn lattice(&self, b: usize) -> Lattice {
        let len = self.logit_lengths[b];
        let labels: Vec<usize> = std::iter::once(self.blank)
            .chain(self.targets[b].iter().flat_map(|&label| [label as usize, self.blank]))
            .collect();
        let n_states = labels.len();
        let mut lattice = Lattice {
            emissions: Vec::with_capacity(len * n_states),
            normalisers: Vec::with_capacity(len),
            alphas: Vec::with_capacity(len * n_states),
            skips: (0..n_states)
                .map(|s| s >= 2 && labels[s] != self.blank && labels[s] != labels[s - 2])
                .collect(),
            labels,
        };
        for t in 0..len {
            let logits = self.frame(b, t);
            let normaliser = log_sum_exp(logits.iter().map(|x| x.to_f64()));
            lattice.normalisers.push(normaliser);
            for &label in &lattice.labels {
                lattice.emissions.push(logits[label].to_f64() - normaliser);
            }
        }
        lattice.fill_alphas();
        lattice
    }
}

/// One item's forward variables.
struct Lattice {
    /// `(S,)`: blank, first label, blank, second label, ..., blank.
    labels: Vec<usize>,
    /// `(S,)`: whether the state may be entered from two states before it.
    skips: Vec<bool>,
    /// `(T, S)` log-probabilities of each state's label.
    emissions: Vec<f64>,
    /// `(T,)` log-sum-exp of the logits.
    normalisers: Vec<f64>,
    /// `(T, S)`.
    alphas: Vec<f64>,
}

impl Lattice {
    fn alpha(&self, t: usize) -> &[f64] {
        &self.alphas[t * self.labels.len()..][..self.labels.len()]
    }

    fn emission(&self, t: usize) -> &[f64] {
        &self.emissions[t * self.labels.len()..][..self.labels.len()]
    }

    fn fill_alphas(&mut self) {
        let n_states = self.labels.len();
        for t in 0..self.normalisers.len() {
            for s in 0..n_states {
                let ways_in = if t == 0 {
                    if s < 2 { 0.0 } else { f64::NEG_INFINITY }
                } else {
                    let previous = self.alpha(t - 1);
                    log_add3(
                        previous[s],
                        if s >= 1 { previous[s - 1] } else { f64::NEG_INFINITY },
                        if self.skips[s] { previous[s - 2] } else { f64::NEG_INFINITY },
                    )
                };
                self.alphas.push(ways_in + self.emissions[t * n_states + s]);
            }
        }
    }

    fn loss(&self) -> f64 {
        let n_states = self.labels.len();
        if self.normalisers.is_empty() {
            // Zero frames spell the empty sequence and nothing else.
            return if n_states == 1 { 0.0 } else { f64::INFINITY };
        }
        let last = self.alpha(self.normalisers.len() - 1);
        -log_sum_exp(last[n_states.saturating_sub(2)..].iter().copied())
    }

    /// `beta` at the last frame: the last label and the last blank may end the sequence.
    fn final_beta(&self) -> Vec<f64> {
        let n_states = self.labels.len();
        (0..n_states).map(|s| if s + 2 >= n_states { 0.0 } else { f64::NEG_INFINITY }).collect()
    }

    /// `beta` at frame `t - 1` from `beta` at frame `t`.
    fn step_back(&self, beta: &[f64], t: usize) -> Vec<f64> {
        let emission = self.emission(t);
        let out = |s: usize| beta[s] + emission[s];
        let n_states = beta.len();
        (0..n_states)
            .map(|s| {
                log_add3(
                    out(s),
                    if s + 1 < n_states { out(s + 1) } else { f64::NEG_INFINITY },
                    if s + 2 < n_states && self.skips[s + 2] {
                        out(s + 2)
                    } else {
                        f64::NEG_INFINITY
                    },
                )
            })
            .collect()
    }
}

/// `ln(sum(exp(x)))`, shifted by the maximum; `-inf` for an empty sum, NaN if any term is.
fn log_sum_exp(xs: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = xs.clone().fold(f64::NEG_INFINITY, f64::max);
    let shift = if max.is_finite() { max } else { 0.0 };
    shift + xs.map(|x| (x - shift).exp()).sum::<f64>().ln()
}

fn log_add3(a: f64, b: f64, c: f64) -> f64 {
    log_sum_exp([a, b, c].into_iter())
}

#[cfg(test)]
mod tests;
