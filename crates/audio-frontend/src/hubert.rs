//! HuBERT's input: the waveform itself, at zero mean and unit variance.

/// Added to the variance, so that silence stays finite. The value of transformers.
const VARIANCE_EPS: f64 = 1e-7;

/// Normalises one utterance in place.
///
/// ```text
/// x[t] <- (x[t] - mean(x)) / sqrt(var(x) + 1e-7)
/// ```
///
/// `var` is the population variance. Pass the samples of one utterance without padding: padding would
/// count as silence.
///
/// # Numerics
///
/// Sums are in f64. NaN anywhere makes everything NaN.
///
/// # Source
///
/// `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm` of transformers.
///
/// # Examples
///
/// ```
/// let mut samples = [1.0, 2.0, 3.0, 4.0];
/// audio_frontend::zero_mean_unit_var_norm(&mut samples);
/// assert!((samples[3] - 1.341_640_7).abs() < 1e-6);
/// ```
pub fn zero_mean_unit_var_norm(samples: &mut [f32]) {
    if samples.is_empty() {
        return;
    }
    let n = samples.len() as f64;
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = samples.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + VARIANCE_EPS).sqrt();
    for x in samples {
        *x = ((f64::from(*x) - mean) * scale) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_has_zero_mean_and_unit_variance() {
        let mut samples: Vec<f32> = (0..1009).map(|i| 0.3 + 0.1 * (i as f32 * 0.7).sin()).collect();
        zero_mean_unit_var_norm(&mut samples);
        let n = samples.len() as f64;
        let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = samples.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-6, "{mean}");
        assert!((variance - 1.0).abs() < 1e-4, "{variance}");
    }

    #[test]
    fn constants_and_nothing_stay_finite() {
        let mut constant = [0.25; 5];
        zero_mean_unit_var_norm(&mut constant);
        assert_eq!(constant, [0.0; 5]);
        zero_mean_unit_var_norm(&mut []);
        let mut one = [7.0];
        zero_mean_unit_var_norm(&mut one);
        assert_eq!(one, [0.0]);
    }
}
