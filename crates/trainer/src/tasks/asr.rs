//! Speech recognition: a Whisper model on audio and transcripts.
//!
//! Cross-entropy on the transcript, and on request a CTC loss on the encoder, which teaches a
//! model from scratch to listen before its decoder has learnt to align.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use audio_frontend::{Features, SpecAugment, SpeedPerturb};
use model_zoo::whisper::{
    EncoderInput, Prompt, Whisper, WhisperConfig, prompt_ids, shift_tokens_right,
};
use model_zoo::{Builder, LoadOptions, Parameters, Tokenizer};
use speech_metrics::{ErrorRate, Normalizer, wer};
use tensor_core::{
    Context, CrossEntropyOptions, DType, Device, Philox, Tensor, Var, cross_entropy, ctc_loss,
};

use super::{BatchSource, LossPart, Scores, Task};
use crate::batching::{BatchPlan, Length};
use crate::dataset::audio::{FeatureStore, collate};
use crate::dataset::{batch_options, training_utterances};
use crate::dataset::text::{open_tokenizer, text_of};
use crate::losses::IGNORED;
use crate::manifest::{Utterance, read_all};
use crate::recipe::{Recipe, resolve_path};

/// Bytes of features that are kept in memory.
const FEATURE_MEMORY: usize = 1 << 30;

/// Random stream of token noise; dropout and other draws have theirs elsewhere.
const NOISE_STREAM: u64 = 4 << 60;

/// Utterances with their transcripts as labels.
struct Transcribed {
    utterances: Arc<Vec<Utterance>>,
    features: FeatureStore,
    /// Prompt after the start token, text, end token.
    labels: Vec<Vec<i64>>,
    /// Text alone.
    text_ids: Vec<Vec<u32>>,
}

impl Transcribed {
    fn new(
        utterances: Vec<Utterance>,
        recipe: &Recipe,
        words: &Words,
        n_mels: usize,
    ) -> anyhow::Result<Self> {
        let utterances = Arc::new(utterances);
        let mut labels = Vec::with_capacity(utterances.len());
        let mut text_ids = Vec::with_capacity(utterances.len());
        for utterance in utterances.iter() {
            // The blank before the first word is how Whisper's vocabulary begins a text.
            let text = format!(" {}", text_of(utterance, &recipe.data)?.trim());
            let ids = words.tokenizer.encode(&text, false)?;
            let prompt = words.prompt[1..].iter().chain(&ids).chain([&words.end]);
            let row: Vec<i64> = prompt.map(|&id| i64::from(id)).collect();
            ensure!(
                row.len() <= words.longest,
                "{}: transcript has {} tokens with its prompt, expected at most {} (hint: \
                 max_target_positions of the model's config)",
                utterance.place,
                row.len(),
                words.longest
            );
            labels.push(row);
            text_ids.push(ids);
        }
        let features = FeatureStore::new(utterances.clone(), n_mels, FEATURE_MEMORY);
        Ok(Self { utterances, features, labels, text_ids })
    }
}

/// What the model reads and writes.
struct Words {
    tokenizer: Tokenizer,
    /// Start token first.
    prompt: Vec<u32>,
    end: u32,
    pad: u32,
    longest: usize,
}

/// One forward pass of speech recognition.
pub struct AsrBatch {
    input_features: Tensor,
    frame_lengths: Vec<usize>,
    decoder_input_ids: Tensor,
    /// `(B * T)`, padding ignored.
    labels: Tensor,
    n_labels: usize,
    text_ids: Vec<Vec<u32>>,
    seconds: f64,
    /// Whether the decoder has no part in this batch.
    ctc_only: bool,
}

/// Worker-side half of [`AsrTask`].
pub struct AsrSource {
    train: Transcribed,
    words: Arc<Words>,
    speed: SpeedPerturb,
    masks: SpecAugment,
    /// Share of decoder inputs that are replaced, and by ids below what.
    noise: (f64, u32),
    /// Micro-batches before the decoder joins.
    ctc_only: u64,
    seed: u64,
}

