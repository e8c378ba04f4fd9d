//! What a folder says about its input: `preprocessor_config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tensor_core::{Device, Tensor};

use crate::error::{Result, ZooError};
use crate::json;

const FILE: &str = "preprocessor_config.json";

/// Added to a clip's variance, as `Wav2Vec2FeatureExtractor` of `transformers` does.
const VARIANCE_FLOOR: f64 = 1e-7;

/// Rate and scale of the samples that a model reads; defaults are those of `transformers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preprocessor {
    /// Samples a second, Hz.
    pub sampling_rate: u32,
    /// Whether each clip is brought to mean 0 and variance 1.
    pub do_normalize: bool,
    /// Whether a batch comes with its valid lengths. The published group-norm models say no: they
    /// were trained on clips padded with zeros.
    pub return_attention_mask: bool,
    /// Keys this crate does not use, kept for export.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for Preprocessor {
    fn default() -> Self {
        Self {
            sampling_rate: 16_000,
            do_normalize: true,
            return_attention_mask: false,
            extra: Map::new(),
        }
    }
}

impl Preprocessor {
    /// Reads `dir/preprocessor_config.json`; a folder without one means the defaults.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the file is malformed or its rate is 0.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let found: Self = json::read(&path)?;
        if found.sampling_rate == 0 {
            let detail = "sampling_rate is 0, expected at least 1";
            return Err(ZooError::config(path.display().to_string(), detail));
        }
        Ok(found)
    }

    /// Writes `dir/preprocessor_config.json` so that `transformers` reads it.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| ZooError::io(dir, e))?;
        let mut out = self.clone();
        for (key, value) in [
            ("feature_extractor_type", Value::from("Wav2Vec2FeatureExtractor")),
            ("feature_size", Value::from(1)),
            ("padding_side", Value::from("right")),
            ("padding_value", Value::from(0.0)),
        ] {
            out.extra.entry(key).or_insert(value);
        }
        json::write(&dir.join(FILE), &out)
    }

    /// Brings a clip without padding to the model's scale, in place: where `do_normalize` is set,
    /// `(x - mean) / sqrt(variance + 1e-7)` over all its samples, the sums in f64.
    pub fn scale(&self, clip: &mut [f32]) {
        if !self.do_normalize || clip.is_empty() {
            return;
        }
        let n = clip.len() as f64;
        let mean = clip.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = clip.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let gain = (variance + VARIANCE_FLOOR).sqrt().recip();
        for x in clip {
            *x = ((f64::from(*x) - mean) * gain) as f32;
        }
    }

    /// Clips of unequal lengths, each [scaled](Self::scale), as `(B, S)` with zeros after their
    /// ends, and their lengths.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is no clip or all are empty.
    pub fn batch<C: AsRef<[f32]>>(
        &self,
        clips: &[C],
        device: Device,
    ) -> Result<(Tensor, Vec<usize>)> {
        let lengths: Vec<usize> = clips.iter().map(|clip| clip.as_ref().len()).collect();
        let Some(longest) = lengths.iter().copied().max().filter(|&n| n > 0) else {
            let detail = format!("{} clips and no sample, expected at least 1", clips.len());
            return Err(ZooError::shape("hubert input", detail));
        };
        let mut values = vec![0.0; clips.len() * longest];
        for (row, clip) in values.chunks_exact_mut(longest).zip(clips) {
            let clip = clip.as_ref();
            row[..clip.len()].copy_from_slice(clip);
            self.scale(&mut row[..clip.len()]);
        }
        Ok((Tensor::from_vec(values, &[clips.len(), longest], device)?, lengths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clip_has_mean_zero_and_variance_one() {
        let mut clip: Vec<f32> = (0..999).map(|i| 0.3 + 0.01 * ((i * i) % 37) as f32).collect();
        Preprocessor::default().scale(&mut clip);
        let mean = clip.iter().map(|&x| f64::from(x)).sum::<f64>() / 999.0;
        let variance = clip.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 999.0;
        assert!(mean.abs() < 1e-7 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
    }

    #[test]
    fn a_clip_in_a_batch_is_scaled_by_its_own_samples() {
        let clips = [vec![1.0, 3.0], vec![5.0; 3], vec![]];
        let (batch, lengths) = Preprocessor::default().batch(&clips, Device::Cpu).unwrap();
        let one = (1.0f64 / (1.0 + 1e-7)).sqrt() as f32;
        let expected = [-one, one, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(batch.to_vec::<f32>().unwrap(), expected);
        assert_eq!((batch.shape(), lengths), (&[3, 3][..], vec![2, 3, 0]));

        let as_is = Preprocessor { do_normalize: false, ..Preprocessor::default() };
        let (batch, _) = as_is.batch(&clips, Device::Cpu).unwrap();
        assert_eq!(batch.to_vec::<f32>().unwrap()[..3], [1.0, 3.0, 0.0]);
        let nothing: [Vec<f32>; 0] = [];
        let text = as_is.batch(&nothing, Device::Cpu).unwrap_err().to_string();
        assert_eq!(text, "hubert input: 0 clips and no sample, expected at least 1");
    }
}
