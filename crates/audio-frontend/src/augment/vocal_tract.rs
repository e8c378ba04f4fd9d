//! Vocal tract length perturbation: the same words from a longer or a shorter throat.

use super::rng::Rng;
use crate::SAMPLE_RATE;
use crate::log_mel::Features;
use crate::mel_filters::{hz_to_mel, mel_to_hz};

/// Steps between the smallest and the largest factor.
const STEPS: usize = 1 << 16;
/// Hz below which frequencies are scaled by the whole factor (`F_hi`): it covers the formants that matter.
const BOUNDARY_HZ: f64 = 4800.0;
/// Where the frequency axis ends (`S / 2`).
const NYQUIST_HZ: f64 = SAMPLE_RATE as f64 / 2.0;

/// Stretches the frequency axis of log-Mel features by a random factor, which moves formants and pitch and
/// keeps the timing.
///
/// Speed perturbation moves all three; a corpus of few speakers gains from either. The factor is uniform in
/// `1 - max_warp ..= 1 + max_warp`; above 1 everything sounds lower, as from a longer throat.
///
/// # Source
///
/// Jaitly and Hinton 2013, *Vocal Tract Length Perturbation (VTLP) improves speech recognition*, section 3:
/// the filter at `f` is moved to
///
/// ```text
/// G(f) = a f                                                      f <= F_hi min(a, 1) / a
/// G(f) = S/2 - (S/2 - F_hi min(a, 1)) / (S/2 - F_hi min(a, 1) / a) (S/2 - f)       above
/// ```
///
/// which keeps 0 and the Nyquist frequency `S/2` in place. Two things differ: bands are interpolated after
/// the logarithm, instead of moving the filters before it, so that their widths stay; and the outermost
/// bands stand in for frequencies beyond their centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VocalTract {
    /// Largest deviation of the factor from 1, in 0..=0.5 (what is outside is clamped): 0.1, as in the
    /// paper, draws from 0.9 to 1.1, and 0 changes nothing.
    pub max_warp: f64,
}

impl VocalTract {
    /// Warps `features` of 16 kHz sound in place. The result depends on nothing but the arguments.
    ///
    /// # Examples
    ///
    /// ```
    /// use audio_frontend::{Features, VocalTract};
    ///
    /// let ramp = (0..80).map(|band| band as f32).collect();
    /// let mut features = Features { data: ramp, n_mels: 80, n_frames: 1 };
    /// VocalTract { max_warp: 0.1 }.apply(&mut features, 17, 4);
    /// assert!(features.data.is_sorted()); // bands move, their order stays
    /// ```
    pub fn apply(&self, features: &mut Features, seed: u64, index: u64) {
        let max_warp = self.max_warp.clamp(0.0, 0.5);
        if max_warp > 0.0 && features.n_frames > 0 {
            let draw = Rng::new(seed, index, 0x7147).up_to(STEPS) as f64 / STEPS as f64;
            warp_bands(features, 1.0 + max_warp * (2.0 * draw - 1.0));
        }
    }
}

/// Band `m` takes the value found at `G(f)`, where `f` is its own centre.
fn warp_bands(features: &mut Features, factor: f64) {
    let (n_mels, n_frames) = (features.n_mels, features.n_frames);
    let source = features.data.clone();
    for (mel, row) in features.data.chunks_exact_mut(n_frames).enumerate() {
        let place = source_band(mel, n_mels, factor);
        let low = place.floor() as usize;
        let high = (low + 1).min(n_mels - 1);
        let share = (place - low as f64) as f32;
        let (low, high) = (&source[low * n_frames..], &source[high * n_frames..]);
        for ((out, &low), &high) in row.iter_mut().zip(low).zip(high) {
            *out = low + share * (high - low);
        }
    }
}

/// Where on the axis of bands, from 0 to `n_mels - 1`, band `mel` finds its value.
fn source_band(mel: usize, n_mels: usize, factor: f64) -> f64 {
    let step = hz_to_mel(NYQUIST_HZ) / (n_mels + 1) as f64;
    let centre = mel_to_hz(step * (mel + 1) as f64);
    (hz_to_mel(warped_hz(centre, factor)) / step - 1.0).clamp(0.0, (n_mels - 1) as f64)
}

