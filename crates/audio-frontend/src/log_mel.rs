//! Whisper's input: log-Mel spectra, floored 8 decades below the loudest, scaled to about -1..=1.
//!
//! ```text
//! p[m, t] = sum_k filter[m, k] |STFT(x)[k, t]|^2          n_fft 400, hop 160, 16 kHz
//! y[m, t] = max(log10(max(p, 1e-10)), max(log10 p) - 8)
//! out     = (y + 4) / 4
//! ```
//!
//! The last STFT frame is dropped, so `n` samples give `n / 160` frames.
//!
//! # Source
//!
//! `log_mel_spectrogram` of openai-whisper and `WhisperFeatureExtractor` of transformers; a golden file
//! holds this within 1e-4 of the latter.

mod log10;

use rayon::prelude::*;

use crate::mel_filters::MelFilters;
use crate::stft::{Stft, StftScratch};
use log10::log10_clamped;

/// Samples a frame of Whisper's front end: 25 ms at 16 kHz.
pub const N_FFT: usize = 400;
/// Samples between frames: 10 ms at 16 kHz.
pub const HOP_LENGTH: usize = 160;
/// Samples in Whisper's window of 30 s.
pub const N_SAMPLES: usize = 480_000;

/// Frames that pass through the Mel filters and the logarithm together: one row of a tile is two to four
/// vector registers.
const TILE: usize = 16;
/// Power below this counts as silence.
const FLOOR: f32 = 1e-10;
/// `log10(FLOOR)`.
const LOG_FLOOR: f32 = -10.0;

/// A feature matrix `(n_mels, n_frames)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    /// Values, row-major: frame `t` of band `m` is at `m * n_frames + t`.
    pub data: Vec<f32>,
    /// Rows: Mel bands, low to high.
    pub n_mels: usize,
    /// Columns: frames of 10 ms.
    pub n_frames: usize,
}

impl Features {
    /// Band `mel` over time, `(n_frames,)`.
    ///
    /// # Panics
    ///
    /// When `mel >= n_mels`.
    pub fn band(&self, mel: usize) -> &[f32] {
        &self.data[mel * self.n_frames..(mel + 1) * self.n_frames]
    }
}

/// The front end for one number of Mel bands: 80, or 128 for the large-v3 models.
///
/// # Examples
///
/// ```
/// use audio_frontend::LogMel;
///
/// let one_second = vec![0.0; 16_000];
/// let features = LogMel::new(80).compute_padded(&one_second, 480_000);
/// assert_eq!((features.n_mels, features.n_frames), (80, 3000));
/// assert!(features.data.iter().all(|&x| x == -1.5)); // silence: (log10(1e-10) + 4) / 4
/// ```
#[derive(Debug, Clone)]
pub struct LogMel {
    stft: Stft,
    filters: MelFilters,
}

/// Buffers of one front end, reused from clip to clip.
#[derive(Debug, Clone)]
pub struct LogMelScratch {
    stft: StftScratch,
    power: Vec<[f32; TILE]>,
    mel: Vec<[f32; TILE]>,
}

impl LogMel {
    /// Plans the transform and computes the filter bank.
    pub fn new(n_mels: usize) -> Self {
        Self {
            stft: Stft::new(N_FFT, HOP_LENGTH),
            filters: MelFilters::new(crate::SAMPLE_RATE, N_FFT, n_mels),
        }
    }

    /// Number of Mel bands.
    pub fn n_mels(&self) -> usize {
        self.filters.n_mels()
    }

    /// Features of 16 kHz mono samples of any length: `samples.len() / 160` frames.
    ///
    /// # Numerics
    ///
    /// f32 throughout. Frames are transformed in pairs: a NaN sample makes NaN of the pairs that see it and
    /// of no other frame. A pair's two frames touch each other's values by rounding only.
    pub fn compute(&self, samples: &[f32]) -> Features {
        let mut features = Features::default();
        self.compute_into(samples, samples.len(), &mut self.scratch(), &mut features);
        features
    }

