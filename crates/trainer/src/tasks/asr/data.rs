//! Batches of speech with transcripts.

use std::sync::Arc;

use anyhow::ensure;
use audio_frontend::{Features, SpecAugment, VocalTract};
use model_zoo::Tokenizer;
use model_zoo::whisper::shift_tokens_right;
use tensor_core::{Device, Philox, Tensor};

use crate::dataset::audio::collate;
use crate::dataset::respoken::Respoken;
use crate::dataset::splice::join_features;
use crate::dataset::store::FeatureStore;
use crate::dataset::text::text_of;
use crate::losses::IGNORED;
use crate::manifest::Utterance;
use crate::recipe::Recipe;
use crate::tasks::BatchSource;

/// Bytes of features that are kept in memory.
const FEATURE_MEMORY: usize = 1 << 30;

/// Random stream of token noise; dropout and other draws have theirs elsewhere.
const NOISE_STREAM: u64 = 4 << 60;
/// Random stream of position shifts.
const SHIFT_STREAM: u64 = 6 << 60;
/// Random stream of splicing.
const SPLICE_STREAM: u64 = 5 << 60;

/// Utterances with their transcripts as labels.
pub(super) struct Transcribed {
    pub(super) utterances: Arc<Vec<Utterance>>,
    pub(super) features: FeatureStore,
    /// Transcripts, as the recipe wants them.
    pub(super) texts: Vec<String>,
    pub(super) spelled: Vec<Spelled>,
}

/// A transcript in tokens.
#[derive(Clone)]
pub(super) struct Spelled {
    /// Prompt after the start token, text, end token.
    pub(super) labels: Vec<i64>,
    /// Text alone.
    pub(super) text_ids: Vec<u32>,
}

impl Transcribed {
    pub(super) fn new(
        utterances: Vec<Utterance>,
        recipe: &Recipe,
        words: &Words,
        n_mels: usize,
    ) -> anyhow::Result<Self> {
        let utterances = Arc::new(utterances);
        let mut texts = Vec::with_capacity(utterances.len());
        let mut spelled = Vec::with_capacity(utterances.len());
        for utterance in utterances.iter() {
            let text = text_of(utterance, &recipe.data)?.trim().to_string();
            let row = words.spell(&text)?;
            ensure!(
                row.labels.len() <= words.longest,
                "{}: transcript has {} tokens with its prompt, expected at most {} (hint: \
                 max_target_positions of the model's config)",
                utterance.place,
                row.labels.len(),
                words.longest
            );
            texts.push(text);
            spelled.push(row);
        }
        let features = FeatureStore::new(utterances.clone(), n_mels, FEATURE_MEMORY);
        Ok(Self { utterances, features, texts, spelled })
    }
}

/// What the model reads and writes.
pub(super) struct Words {
    pub(super) tokenizer: Tokenizer,
    /// Start token first.
    pub(super) prompt: Vec<u32>,
    pub(super) end: u32,
    pub(super) pad: u32,
    pub(super) longest: usize,
    /// Frames that the encoder has positions for.
    pub(super) most_frames: usize,
}

impl Words {
    /// A transcript in tokens.
    fn spell(&self, text: &str) -> anyhow::Result<Spelled> {
        // The blank before the first word is how Whisper's vocabulary begins a text.
        let text_ids = self.tokenizer.encode(&format!(" {text}"), false)?;
        let labels = self.prompt[1..].iter().chain(&text_ids).chain([&self.end]);
        Ok(Spelled { labels: labels.map(|&id| i64::from(id)).collect(), text_ids })
    }
}

/// One forward pass of speech recognition.
pub struct AsrBatch {
    pub(super) input_features: Tensor,
    pub(super) frame_lengths: Vec<usize>,
    pub(super) decoder_input_ids: Tensor,
    /// `(B * T)`, padding ignored.
    pub(super) labels: Tensor,
    pub(super) n_labels: usize,
    pub(super) text_ids: Vec<Vec<u32>>,
    seconds: f64,
    /// Number of the encoder's first position.
    pub(super) first_position: usize,
    /// Whether the decoder has no part in this batch.
    pub(super) ctc_only: bool,
}

/// Worker-side half of [`AsrTask`](super::AsrTask).
pub struct AsrSource {
    pub(super) train: Transcribed,
    pub(super) words: Arc<Words>,
    respoken: Respoken,
    vocal_tract: VocalTract,
    masks: SpecAugment,
    /// Share of decoder inputs that are replaced, and by ids below what.
    noise: (f64, u32),
    position_shift: bool,
    /// Micro-batches before the decoder joins.
    ctc_only: u64,
    seed: u64,
}

