//! Short-time power spectra: Hann window, FFT, frames centred on multiples of the hop.
//!
//! Frame `t` covers samples `t * hop - n_fft / 2 ..` of length `n_fft`; what lies outside the signal is its
//! mirror image without the edge sample (`reflect`), as `torch.stft(center=True)` pads. Only frames at the
//! edges are gathered sample by sample; the others are read in place, so no padded copy is made.
//!
//! Two real frames share one complex transform, one as its real and one as its imaginary part: with
//! `z = a + i b`,
//!
//! ```text
//! A[k] = (Z[k] + conj Z[n - k]) / 2,     B[k] = (Z[k] - conj Z[n - k]) / 2i
//! ```
//!
//! That is faster than a real transform each, whose last step does not vectorise.

use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// A planned transform: window, FFT and geometry. Cheap to share; the scratch is the caller's.
#[derive(Clone)]
pub struct Stft {
    n_fft: usize,
    hop_length: usize,
    /// Periodic Hann window, `(n_fft,)`.
    window: Vec<f32>,
    plan: Arc<dyn Fft<f32>>,
}

/// Buffers of one transform, reused from frame to frame.
#[derive(Debug, Clone)]
pub(crate) struct StftScratch {
    /// Two frames, then their joint spectrum.
    frames: Vec<Complex<f32>>,
    fft: Vec<Complex<f32>>,
}

impl fmt::Debug for Stft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stft")
            .field("n_fft", &self.n_fft)
            .field("hop_length", &self.hop_length)
            .finish_non_exhaustive()
    }
}

impl Stft {
    /// Plans transforms of `n_fft` samples every `hop_length`. Zeros are taken as 1.
    pub fn new(n_fft: usize, hop_length: usize) -> Self {
        let (n_fft, hop_length) = (n_fft.max(1), hop_length.max(1));
        let step = std::f64::consts::TAU / n_fft as f64;
        let window = (0..n_fft).map(|i| (0.5 - 0.5 * (step * i as f64).cos()) as f32).collect();
        Self { n_fft, hop_length, window, plan: FftPlanner::new().plan_fft_forward(n_fft) }
    }

    /// Samples a frame.
    pub fn n_fft(&self) -> usize {
        self.n_fft
    }

    /// Samples between frames.
    pub fn hop_length(&self) -> usize {
        self.hop_length
    }

    /// Frequency bins, `n_fft / 2 + 1`; bin `k` is at `k * sample_rate / n_fft` Hz.
    pub fn n_bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Frames of a signal of `n_samples`: `1 + n_samples / hop_length`, and none of an empty one.
    pub fn n_frames(&self, n_samples: usize) -> usize {
        if n_samples == 0 { 0 } else { 1 + n_samples / self.hop_length }
    }

    /// Buffers for a transform of this size.
    pub(crate) fn scratch(&self) -> StftScratch {
        StftScratch {
            frames: vec![Complex::default(); self.n_fft],
            fft: vec![Complex::default(); self.plan.get_inplace_scratch_len()],
        }
    }

    /// Power spectrum of a whole signal, `(n_bins, n_frames)` row-major.
    ///
    /// `power[k, t] = |sum_i w[i] x[t * hop - n_fft / 2 + i] exp(-2 pi j k i / n_fft)|^2`
    pub fn power_spectrogram(&self, samples: &[f32]) -> Vec<f32> {
        let n_frames = self.n_frames(samples.len());
        let mut power = vec![0.0; self.n_bins() * n_frames];
        let mut scratch = self.scratch();
        for t in (0..n_frames).step_by(2) {
            self.power_pair(samples, samples.len(), t, &mut scratch, |bin, a, b| {
                power[bin * n_frames + t] = a;
                if t + 1 < n_frames {
                    power[bin * n_frames + t + 1] = b;
                }
            });
        }
        power
    }