/// `G(hz)` under the factor `a`.
fn warped_hz(hz: f64, factor: f64) -> f64 {
    let image = BOUNDARY_HZ * factor.min(1.0);
    let bend = image / factor;
    if hz <= bend {
        hz * factor
    } else {
        NYQUIST_HZ - (NYQUIST_HZ - image) / (NYQUIST_HZ - bend) * (NYQUIST_HZ - hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One frame whose bands hold a bump around `centre`.
    fn bump(centre: f64) -> Features {
        let height = |band: usize| (-((band as f64 - centre) / 4.0).powi(2)).exp() as f32;
        Features { data: (0..80).map(height).collect(), n_mels: 80, n_frames: 1 }
    }

    fn peak_hz(features: &Features) -> f64 {
        let step = hz_to_mel(NYQUIST_HZ) / 81.0;
        let (sum, moment) =
            features.data.iter().enumerate().fold((0.0, 0.0), |(s, m), (band, &x)| {
                (s + f64::from(x), m + f64::from(x) * (band + 1) as f64)
            });
        mel_to_hz(moment / sum * step)
    }

    #[test]
    fn a_formant_moves_by_the_factor() {
        for factor in [0.85, 1.0, 1.2] {
            let mut features = bump(40.0);
            let before = peak_hz(&features);
            warp_bands(&mut features, factor);
            let ratio = before / peak_hz(&features);
            assert!((ratio / factor - 1.0).abs() < 0.02, "{factor}: {ratio}");
        }
    }

    #[test]
    fn the_map_is_that_of_the_paper() {
        // By hand from the formula: the line, its bend, and the way from there to 8 kHz.
        let table = [
            (0.9, [(1000.0, 900.0), (4800.0, 4320.0), (6400.0, 6160.0)]),
            (1.1, [(1000.0, 1100.0), (4800.0 / 1.1, 4800.0), (6000.0, 6240.0)]),
            (1.0, [(1000.0, 1000.0), (4800.0, 4800.0), (6400.0, 6400.0)]),
        ];
        for (factor, places) in table {
            for (hz, want) in places.into_iter().chain([(0.0, 0.0), (8000.0, 8000.0)]) {
                let got = warped_hz(hz, factor);
                assert!((got - want).abs() < 1e-9, "{factor}: {hz} Hz goes to {got}, not {want}");
            }
        }
    }

    #[test]
    fn bands_keep_their_order_and_the_axis_is_used_to_its_ends() {
        for n_mels in [1, 2, 80, 128] {
            for factor in [0.5, 0.8, 1.0, 1.25, 1.5] {
                let places = (0..n_mels).map(|mel| source_band(mel, n_mels, factor));
                let places: Vec<f64> = places.collect();
                assert!(places.is_sorted(), "{factor}: {places:?}");
                let last = (n_mels - 1) as f64;
                assert!(places[0] >= 0.0 && places[n_mels - 1] <= last, "{factor}: {places:?}");
                assert!(places[n_mels - 1] > last - 1.0, "{factor}: {places:?}");
            }
            for mel in 0..n_mels {
                assert!((source_band(mel, n_mels, 1.0) - mel as f64).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn absurd_warps_are_clamped() {
        for (max_warp, as_if) in [(7.0, 0.5), (f64::INFINITY, 0.5), (-1.0, 0.0), (f64::NAN, 0.0)] {
            for index in 0..20 {
                let (mut got, mut want) = (bump(30.0), bump(30.0));
                VocalTract { max_warp }.apply(&mut got, 1, index);
                VocalTract { max_warp: as_if }.apply(&mut want, 1, index);
                assert_eq!(got, want, "{max_warp}");
            }
        }
    }

    #[test]
    fn draws_are_seeded_and_odd_sizes_are_fine() {
        let warp = VocalTract { max_warp: 0.2 };
        let (mut a, mut b, mut c) = (bump(30.0), bump(30.0), bump(30.0));
        warp.apply(&mut a, 1, 5);
        warp.apply(&mut b, 1, 5);
        warp.apply(&mut c, 1, 6);
        assert_eq!(a, b);
        assert_ne!(a, c);
        let before = c.clone();
        VocalTract { max_warp: 0.0 }.apply(&mut c, 1, 5);
        assert_eq!(c, before);
        for (n_mels, n_frames) in [(0, 0), (1, 1), (1, 9), (128, 1), (3, 0)] {
            let mut odd = Features { data: vec![1.0; n_mels * n_frames], n_mels, n_frames };
            let before = odd.clone();
            warp.apply(&mut odd, 1, 2);
            assert_eq!(odd, before); // a constant stays constant
        }
    }
}
