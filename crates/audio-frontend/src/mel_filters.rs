//! The Mel filter bank that Whisper uses: Slaney's scale, triangles of unit area.
//!
//! The scale is linear below 1 kHz (200/3 Hz a Mel) and logarithmic above (27 steps for a factor 6.4).
//! Filter `m` is a triangle between the `m`-th and `m+2`-th of `n_mels + 2` points spaced evenly in Mel
//! from 0 to the Nyquist frequency, scaled by `2 / (right - left)`.
//!
//! # Source
//!
//! Slaney, *Auditory Toolbox*, 1998. Matches `librosa.filters.mel(htk=False, norm="slaney")`, and with it
//! `mel_filters.npz` of openai-whisper and `mel_filter_bank` of transformers.

/// A bank of triangular filters, stored by its non-zero weights.
///
/// About two weights a frequency bin are not zero, so that applying the bank costs a fortieth of the
/// dense product at 80 filters.
#[derive(Debug, Clone)]
pub struct MelFilters {
    n_bins: usize,
    /// For each filter, its first bin and where its weights start and end.
    spans: Vec<Span>,
    weights: Vec<f32>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    first_bin: usize,
    start: usize,
    end: usize,
}

impl MelFilters {
    /// Computes the bank for `n_mels` filters over the `n_fft / 2 + 1` bins of a real FFT.
    ///
    /// At low `n_fft` and high `n_mels` some filters fall between two bins and are empty, as in librosa.
    pub fn new(sample_rate: u32, n_fft: usize, n_mels: usize) -> Self {
        let n_bins = n_fft / 2 + 1;
        let top = hz_to_mel(f64::from(sample_rate) / 2.0);
        let edge = |i: usize| mel_to_hz(top * i as f64 / (n_mels + 1) as f64);
        let mut weights = Vec::new();
        let mut spans = Vec::with_capacity(n_mels);
        for m in 0..n_mels {
            let (left, centre, right) = (edge(m), edge(m + 1), edge(m + 2));
            let area = 2.0 / (right - left);
            let start = weights.len();
            let mut first_bin = 0;
            for bin in 0..n_bins {
                let hz = bin as f64 * f64::from(sample_rate) / n_fft.max(1) as f64;
                let rising = (hz - left) / (centre - left);
                let falling = (right - hz) / (right - centre);
                let weight = rising.min(falling).max(0.0) * area;
                if weight > 0.0 {
                    if weights.len() == start {
                        first_bin = bin;
                    }
                    weights.push(weight as f32);
                }
            }
            spans.push(Span { first_bin, start, end: weights.len() });
        }
        Self { n_bins, spans, weights }
    }

    /// Number of filters.
    pub fn n_mels(&self) -> usize {
        self.spans.len()
    }

    /// Number of frequency bins, `n_fft / 2 + 1`.
    pub fn n_bins(&self) -> usize {
        self.n_bins
    }

    /// Filter `mel`'s first bin with weight, and its weights from there on.
    ///
    /// # Panics
    ///
    /// When `mel >= n_mels`.
    pub fn filter(&self, mel: usize) -> (usize, &[f32]) {
        let span = self.spans[mel];
        (span.first_bin, &self.weights[span.start..span.end])
    }

    /// The bank as a dense matrix `(n_mels, n_bins)`, row-major.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.n_mels() * self.n_bins];
        for (mel, row) in dense.chunks_exact_mut(self.n_bins).enumerate() {
            let (first, weights) = self.filter(mel);
            row[first..first + weights.len()].copy_from_slice(weights);
        }
        dense
    }

    /// Applies the bank to `T` spectra at once: `(n_bins, T)` in, `(n_mels, T)` out, both row-major.
    pub(crate) fn apply_tile<const T: usize>(&self, power: &[[f32; T]], mel: &mut [[f32; T]]) {
        for (span, out) in self.spans.iter().zip(mel) {
            let weights = &self.weights[span.start..span.end];
            let mut sum = [0.0_f32; T];
            for (row, &weight) in power[span.first_bin..].iter().zip(weights) {
                for (sum, &power) in sum.iter_mut().zip(row) {
                    *sum += weight * power;
                }
            }
            *out = sum;
        }
    }
}

/// Hz below which Slaney's scale is linear.
const BREAK_HZ: f64 = 1000.0;
/// Hz a Mel in the linear part.
const HZ_PER_MEL: f64 = 200.0 / 3.0;

/// `ln(6.4) / 27`: the step of the logarithmic part.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

pub(crate) fn hz_to_mel(hz: f64) -> f64 {
    if hz < BREAK_HZ {
        hz / HZ_PER_MEL
    } else {
        BREAK_HZ / HZ_PER_MEL + (hz / BREAK_HZ).ln() / log_step()
    }
}

pub(crate) fn mel_to_hz(mel: f64) -> f64 {
    let break_mel = BREAK_HZ / HZ_PER_MEL;
    if mel < break_mel {
        mel * HZ_PER_MEL
    } else {
        BREAK_HZ * ((mel - break_mel) * log_step()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_overlap_so_that_every_inner_bin_is_seen() {
        let bank = MelFilters::new(16_000, 400, 80);
        let dense = bank.to_dense();
        for bin in 1..200 {
            assert!((0..80).any(|m| dense[m * 201 + bin] > 0.0), "bin {bin}");
        }
    }

    #[test]
    fn the_scale_inverts_and_joins_at_one_kilohertz() {
        for hz in [0.0, 1.0, 440.0, 999.999, 1000.0, 1000.001, 4000.0, 11_025.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-9, "{hz}");
        }
        assert!((hz_to_mel(1000.0) - 15.0).abs() < 1e-12);
    }

    #[test]
    fn the_published_first_weights_come_out() {
        // From librosa.filters.mel(sr=16000, n_fft=400, n_mels=80): row 0 peaks at bin 1.
        let bank = MelFilters::new(16_000, 400, 80);
        let (first, weights) = bank.filter(0);
        assert_eq!((first, weights.len()), (1, 1));
        assert!((weights[0] - 0.024_862_594).abs() < 1e-8, "{}", weights[0]);
    }

    #[test]
    fn degenerate_banks_are_empty_rather_than_wrong() {
        assert_eq!(MelFilters::new(16_000, 400, 0).n_mels(), 0);
        assert_eq!(MelFilters::new(16_000, 0, 3).n_bins(), 1);
        // 128 filters over 33 bins: some lie between two bins.
        let narrow = MelFilters::new(16_000, 64, 128);
        assert!((0..128).any(|m| narrow.filter(m).1.is_empty()));
    }
}