impl AsrSource {
    fn batch(&self, data: &Transcribed, items: &[usize], features: Vec<Arc<Features>>)
        -> anyhow::Result<AsrBatch> {
        let (input_features, frame_lengths) = collate(&features)?;
        let longest = items.iter().map(|&item| data.labels[item].len()).max().unwrap_or(0);
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        for &item in items {
            let mut row = data.labels[item].clone();
            row.resize(longest, IGNORED);
            inputs.extend(shift_tokens_right(&row, self.words.pad, self.words.prompt[0]));
            labels.extend(row);
        }
        let n_labels = labels.iter().filter(|&&label| label != IGNORED).count();
        Ok(AsrBatch {
            seconds: frame_lengths.iter().sum::<usize>() as f64 / 100.0,
            ctc_only: false,
            input_features,
            frame_lengths,
            decoder_input_ids: Tensor::from_vec(inputs, &[items.len(), longest], Device::Cpu)?,
            labels: Tensor::from_vec(labels, &[items.len() * longest], Device::Cpu)?,
            n_labels,
            text_ids: items.iter().map(|&item| data.text_ids[item].clone()).collect(),
        })
    }
}

impl AsrSource {
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
        let features = items
            .iter()
            .enumerate()
            .map(|(k, &item)| {
                // One number for each item of each micro-batch; no batch has 2^20 items.
                let draw = (number << 20) + k as u64;
                let clean = self.train.features.get(item, self.speed.factor(self.seed, draw))?;
                let mut features = Features::clone(&clean);
                let n_frames = features.n_frames;
                self.masks.apply(&mut features, n_frames, self.seed, draw);
                Ok(Arc::new(features))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut batch = self.batch(&self.train, items, features)?;
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

/// Trains `Whisper` on transcripts.
pub struct AsrTask {
    model: Whisper,
    ctc_head: Option<(Var, Var)>,
    parameters: Parameters,
    source: Arc<AsrSource>,
    plan: Arc<BatchPlan>,
    dev: Transcribed,
    recipe: Recipe,
}

impl AsrTask {
    /// Opens or makes the model and reads the manifests of a recipe.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the config, the weights, the tokenizer or a manifest line.
    pub fn new(recipe: &Recipe) -> anyhow::Result<Self> {
        let (tokenizer, _) = open_tokenizer(&recipe.model)?;
        let model = open_whisper(recipe, &tokenizer)?;
        let prompt = prompt_ids(&tokenizer, Prompt::default())?;
        let end = tokenizer.eos_id().context("tokenizer: no <|endoftext|> token")?;
        let words = Arc::new(Words {
            prompt,
            end,
            pad: model.config.pad_token_id.unwrap_or(end),
            longest: model.config.max_target_positions,
            tokenizer,
        });

        let n_mels = model.config.num_mel_bins;
        let train = training_utterances(recipe)?;
        let train = Transcribed::new(train, recipe, &words, n_mels)?;
        let dev = Transcribed::new(read_all(&recipe.data.dev)?, recipe, &words, n_mels)?;
        let plan = plan(&train, recipe)?;

        let mut parameters = model.parameters().clone();
        let ctc_head = match recipe.loss.ctc_weight > 0.0 {
            true => Some(ctc_head(&model, &mut parameters, recipe.seed)?),
            false => None,
        };
        let augment = &recipe.augment;
        let source_vocabulary = words.tokenizer.vocab_size() as u32;
        let source = AsrSource {
            train,
            words,
            speed: SpeedPerturb { factors: augment.speed.clone() },
            masks: SpecAugment {
                n_freq_masks: augment.freq_masks,
                max_freq_width: augment.freq_mask_width,
                n_time_masks: augment.time_masks,
                max_time_width: augment.time_mask_width,
                ..SpecAugment::default()
            },
            noise: (augment.token_noise, source_vocabulary),
            ctc_only: recipe.loss.ctc_only_steps * recipe.batch.accumulate.max(1) as u64,
            seed: recipe.seed,
        };
        let (source, recipe) = (Arc::new(source), recipe.clone());
        Ok(Self { model, ctc_head, parameters, source, plan, dev, recipe })
    }

    /// The model being trained.
    pub fn model(&self) -> &Whisper {
        &self.model
    }

    /// The utterances trained on.
    pub fn train_utterances(&self) -> &[Utterance] {
        &self.source.train.utterances
    }

    /// Writes a Hugging Face folder with the model and its tokenizer.
    ///
    /// Training sees clips at their own length, so the folder says that they need no padding.
    pub fn export(&self, dir: &Path) -> anyhow::Result<()> {
        self.model.save_hf_folder(dir, None)?;
        let text = format!(
            "{{\n  \"feature_size\": {},\n  \"sampling_rate\": 16000,\n  \"n_fft\": 400,\n  \
             \"hop_length\": 160,\n  \"pad_to_window\": false\n}}\n",
            self.model.config.num_mel_bins
        );
        crate::atomic::write(&dir.join("preprocessor_config.json"), |file| {
            Ok(file.write_all(text.as_bytes())?)
        })?;
        Ok(self.source.words.tokenizer.save(dir)?)
    }

    /// Transcribes utterances of manifests and scores them.
    pub fn test(&self, specs: &[String]) -> anyhow::Result<(Vec<Utterance>, Vec<String>)> {
        let n_mels = self.model.config.num_mel_bins;
        let data =
            Transcribed::new(read_all(specs)?, &self.recipe, &self.source.words, n_mels)?;
        let texts = self.transcribe(&data)?;
        Ok((Arc::unwrap_or_clone(data.utterances), texts))
    }

    fn forward(&self, ctx: &Context, batch: &AsrBatch) -> anyhow::Result<Vec<LossPart>> {
        let input = EncoderInput {
            frame_lengths: Some(&batch.frame_lengths),
            ..EncoderInput::new(&batch.input_features)
        };
        let memory = self.model.encode(ctx, &input)?;
        let sum = match batch.ctc_only {
            true => Tensor::scalar(0.0, DType::F32, Device::Cpu)?,
            false => {
                let logits = self.model.decode(ctx, &batch.decoder_input_ids, &memory)?;
                let smoothing = self.recipe.loss.label_smoothing;
                let options = CrossEntropyOptions {
                    ignore_index: IGNORED,
                    label_smoothing: if ctx.training() { smoothing } else { 0.0 },
                };
                cross_entropy(&logits.flatten(0, 1)?, &batch.labels, options)?
            }
        };
        let mut parts = vec![LossPart { name: "ce", sum, weight: 1.0 }];
        if let Some((weight, bias)) = &self.ctc_head {
            let states = &memory.last_hidden_state;
            let logits = states.linear(&ctx.weight(weight)?, Some(&ctx.param(bias)))?;
            let blank = self.source.words.end as usize;
            let losses =
                ctc_loss(&logits, &memory.lengths, &batch.text_ids, blank, true)?.sum_all()?;
            let weight = self.recipe.loss.ctc_weight;
            parts.push(LossPart { name: "ctc", sum: losses, weight });
        }
        Ok(parts)
    }

    /// Utterance indices in batches of similar length.
    fn eval_batches(&self, data: &Transcribed) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..data.utterances.len()).collect();
        let length = |item: usize| data.utterances[item].duration_s.unwrap_or(0.0);
        order.sort_by(|&a, &b| length(a).total_cmp(&length(b)).then(a.cmp(&b)));
        order.chunks(self.recipe.eval.batch_items.max(1)).map(<[usize]>::to_vec).collect()
    }

    fn clean_features(
        &self,
        data: &Transcribed,
        items: &[usize],
    ) -> anyhow::Result<Vec<Arc<Features>>> {
        items.iter().map(|&item| data.features.get(item, 1.0)).collect()
    }

    fn transcribe(&self, data: &Transcribed) -> anyhow::Result<Vec<String>> {
        let ctx = Context::eval();
        let mut options = self.model.greedy_options(self.source.words.prompt.clone());
        options.max_new_tokens = options.max_new_tokens.min(self.recipe.eval.max_new_tokens);
        let mut texts = vec![String::new(); data.utterances.len()];
        for items in self.eval_batches(data) {
            let (features, lengths) = collate(&self.clean_features(data, &items)?)?;
            let input =
                EncoderInput { frame_lengths: Some(&lengths), ..EncoderInput::new(&features) };
            let memory = self.model.encode(&ctx, &input)?;
            for (&item, ids) in items.iter().zip(self.model.greedy(&ctx, &memory, &options)?) {
                texts[item] = self.source.words.tokenizer.decode(&ids, true)?.trim().to_string();
            }
        }
        Ok(texts)
    }
}

impl Task for AsrTask {
    type Source = AsrSource;

