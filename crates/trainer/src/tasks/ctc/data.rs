//! Batches of waveforms with their characters.

use std::sync::Arc;

use anyhow::Context as _;
use model_zoo::ctc::CtcVocabulary;
use model_zoo::hubert::{HubertConfig, Preprocessor};
use tensor_core::{Device, Tensor};

use crate::dataset::audio::SAMPLE_RATE;
use crate::dataset::respoken::Respoken;
use crate::dataset::splice::join_samples;
use crate::dataset::store::SampleStore;
use crate::dataset::text::text_of;
use crate::manifest::Utterance;
use crate::recipe::Recipe;
use crate::tasks::BatchSource;

/// Bytes of samples that are kept in memory.
const SAMPLE_MEMORY: usize = 1 << 30;

/// Random stream of splicing; dropout and masks have theirs elsewhere.
const SPLICE_STREAM: u64 = 7 << 60;

/// How a model writes and hears.
pub(super) struct Notation {
    pub(super) vocabulary: CtcVocabulary,
    pub(super) preprocessor: Preprocessor,
    pub(super) config: HubertConfig,
}

impl Notation {
    /// Labels of a transcript: its letters in the vocabulary's case, without the punctuation that
    /// the vocabulary lacks.
    ///
    /// # Errors
    ///
    /// Names a letter or digit that the vocabulary lacks.
    fn spell(&self, text: &str) -> anyhow::Result<Vec<u32>> {
        let has_label = |c: char| self.vocabulary.encode(c.encode_utf8(&mut [0; 4])).is_ok();
        let written: String = text
            .chars()
            .filter(|&c| c.is_alphanumeric() || c.is_whitespace() || has_label(c))
            .collect();
        let words: Vec<&str> = written.split_whitespace().collect();
        Ok(self.vocabulary.encode(&words.join(" "))?)
    }
}

/// Utterances with their transcripts as labels.
pub(super) struct Spoken {
    pub(super) utterances: Arc<Vec<Utterance>>,
    pub(super) samples: SampleStore,
    pub(super) texts: Vec<String>,
    pub(super) labels: Vec<Vec<u32>>,
}

impl Spoken {
    pub(super) fn new(
        utterances: Vec<Utterance>,
        recipe: &Recipe,
        notation: &Notation,
    ) -> anyhow::Result<Self> {
        let utterances = Arc::new(utterances);
        let (mut texts, mut labels) = (Vec::new(), Vec::new());
        for utterance in utterances.iter() {
            let text = text_of(utterance, &recipe.data)?.into_owned();
            let row = notation.spell(&text).with_context(|| utterance.place.to_string())?;
            texts.push(text);
            labels.push(row);
        }
        let samples = SampleStore::new(utterances.clone(), SAMPLE_MEMORY);
        Ok(Self { utterances, samples, texts, labels })
    }
}

/// One forward pass of recognition by CTC.
pub struct CtcBatch {
    /// `(B, S)`, scaled as the model wants it, zeros after the ends.
    pub(super) input_values: Tensor,
    pub(super) sample_lengths: Vec<usize>,
    pub(super) labels: Vec<Vec<u32>>,
}

/// Worker-side half of [`CtcTask`](super::CtcTask).
pub struct CtcSource {
    pub(super) train: Spoken,
    pub(super) notation: Arc<Notation>,
    respoken: Respoken,
}

impl CtcSource {
    /// Batches of `train`, augmented as the recipe says.
    ///
    /// # Errors
    ///
    /// When words shall be spliced and the manifests do not say where they are.
    pub(super) fn new(
        train: Spoken,
        notation: Arc<Notation>,
        recipe: &Recipe,
    ) -> anyhow::Result<Self> {
        let respoken = Respoken::new(recipe, &train.utterances, &train.texts, SPLICE_STREAM)?;
        Ok(Self { train, notation, respoken })
    }

    /// Clips with their labels as a batch.
    pub(super) fn batch<C: AsRef<[f32]>>(
        &self,
        clips: &[C],
        labels: Vec<Vec<u32>>,
    ) -> anyhow::Result<CtcBatch> {
        let preprocessor = &self.notation.preprocessor;
        let (input_values, sample_lengths) = preprocessor.batch(clips, Device::Cpu)?;
        Ok(CtcBatch { input_values, sample_lengths, labels })
    }

    /// Sound and labels of a training utterance under draw number `draw`.
    fn example(&self, item: usize, draw: u64) -> anyhow::Result<(Arc<Vec<f32>>, Vec<u32>)> {
        let speed = self.respoken.speed(draw);
        let samples_of = |item| self.train.samples.get(item, speed);
        if let Some((stretches, text)) = self.respoken.splice(item, draw) {
            let samples = join_samples(&stretches, speed, samples_of)?;
            let labels = self.notation.spell(&text)?;
            // Words that end too close to each other may leave too little sound.
            if self.notation.config.frame_length(samples.len()) >= labels.len().max(1) {
                return Ok((Arc::new(samples), labels));
            }
        }
        Ok((samples_of(item)?, self.train.labels[item].clone()))
    }
}

impl BatchSource for CtcSource {
    type Batch = CtcBatch;

    fn make(&self, number: u64, items: &[usize]) -> anyhow::Result<CtcBatch> {
        let examples = items
            .iter()
            .enumerate()
            // One number for each item of each micro-batch; no batch has 2^20 items.
            .map(|(k, &item)| self.example(item, (number << 20) + k as u64))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (clips, labels): (Vec<_>, Vec<_>) = examples.into_iter().unzip();
        let clips: Vec<&[f32]> = clips.iter().map(|clip| clip.as_slice()).collect();
        self.batch(&clips, labels)
    }

    fn counts(&self, batch: &CtcBatch) -> Vec<f64> {
        vec![batch.labels.iter().map(Vec::len).sum::<usize>() as f64]
    }

    fn volume(&self, batch: &CtcBatch) -> (f64, usize) {
        let samples: usize = batch.sample_lengths.iter().sum();
        let labels = batch.labels.iter().map(Vec::len).sum();
        (samples as f64 / f64::from(SAMPLE_RATE), labels)
    }
}