    /// Power of frames `t` and `t + 1`, handed bin by bin to `store`.
    ///
    /// The signal is `samples` followed by zeros up to `total_len`, without those zeros being stored.
    #[inline]
    pub(crate) fn power_pair(
        &self,
        samples: &[f32],
        total_len: usize,
        t: usize,
        scratch: &mut StftScratch,
        mut store: impl FnMut(usize, f32, f32),
    ) {
        let (n, hop) = (self.n_fft, self.hop_length);
        let centre = t * hop;
        let half = n / 2;
        let frames = &mut scratch.frames[..n];
        let inside = centre.checked_sub(half).and_then(|start| samples.get(start..start + hop + n));
        if let Some(inside) = inside {
            let (first, second) = (&inside[..n], &inside[hop..hop + n]);
            for (((z, a), b), w) in frames.iter_mut().zip(first).zip(second).zip(&self.window) {
                *z = Complex::new(w * a, w * b);
            }
        } else {
            let sample = |at: usize| {
                let at = reflect(at as isize - half as isize, total_len);
                samples.get(at).copied().unwrap_or(0.0)
            };
            for (i, (z, w)) in frames.iter_mut().zip(&self.window).enumerate() {
                *z = Complex::new(w * sample(centre + i), w * sample(centre + hop + i));
            }
        }
        self.plan.process_with_scratch(frames, &mut scratch.fft);
        store(0, frames[0].re * frames[0].re, frames[0].im * frames[0].im);
        // Bins 1, 2, ... meet their mirror images n - 1, n - 2, ...
        let (low, high) = (&frames[1..=half], &frames[n - half..]);
        for (k, (z, mirror)) in low.iter().zip(high.iter().rev()).enumerate() {
            let (a_re, a_im) = (z.re + mirror.re, z.im - mirror.im);
            let (b_re, b_im) = (z.im + mirror.im, mirror.re - z.re);
            let a = 0.25 * (a_re * a_re + a_im * a_im);
            let b = 0.25 * (b_re * b_re + b_im * b_im);
            store(k + 1, a, b);
        }
    }
}

/// The index that `at` mirrors to in a signal of `len > 0`; edges are not repeated.
///
/// Signals shorter than the padding are mirrored again and again, as `numpy.pad` does.
fn reflect(at: isize, len: usize) -> usize {
    if len <= 1 {
        return 0;
    }
    let period = 2 * (len - 1);
    let at = at.rem_euclid(period as isize) as usize;
    at.min(period - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform as its definition reads, in f64.
    fn naive_power(samples: &[f32], n_fft: usize, hop: usize, t: usize, bin: usize) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for i in 0..n_fft {
            let angle = std::f64::consts::TAU * i as f64 / n_fft as f64;
            let w = 0.5 - 0.5 * angle.cos();
            let at = reflect((t * hop + i) as isize - (n_fft / 2) as isize, samples.len());
            let x = w * f64::from(samples[at]);
            re += x * (angle * bin as f64).cos();
            im -= x * (angle * bin as f64).sin();
        }
        re * re + im * im
    }

    #[test]
    fn power_equals_the_definition_at_odd_sizes() {
        for (n_fft, hop, n) in [(400, 160, 1003), (7, 3, 50), (16, 5, 3), (400, 160, 1), (1, 1, 4)]
        {
            let samples: Vec<f32> = (0..n).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
            let stft = Stft::new(n_fft, hop);
            let power = stft.power_spectrogram(&samples);
            let n_frames = stft.n_frames(n);
            let top = power.iter().copied().fold(0.0, f32::max);
            for t in 0..n_frames {
                for bin in 0..stft.n_bins() {
                    let want = naive_power(&samples, n_fft, hop, t, bin);
                    let got = f64::from(power[bin * n_frames + t]);
                    let error = (got - want).abs();
                    assert!(
                        error <= 1e-5 * f64::from(top) + 1e-9,
                        "{n_fft} {t} {bin}: {got} {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn reflection_repeats_no_edge() {
        let seen: Vec<usize> = (-4..8).map(|at| reflect(at, 4)).collect();
        assert_eq!(seen, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(reflect(-200, 1), 0);
    }

    #[test]
    fn an_empty_signal_has_no_frames() {
        assert!(Stft::new(400, 160).power_spectrogram(&[]).is_empty());
    }
}