impl AsrSource {
    /// Batches of `train`, augmented as the recipe says.
    ///
    /// # Errors
    ///
    /// When words shall be spliced and the manifests do not say where they are.
    pub(super) fn new(
        train: Transcribed,
        words: Arc<Words>,
        recipe: &Recipe,
    ) -> anyhow::Result<Self> {
        let augment = &recipe.augment;
        Ok(Self {
            position_shift: augment.position_shift,
            respoken: Respoken::new(recipe, &train.utterances, &train.texts, SPLICE_STREAM)?,
            vocal_tract: VocalTract { max_warp: augment.vocal_tract },
            masks: SpecAugment {
                n_freq_masks: augment.freq_masks,
                max_freq_width: augment.freq_mask_width,
                n_time_masks: augment.time_masks,
                max_time_width: augment.time_mask_width,
                ..SpecAugment::default()
            },
            noise: (augment.token_noise, words.tokenizer.vocab_size() as u32),
            ctc_only: recipe.loss.ctc_only_steps * recipe.batch.accumulate.max(1) as u64,
            seed: recipe.seed,
            train,
            words,
        })
    }

    /// Sounds with their transcripts as a batch, without noise.
    pub(super) fn batch(
        &self,
        features: &[Arc<Features>],
        spelled: Vec<Spelled>,
    ) -> anyhow::Result<AsrBatch> {
        let (input_features, frame_lengths) = collate(features)?;
        let longest = spelled.iter().map(|row| row.labels.len()).max().unwrap_or(0);
        let (mut inputs, mut labels, mut text_ids) = (Vec::new(), Vec::new(), Vec::new());
        for Spelled { labels: mut row, text_ids: ids } in spelled {
            text_ids.push(ids);
            row.resize(longest, IGNORED);
            inputs.extend(shift_tokens_right(&row, self.words.pad, self.words.prompt[0]));
            labels.extend(row);
        }
        let n_labels = labels.iter().filter(|&&label| label != IGNORED).count();
        Ok(AsrBatch {
            seconds: frame_lengths.iter().sum::<usize>() as f64 / 100.0,
            ctc_only: false,
            first_position: 0,
            input_features,
            frame_lengths,
            decoder_input_ids: Tensor::from_vec(inputs, &[features.len(), longest], Device::Cpu)?,
            labels: Tensor::from_vec(labels, &[features.len() * longest], Device::Cpu)?,
            n_labels,
            text_ids,
        })
    }
}

impl AsrSource {
    /// Sound and transcript of a training utterance under draw number `draw`.
    fn example(&self, item: usize, draw: u64) -> anyhow::Result<(Features, Spelled)> {
        let speed = self.respoken.speed(draw);
        if let Some((stretches, text)) = self.respoken.splice(item, draw) {
            let features_of = |item| self.train.features.get(item, speed);
            let features = join_features(&stretches, speed, features_of)?;
            let spelled = self.words.spell(&text)?;
            let fits = spelled.labels.len() <= self.words.longest
                && features.n_frames <= self.words.most_frames;
            if fits {
                return Ok((features, spelled));
            }
        }
        let clean = self.train.features.get(item, speed)?;
        Ok((Features::clone(&clean), self.train.spelled[item].clone()))
    }

    /// Replaces a share of the decoder's inputs, the prompt excepted, by random ids.
    fn noisy(&self, mut inputs: Vec<i64>, width: usize, number: u64) -> Vec<i64> {
        let mut rng = Philox::new(self.seed, NOISE_STREAM | number);
        let (share, n_ids) = self.noise;
        for row in inputs.chunks_mut(width) {
            for id in row.iter_mut().skip(self.words.prompt.len()) {
                if f64::from(rng.uniform()) < share {
                    *id = i64::from(rng.below(n_ids));
                }
            }
        }
        inputs
    }
}

impl BatchSource for AsrSource {
    type Batch = AsrBatch;

    fn make(&self, number: u64, items: &[usize]) -> anyhow::Result<AsrBatch> {
        let examples = items
            .iter()
            .enumerate()
            .map(|(k, &item)| {
                // One number for each item of each micro-batch; no batch has 2^20 items.
                let draw = (number << 20) + k as u64;
                let (mut features, spelled) = self.example(item, draw)?;
                let n_frames = features.n_frames;
                self.vocal_tract.apply(&mut features, self.seed, draw);
                self.masks.apply(&mut features, n_frames, self.seed, draw);
                Ok((Arc::new(features), spelled))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (features, spelled): (Vec<_>, Vec<_>) = examples.into_iter().unzip();
        let mut batch = self.batch(&features, spelled)?;
        if self.position_shift {
            let longest = batch.frame_lengths.iter().copied().max().unwrap_or(0);
            let spare = self.words.most_frames.saturating_sub(longest) / 2;
            let mut rng = Philox::new(self.seed, SHIFT_STREAM | number);
            batch.first_position = rng.below(spare as u32 + 1) as usize;
        }
        batch.ctc_only = number < self.ctc_only;
        if self.noise.0 > 0.0 {
            let inputs = batch.decoder_input_ids.to_vec::<i64>()?;
            let noisy = self.noisy(inputs, batch.decoder_input_ids.shape()[1], number);
            batch.decoder_input_ids =
                Tensor::from_vec(noisy, batch.decoder_input_ids.shape(), Device::Cpu)?;
        }
        Ok(batch)
    }

    fn counts(&self, batch: &AsrBatch) -> Vec<f64> {
        let pieces: usize = batch.text_ids.iter().map(Vec::len).sum();
        vec![batch.n_labels as f64, pieces as f64]
    }

    fn volume(&self, batch: &AsrBatch) -> (f64, usize) {
        (batch.seconds, batch.n_labels)
    }
}