    fn source(&self) -> Arc<AsrSource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, ctx: &Context, batch: &AsrBatch) -> anyhow::Result<Vec<LossPart>> {
        self.forward(ctx, batch)
    }

    fn evaluate(&self) -> anyhow::Result<Scores> {
        let ctx = Context::eval();
        let (mut loss, mut count) = (0.0, 0.0);
        for items in self.eval_batches(&self.dev) {
            let batch =
                self.source.batch(&self.dev, &items, self.clean_features(&self.dev, &items)?)?;
            loss += self.forward(&ctx, &batch)?[0].sum.item()?;
            count += batch.n_labels as f64;
        }
        let texts = self.transcribe(&self.dev)?;
        let rate = word_error_rate(&self.dev.utterances, &texts, &self.recipe, Normalizer::Basic)?;
        Ok(vec![("loss".into(), loss / count), ("wer".into(), rate.corpus)])
    }
}

/// Pooled word error rate of transcripts under a normaliser.
pub fn word_error_rate(
    utterances: &[Utterance],
    texts: &[String],
    recipe: &Recipe,
    normalizer: Normalizer,
) -> anyhow::Result<ErrorRate> {
    let references = utterances
        .iter()
        .map(|utterance| text_of(utterance, &recipe.data))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(wer(&references, texts, normalizer)?)
}

