//! The frozen teacher: one vector an utterance, computed once and cached.

use std::path::Path;

use anyhow::{Context as _, ensure};
use audio_frontend::LogMel;
use model_zoo::LoadOptions;
use model_zoo::whisper::{EncoderInput, Whisper, WhisperConfig, WhisperEncoder};
use tensor_core::{Context, Device, Tensor};

use crate::dataset::audio::{Window, load_samples};
use crate::dataset::cache_dir;
use crate::feature_cache::{FeatureCache, Key};
use crate::host::Host;
use crate::manifest::Utterance;
use crate::model_folder::content_hash;
use crate::recipe::{Pool, Teacher, TeacherLayer, resolve_path};

/// Samples of audio behind one encoder state: two hops of the front end.
const SAMPLES_PER_STATE: usize = 320;

/// Vectors of a list of utterances.
pub struct TeacherVectors {
    width: usize,
    /// `(utterances, width)`.
    values: Vec<f32>,
}

impl TeacherVectors {
    /// Runs the teacher over utterances whose vectors are not in the cache.
    ///
    /// A vector's key is the content of the teacher's weights, the layer, the pooling and the
    /// samples, so that a changed file is never mistaken for an old one.
    pub fn compute(
        utterances: &[Utterance],
        teacher: &Teacher,
        host: &Host<'_>,
    ) -> anyhow::Result<Self> {
        ensure!(
            !teacher.dir.is_empty(),
            "recipe: teacher.dir is empty, expected a folder with a Whisper model"
        );
        let dir = resolve_path(&teacher.dir);
        let cache = match teacher.cache_mb {
            0 => None,
            cap => Some(FeatureCache::open(cache_dir().join("teacher"), cap << 20)?),
        };
        let runner = Runner::open(&dir, teacher)?;
        let model_key = fingerprint(&dir, teacher)?;
        let width = runner.config.d_model;
        let mut values = Vec::with_capacity(utterances.len() * width);
        let mut encoded = 0;
        for (done, utterance) in utterances.iter().enumerate() {
            host.go_on()?;
            let samples = load_samples(utterance)?;
            let mut compute = || {
                encoded += 1;
                if encoded % 100 == 0 {
                    host.say(&format!("teacher: {done} of {} utterances", utterances.len()));
                }
                let vector = runner.vector(&samples).with_context(|| {
                    format!("{}: utterance `{}`", utterance.place, utterance.id)
                })?;
                Ok(bytemuck::cast_slice::<f32, u8>(&vector).to_vec())
            };
            let key = Key::of(&[model_key.as_bytes(), bytemuck::cast_slice(&samples)]);
            let bytes = match &cache {
                Some(cache) => cache.get_or_compute(&key, compute)?,
                None => compute()?,
            };
            let vector: Vec<f32> =
                bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
            ensure!(
                vector.len() == width,
                "teacher cache: a vector has {} values, expected {width}",
                vector.len()
            );
            values.extend(vector);
        }
        Ok(Self { width, values })
    }

    /// Width of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vectors of some utterances, `(items, width)`.
    pub fn rows(&self, items: &[usize]) -> anyhow::Result<Tensor> {
        let rows = items.iter().flat_map(|&item| self.row(item).iter().copied()).collect();
        Ok(Tensor::from_vec(rows, &[items.len(), self.width], Device::Cpu)?)
    }

    /// The vector of one utterance.
    pub fn row(&self, item: usize) -> &[f32] {
        &self.values[item * self.width..(item + 1) * self.width]
    }
}

/// Everything about the teacher that decides a vector. The number in front rises when the encoder's sums
/// change, so that a run does not depend on which version filled the cache.
fn fingerprint(dir: &Path, teacher: &Teacher) -> anyhow::Result<String> {
    let layer = match teacher.layer {
        TeacherLayer::Last => "last".to_string(),
        TeacherLayer::Index(index) => index.to_string(),
    };
    Ok(format!("v3 {} {layer} {}", content_hash(dir)?, teacher.pool))
}

struct Runner {
    config: WhisperConfig,
    encoder: WhisperEncoder,
    log_mel: LogMel,
    window: Window,
    layer: TeacherLayer,
    pool: Pool,
}

impl Runner {
    fn open(dir: &Path, teacher: &Teacher) -> anyhow::Result<Self> {
        let (config, encoder, _) = Whisper::open_encoder(dir, LoadOptions::default())?;
        if let TeacherLayer::Index(index) = teacher.layer {
            ensure!(
                index <= config.encoder_layers,
                "recipe: teacher.layer is {index}, expected 0 to {} for {}",
                config.encoder_layers,
                dir.display()
            );
        }
        Ok(Self {
            log_mel: LogMel::new(config.num_mel_bins),
            window: Window::of_folder(dir, &config)?,
            config,
            encoder,
            layer: teacher.layer,
            pool: teacher.pool,
        })
    }

    /// The average state over the frames of an utterance.
    fn vector(&self, samples: &[f32]) -> anyhow::Result<Vec<f32>> {
        let (features, n_frames) = self.window.features(&self.log_mel, samples)?;
        let lengths = [n_frames];
        let input = EncoderInput {
            output_hidden_states: self.layer != TeacherLayer::Last,
            frame_lengths: Some(&lengths),
            ..EncoderInput::new(&features)
        };
        let output = self.encoder.forward(&Context::eval(), &input)?;
        let states = match self.layer {
            TeacherLayer::Last => &output.last_hidden_state,
            TeacherLayer::Index(index) => &output.hidden_states[index],
        };
        let count = match self.pool {
            Pool::Speech => samples.len().div_ceil(SAMPLES_PER_STATE).clamp(1, output.lengths[0]),
            Pool::All => output.lengths[0],
        };
        Ok(states.narrow(1, 0, count)?.mean(&[0, 1], false)?.to_vec_f32()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_sees_layer_and_pooling() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let teacher = crate::recipe::Recipe::default().teacher;
        let layer = TeacherLayer::Index(1);
        let prints = [
            teacher.clone(),
            Teacher { layer, ..teacher.clone() },
            Teacher { pool: Pool::All, ..teacher },
        ]
        .map(|teacher| fingerprint(folder.path(), &teacher).unwrap());
        assert!(prints[0] != prints[1] && prints[0] != prints[2]);
    }
}
