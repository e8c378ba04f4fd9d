//! States of utterances, made on demand: in memory, then on disk, then by the encoder.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tensor_core::{Context, Device, Tensor};

use super::encoder::SpeechEncoder;
use crate::dataset::audio::{SAMPLE_RATE, load_samples};
use crate::dataset::cache_dir;
use crate::dataset::store::Kept;
use crate::feature_cache::{FeatureCache, Key};
use crate::manifest::Utterance;
use crate::model_folder::content_hash;
use crate::recipe::{Encoder, EncoderLayer, resolve_path};

/// Bytes of states, and of samples, that are kept in memory.
const MEMORY: usize = 1 << 30;

/// The encoder of a recipe with what it has heard.
pub struct States {
    pub encoder: SpeechEncoder,
    /// Says which encoder and layer states are of. The number in front rises when the encoders' sums
    /// change.
    key: String,
    disk: Option<FeatureCache>,
    /// States by utterance, whichever list it is in.
    kept: Kept<Tensor>,
}

impl States {
    /// Opens the encoder and its cache.
    pub fn open(settings: &Encoder) -> anyhow::Result<Self> {
        ensure!(
            !settings.dir.is_empty(),
            "recipe: encoder.dir is empty, expected a folder with a HuBERT or Whisper model"
        );
        let dir = resolve_path(&settings.dir);
        let layer = EncoderLayer::parse(&settings.layer).context("encoder.layer")?;
        let encoder = SpeechEncoder::open(&dir, layer)?;
        let disk = match settings.cache_mb {
            0 => None,
            cap => Some(FeatureCache::open(cache_dir().join("speech"), cap << 20)?),
        };
        let key = format!("v1 {} {}", content_hash(&dir)?, settings.layer);
        Ok(Self { encoder, key, disk, kept: Kept::new(MEMORY) })
    }

    /// States `(n_states, F, width)` of an utterance, kept in memory as far as there is room.
    fn of_utterance(&self, utterance: &Utterance) -> anyhow::Result<Tensor> {
        let bytes = |states: &Tensor| states.elem_count() * size_of::<f32>();
        let file = blake3::hash(utterance.place.file.as_os_str().as_encoded_bytes());
        let (file, _) = file.as_bytes().split_at(8);
        let key = (utterance.place.line, bytemuck::pod_read_unaligned(file));
        let made = self.kept.get(key, bytes, || {
            // Samples are not kept where their states are.
            let samples = load_samples(utterance)?;
            self.of_samples(&samples)
                .with_context(|| format!("{}: utterance `{}`", utterance.place, utterance.id))
        })?;
        Ok(made.as_ref().clone())
    }

    /// Bytes of states of `utterances` that memory will hold beyond those that it holds now, as far as
    /// lengths are known.
    pub fn bytes_to_keep(&self, utterances: &[Utterance]) -> usize {
        let seconds: f64 = utterances.iter().filter_map(|utterance| utterance.duration_s).sum();
        let frames = self.encoder.frames((seconds * f64::from(SAMPLE_RATE)) as usize);
        let all = frames * self.encoder.n_states() * self.encoder.width() * size_of::<f32>();
        all.min(MEMORY).saturating_sub(self.kept.bytes())
    }

    /// States `(n_states, F, width)` of a clip, without dropout.
    fn of_samples(&self, samples: &[f32]) -> anyhow::Result<Tensor> {
        let compute = || {
            let states = self.encoder.states(&Context::eval(), samples)?;
            Ok(bytemuck::cast_slice::<f32, u8>(&states.to_vec_f32()?).to_vec())
        };
        let key = Key::of(&[self.key.as_bytes(), bytemuck::cast_slice(samples)]);
        let bytes = match &self.disk {
            Some(disk) => disk.get_or_compute(&key, compute)?,
            None => compute()?,
        };
        let values: Vec<f32> = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
        let (n_states, width) = (self.encoder.n_states(), self.encoder.width());
        let frames = values.len() / (n_states * width);
        Ok(Tensor::from_vec(values, &[n_states, frames, width], Device::Cpu)?)
    }
}

/// Utterances with their sound and its states.
pub struct Heard {
    pub utterances: Arc<Vec<Utterance>>,
    pub states: Arc<States>,
    samples: Kept<Vec<f32>>,
}

impl Heard {
    pub fn new(utterances: Vec<Utterance>, states: Arc<States>) -> Self {
        let utterances = Arc::new(utterances);
        Self { utterances, states, samples: Kept::new(MEMORY) }
    }

    /// Samples of an utterance.
    pub fn samples(&self, item: usize) -> anyhow::Result<Arc<Vec<f32>>> {
        let bytes = |samples: &Vec<f32>| size_of_val(samples.as_slice());
        self.samples.get((item, 0), bytes, || load_samples(&self.utterances[item]))
    }

    /// States `(n_states, F, width)` of an utterance.
    pub fn states(&self, item: usize) -> anyhow::Result<Tensor> {
        let utterance = &self.utterances[item];
        self.states.of_utterance(utterance)
    }

    /// States of a stretch of an utterance, heard by itself.
    pub fn states_within(&self, item: usize, seconds: Range<f64>) -> anyhow::Result<Tensor> {
        let samples = self.samples(item)?;
        let at = |time: f64| ((time * f64::from(SAMPLE_RATE)) as usize).min(samples.len());
        let utterance = &self.utterances[item];
        let stretch = &samples[at(seconds.start)..at(seconds.end)];
        self.states.encoder.states(&Context::eval(), stretch).with_context(|| {
            let Range { start, end } = seconds;
            format!("{}: utterance `{}`, {start} to {end} s", utterance.place, utterance.id)
        })
    }

    /// Frames that an utterance has, as far as its length is known.
    pub fn frames(&self, item: usize) -> Option<usize> {
        let seconds = self.utterances[item].duration_s?;
        Some(self.states.encoder.frames((seconds * f64::from(SAMPLE_RATE)).round() as usize))
    }
}

/// States `(n_states, F, width)` side by side: `(B, n_states, F, width)`, NaN after the ends, and
/// the frames of each.
pub fn collate(items: &[Tensor]) -> anyhow::Result<(Tensor, Vec<usize>)> {
    let lengths: Vec<usize> = items.iter().map(|item| item.shape()[1]).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let padded = items
        .iter()
        .map(|item| {
            let &[n_states, frames, width] = item.shape() else {
                anyhow::bail!("states are {:?}, expected (states, F, width)", item.shape())
            };
            let padding = [n_states, longest - frames, width];
            let padding = Tensor::full(&padding, f64::NAN, item.dtype(), item.device())?;
            Ok(Tensor::cat(&[item, &padding], 1)?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok((Tensor::stack(&padded.iter().collect::<Vec<_>>(), 0)?, lengths))
}