    /// Features of exactly `n_samples` samples: longer input is cut, shorter is followed by silence.
    ///
    /// With `n_samples` = 480 000 this is Whisper's 30 s window of 3000 frames. Frames of pure padding
    /// cost nothing.
    pub fn compute_padded(&self, samples: &[f32], n_samples: usize) -> Features {
        let mut features = Features::default();
        self.compute_into(samples, n_samples, &mut self.scratch(), &mut features);
        features
    }

    /// Features of many clips, in parallel on the current rayon pool, each as by
    /// [`compute`](Self::compute), or [`compute_padded`](Self::compute_padded) when `n_samples` is given.
    pub fn compute_many<S>(&self, clips: &[S], n_samples: Option<usize>) -> Vec<Features>
    where
        S: AsRef<[f32]> + Sync,
    {
        clips
            .par_iter()
            .map_init(
                || self.scratch(),
                |scratch, clip| {
                    let clip = clip.as_ref();
                    let mut features = Features::default();
                    self.compute_into(
                        clip,
                        n_samples.unwrap_or(clip.len()),
                        scratch,
                        &mut features,
                    );
                    features
                },
            )
            .collect()
    }

    /// Buffers for [`compute_into`](Self::compute_into).
    pub fn scratch(&self) -> LogMelScratch {
        LogMelScratch {
            stft: self.stft.scratch(),
            power: vec![[0.0; TILE]; self.stft.n_bins()],
            mel: vec![[0.0; TILE]; self.n_mels()],
        }
    }

    /// [`compute_padded`](Self::compute_padded) into buffers that are reused: no allocation once
    /// `features` has grown to its size.
    pub fn compute_into(
        &self,
        samples: &[f32],
        n_samples: usize,
        scratch: &mut LogMelScratch,
        features: &mut Features,
    ) {
        let samples = &samples[..samples.len().min(n_samples)];
        let n_frames = n_samples / HOP_LENGTH;
        features.n_mels = self.n_mels();
        features.n_frames = n_frames;
        features.data.resize(self.n_mels() * n_frames, 0.0);

        let n_sounding = n_sounding_frames(samples.len(), n_samples).min(n_frames);
        let mut top = if n_sounding < n_frames { LOG_FLOOR } else { f32::NEG_INFINITY };
        for first in (0..n_sounding).step_by(TILE) {
            let n = TILE.min(n_sounding - first);
            for t in (0..n).step_by(2) {
                let power = &mut scratch.power[..];
                self.stft.power_pair(
                    samples,
                    n_samples,
                    first + t,
                    &mut scratch.stft,
                    |bin, a, b| {
                        let row = &mut power[bin];
                        (row[t], row[t + 1]) = (a, b);
                    },
                );
            }
            self.filters.apply_tile(&scratch.power, &mut scratch.mel);
            for (m, row) in scratch.mel.iter_mut().enumerate() {
                log10_clamped(row, FLOOR, LOG_FLOOR);
                top = row[..n].iter().fold(top, |top, &x| top.max(x));
                let at = m * n_frames + first;
                features.data[at..at + n].copy_from_slice(&row[..n]);
            }
        }
        finish(features, n_sounding, top - 8.0);
    }
}

/// Frames that see any sample of the clip; those after it see only padding.
fn n_sounding_frames(n_samples: usize, total_len: usize) -> usize {
    match n_samples {
        0 => 0,
        // The reflection at the far end brings samples back into the last frames.
        n if n + N_FFT > total_len => usize::MAX,
        n => (n + N_FFT / 2).div_ceil(HOP_LENGTH),
    }
}

/// Floors and scales the frames that were computed, and fills in the silent ones.
fn finish(features: &mut Features, n_sounding: usize, floor: f32) {
    let scale = |x: f32| (if x < floor { floor } else { x } + 4.0) * 0.25;
    let silence = scale(LOG_FLOOR);
    for row in features.data.chunks_exact_mut(features.n_frames.max(1)) {
        let (sounding, silent) = row.split_at_mut(n_sounding);
        for x in sounding {
            *x = scale(*x);
        }
        silent.fill(silence);
    }
}

#[cfg(test)]
mod tests;