fn open_whisper(recipe: &Recipe, tokenizer: &Tokenizer) -> anyhow::Result<Whisper> {
    let mut model = if recipe.model.dir.is_empty() {
        let mut config = WhisperConfig::open(&resolve_path(&recipe.model.config))?;
        config.dropout = recipe.model.dropout;
        let root = Builder::random(recipe.seed, DType::F32, Device::Cpu);
        Whisper::new(&root, &config)?
    } else {
        Whisper::open(&resolve_path(&recipe.model.dir), LoadOptions::default())?
    };
    ensure!(
        tokenizer.vocab_size() <= model.config.vocab_size,
        "tokenizer has {} tokens, the model's vocab_size is {}",
        tokenizer.vocab_size(),
        model.config.vocab_size
    );
    model.set_gradient_checkpointing(recipe.train.grad_checkpoint);
    Ok(model)
}

/// A linear map from encoder states to the vocabulary, trained beside the model.
fn ctc_head(
    model: &Whisper,
    parameters: &mut Parameters,
    seed: u64,
) -> anyhow::Result<(Var, Var)> {
    let (width, vocab) = (model.config.d_model, model.config.vocab_size);
    let mut rng = Philox::new(seed, u64::from_le_bytes(*b"ctc_head"));
    let std = model.config.init_std;
    let weight = Tensor::randn(&[vocab, width], std, &mut rng, DType::F32, Device::Cpu)?;
    let bias = Tensor::zeros(&[vocab], DType::F32, Device::Cpu)?;
    let head = (Var::new(weight), Var::new(bias));
    parameters.insert("ctc_head.weight", head.0.clone())?;
    parameters.insert("ctc_head.bias", head.1.clone())?;
    Ok(head)
}

fn plan(train: &Transcribed, recipe: &Recipe) -> anyhow::Result<Arc<BatchPlan>> {
    let lengths = train
        .utterances
        .iter()
        .zip(&train.labels)
        .map(|(utterance, labels)| Length {
            seconds: utterance.duration_s.unwrap_or(0.0),
            tokens: labels.len(),
        })
        .collect();
    Ok(Arc::new(BatchPlan::new(lengths, batch_options(recipe), recipe.seed)?))
}
