//! Sound of utterances: samples, batches of features, and what a model wants of a clip's length.

use std::path::Path;

use anyhow::{Context as _, bail};
use audio_frontend::{Features, LoadOptions, LogMel};
use model_zoo::whisper::WhisperConfig;
use tensor_core::{Device, Tensor};

use crate::manifest::Utterance;

/// Sample rate of every model here, in Hz.
pub const SAMPLE_RATE: u32 = 16_000;

/// Samples of an utterance, mono at 16 kHz.
///
/// # Errors
///
/// Names the manifest line and the file, and says why it could not be decoded.
pub fn load_samples(utterance: &Utterance) -> anyhow::Result<Vec<f32>> {
    let Some(path) = &utterance.audio else {
        bail!("{}: utterance `{}` has no audio", utterance.place, utterance.id);
    };
    let options = LoadOptions {
        sample_rate: SAMPLE_RATE,
        offset_s: utterance.offset_s,
        duration_s: utterance.duration_s,
    };
    let wave = audio_frontend::load(path, &options)
        .with_context(|| format!("{}: utterance `{}`", utterance.place, utterance.id))?;
    Ok(wave.samples)
}

/// Pads features to the longest: `(B, F, T)` and the valid frames of each item.
///
/// Padding is NaN: a model that reads it is found out at once.
pub fn collate(features: &[impl AsRef<Features>]) -> anyhow::Result<(Tensor, Vec<usize>)> {
    let n_mels = features.first().map_or(0, |f| f.as_ref().n_mels);
    let longest = features.iter().map(|f| f.as_ref().n_frames).max().unwrap_or(0);
    let mut data = vec![f32::NAN; features.len() * n_mels * longest];
    for (item, rows) in features.iter().zip(data.chunks_mut((n_mels * longest).max(1))) {
        let item = item.as_ref();
        for (band, row) in rows.chunks_mut(longest).enumerate() {
            row[..item.n_frames].copy_from_slice(item.band(band));
        }
    }
    let lengths = features.iter().map(|f| f.as_ref().n_frames).collect();
    Ok((Tensor::from_vec(data, &[features.len(), n_mels, longest], Device::Cpu)?, lengths))
}

/// How much of its window a speech model wants filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Clips are padded with silence to this many samples, as the published models expect.
    Padded(usize),
    /// Clips keep their length, up to this many samples.
    Free(usize),
}

impl Window {
    /// What a folder says: `pad_to_window` in `preprocessor_config.json`, true when absent.
    ///
    /// The window itself is what the encoder has positions for.
    pub fn of_folder(dir: &Path, config: &WhisperConfig) -> anyhow::Result<Self> {
        // Two frames a position, 160 samples a frame.
        let longest = config.max_source_positions * 320;
        let path = dir.join("preprocessor_config.json");
        if !path.exists() {
            return Ok(Self::Padded(longest));
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: cannot read", path.display()))?;
        let json: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("{}: not JSON", path.display()))?;
        let padded = json.get("pad_to_window").and_then(serde_json::Value::as_bool);
        Ok(if padded.unwrap_or(true) { Self::Padded(longest) } else { Self::Free(longest) })
    }

    /// Samples that the model hears at once, at most.
    pub fn n_samples(self) -> usize {
        let (Self::Padded(longest) | Self::Free(longest)) = self;
        longest
    }

    /// Features `(1, F, T)` of a clip, and how many frames the encoder shall see.
    ///
    /// # Errors
    ///
    /// When the clip is longer than the window.
    pub fn features(self, log_mel: &LogMel, samples: &[f32]) -> anyhow::Result<(Tensor, usize)> {
        let longest = self.n_samples();
        if samples.len() > longest {
            bail!(
                "clip has {:.1} s, expected at most {:.1} s, the model's window (hint: offset and \
                 duration of a manifest line cut it)",
                samples.len() as f64 / f64::from(SAMPLE_RATE),
                longest as f64 / f64::from(SAMPLE_RATE)
            );
        }
        let features = match self {
            Self::Padded(longest) => log_mel.compute_padded(samples, longest),
            Self::Free(_) => log_mel.compute(samples),
        };
        let (n_mels, n_frames) = (features.n_mels, features.n_frames);
        Ok((Tensor::from_vec(features.data, &[1, n_mels, n_frames], Device::Cpu)?, n_frames))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn features(n_frames: usize) -> Arc<Features> {
        let data = (0..2 * n_frames).map(|k| k as f32).collect();
        Arc::new(Features { data, n_mels: 2, n_frames })
    }

    #[test]
    fn shorter_items_end_in_nan() {
        let (batch, lengths) = collate(&[features(1), features(3), features(0)]).unwrap();
        assert_eq!((batch.shape(), &lengths[..]), (&[3, 2, 3][..], &[1, 3, 0][..]));
        let values: Vec<Option<f32>> = batch
            .to_vec_f32()
            .unwrap()
            .into_iter()
            .map(|x| Some(x).filter(|x| !x.is_nan()))
            .collect();
        let expected = [
            [Some(0.0), None, None, Some(1.0), None, None],
            [Some(0.0), Some(1.0), Some(2.0), Some(3.0), Some(4.0), Some(5.0)],
            [None; 6],
        ];
        assert_eq!(values, expected.concat());
        assert_eq!(collate(&[features(0)]).unwrap().0.shape(), [1, 2, 0]);
        let none: [Arc<Features>; 0] = [];
        assert!(collate(&none).unwrap().1.is_empty());
    }
}
