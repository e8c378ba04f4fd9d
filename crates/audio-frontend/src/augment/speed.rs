//! Speed perturbation: the same words faster or slower, with pitch, as by turning a tape's speed.

use super::rng::Rng;
use crate::error::{AudioError, Result};
use crate::resample::resample;

/// Factors are rounded to thousandths, so that the resampling ratio stays small.
const DENOMINATOR: f64 = 1000.0;

/// Plays `samples` at `factor` times their speed: `ceil(n / factor)` samples, pitch moved by `factor`.
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) when `factor` is outside 0.1 to 10.
///
/// # Source
///
/// Ko et al. 2015, *Audio augmentation for speech recognition*: resampling, not time-stretching.
pub fn speed_perturb(samples: &[f32], factor: f64) -> Result<Vec<f32>> {
    if !(0.1..=10.0).contains(&factor) {
        return Err(AudioError::option(
            "speed_perturb",
            format!("factor, expected 0.1 to 10, got {factor}"),
            "0.9, 1.0 and 1.1 are usual",
        ));
    }
    resample(samples, (factor * DENOMINATOR).round() as u32, DENOMINATOR as u32)
}

/// Speed perturbation by a factor drawn for each example.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeedPerturb {
    /// Factors, each as likely as the others. None leaves the sound as it is.
    pub factors: Vec<f64>,
}

impl Default for SpeedPerturb {
    /// The usual three: 0.9, 1.0 and 1.1.
    fn default() -> Self {
        Self { factors: vec![0.9, 1.0, 1.1] }
    }
}

impl SpeedPerturb {
    /// The factor of example `index`.
    pub fn factor(&self, seed: u64, index: u64) -> f64 {
        match self.factors.len() {
            0 => 1.0,
            n => self.factors[Rng::new(seed, index, 0x5beed).up_to(n - 1)],
        }
    }

    /// `samples` at the speed of example `index`.
    ///
    /// # Errors
    ///
    /// As [`speed_perturb`].
    pub fn apply(&self, samples: &[f32], seed: u64, index: u64) -> Result<Vec<f32>> {
        speed_perturb(samples, self.factor(seed, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_faster_tone_is_shorter_and_higher() {
        let tone = |hz: f64, n: usize| -> Vec<f32> {
            (0..n)
                .map(|i| (std::f64::consts::TAU * hz * i as f64 / 16_000.0).sin() as f32)
                .collect()
        };
        let fast = speed_perturb(&tone(1000.0, 11_000), 1.1).unwrap();
        assert_eq!(fast.len(), 10_000);
        let want = tone(1100.0, 10_000);
        let inner = 500..9_500;
        let worst = inner.map(|i| (fast[i] - want[i]).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{worst}");
    }

    #[test]
    fn every_factor_is_drawn_and_one_is_the_identity() {
        let perturb = SpeedPerturb::default();
        for want in [0.9, 1.0, 1.1] {
            let n = (0..3000).filter(|&index| perturb.factor(5, index) == want).count();
            assert!((850..1150).contains(&n), "{want}: {n}");
        }
        let samples = [0.1, -0.2, 0.3];
        assert_eq!(speed_perturb(&samples, 1.0).unwrap(), samples);
        assert_eq!(SpeedPerturb { factors: vec![] }.apply(&samples, 1, 1).unwrap(), samples);
    }

    #[test]
    fn absurd_factors_are_refused() {
        for factor in [0.0, -1.0, 11.0, f64::NAN, f64::INFINITY] {
            let error = speed_perturb(&[0.0; 4], factor).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Option, "{factor}");
        }
    }
}
