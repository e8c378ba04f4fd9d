//! Speech recognition: a Whisper model on audio and transcripts.
//!
//! Cross-entropy on the transcript, and on request a CTC loss on the encoder.

mod align;
mod ctc;
mod data;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use audio_frontend::Features;
use model_zoo::whisper::{EncoderInput, EncoderOutput, Prompt, Whisper, WhisperConfig, prompt_ids};
use model_zoo::{Builder, LoadOptions, Parameters, Tokenizer};
use speech_metrics::{ErrorRate, Normalizer, wer};
use tensor_core::{Context, CrossEntropyOptions, DType, Device, Tensor, cross_entropy};

use self::align::word_ends;
use self::ctc::CtcHead;
pub use self::data::{AsrBatch, AsrSource};
use self::data::{Transcribed, Words};
use super::{LossPart, Scores, Task};
use crate::batching::{BatchPlan, Length};
use crate::dataset::audio::collate;
use crate::dataset::text::{open_tokenizer, text_of};
use crate::dataset::{batch_options, export_dtype, plan_batches, training_utterances};
use crate::losses::IGNORED;
use crate::manifest::{Utterance, read_all};
use crate::recipe::{Recipe, resolve_path};

/// Trains `Whisper` on transcripts.
pub struct AsrTask {
    model: Whisper,
    ctc_head: Option<CtcHead>,
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
        for (key, configured, named) in [
            ("eos_token_id", model.config.eos_token_id, end),
            ("decoder_start_token_id", model.config.decoder_start_token_id, prompt[0]),
        ] {
            ensure!(
                configured == named,
                "config.json: {key} is {configured}, expected {named} (hint: the tokenizer's id; \
                 decoding would not stop where training does)"
            );
        }
        let words = Arc::new(Words {
            prompt,
            end,
            pad: model.config.pad_token_id.unwrap_or(end),
            longest: model.config.max_target_positions,
            // Two frames a position.
            most_frames: 2 * model.config.max_source_positions,
            tokenizer,
        });

        let n_mels = model.config.num_mel_bins;
        let train = training_utterances(recipe)?;
        let train = Transcribed::new(train, recipe, &words, n_mels)?;
        let dev = Transcribed::new(read_all(&recipe.data.dev)?, recipe, &words, n_mels)?;
        let plan = plan(&train, recipe)?;

        let mut parameters = model.parameters().clone();
        let ctc_head = match recipe.loss.ctc_weight > 0.0 {
            true => Some(CtcHead::new(&model, &mut parameters, end, recipe.seed)?),
            false => None,
        };
        let source = AsrSource::new(train, words, recipe)?;
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
        self.model.save_hf_folder(dir, export_dtype(&self.recipe))?;
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

    /// Transcribes utterances of manifests.
    pub fn test(&self, specs: &[String]) -> anyhow::Result<(Vec<Utterance>, Transcripts)> {
        let n_mels = self.model.config.num_mel_bins;
        let data = Transcribed::new(read_all(specs)?, &self.recipe, &self.source.words, n_mels)?;
        let transcripts = self.transcribe(&data)?;
        Ok((Arc::unwrap_or_clone(data.utterances), transcripts))
    }

    /// When each word of each utterance ends, in seconds, as the CTC head hears it; `None` for an
    /// utterance whose transcript does not fit its sound.
    ///
    /// # Errors
    ///
    /// When the recipe trains no CTC head, or an utterance cannot be read.
    pub fn word_ends(&self, spec: &str) -> anyhow::Result<Vec<(Utterance, Option<Vec<f64>>)>> {
        let head = self
            .ctc_head
            .as_ref()
            .context("recipe: loss.ctc_weight is 0, expected a run with a CTC head")?;
        let words = &self.source.words;
        let n_mels = self.model.config.num_mel_bins;
        let data = Transcribed::new(read_all([spec])?, &self.recipe, words, n_mels)?;
        let mut ends = vec![None; data.utterances.len()];
        for items in self.eval_batches(&data) {
            let (features, lengths) = collate(&self.clean_features(&data, &items)?)?;
            let memory = self.encode(&Context::eval(), &features, &lengths)?;
            let rows = items.iter().map(|&item| data.spelled[item].text_ids.as_slice());
            for ((&item, spans), &frames) in
                items.iter().zip(head.align(&memory, rows)?).zip(&lengths)
            {
                let Some(spans) = spans else { continue };
                let ids = &data.spelled[item].text_ids;
                let starts = ids
                    .iter()
                    .map(|&id| Ok(words.tokenizer.decode(&[id], false)?.starts_with(' ')))
                    .collect::<anyhow::Result<Vec<bool>>>()?;
                // A position of the encoder is two frames of 10 ms.
                let times = word_ends(&spans, &starts, frames as f64 / 2.0);
                let n_words = data.texts[item].split_whitespace().count();
                ends[item] = (times.len() == n_words)
                    .then(|| times.into_iter().map(|position| position * 0.02).collect());
            }
        }
        Ok(Arc::unwrap_or_clone(data.utterances).into_iter().zip(ends).collect())
    }

    fn forward(&self, ctx: &Context, batch: &AsrBatch) -> anyhow::Result<Vec<LossPart>> {
        let input = EncoderInput {
            frame_lengths: Some(&batch.frame_lengths),
            first_position: batch.first_position,
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
        if let Some(head) = &self.ctc_head {
            let sum = head.loss(ctx, &memory, &batch.text_ids)?;
            parts.push(LossPart { name: "ctc", sum, weight: self.recipe.loss.ctc_weight });
        }
        Ok(parts)
    }

    fn encode(
        &self,
        ctx: &Context,
        input_features: &Tensor,
        frame_lengths: &[usize],
    ) -> anyhow::Result<EncoderOutput> {
        let input = EncoderInput {
            frame_lengths: Some(frame_lengths),
            ..EncoderInput::new(input_features)
        };
        Ok(self.model.encode(ctx, &input)?)
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

    fn transcribe(&self, data: &Transcribed) -> anyhow::Result<Transcripts> {
        let ctx = Context::eval();
        let words = &self.source.words;
        let text = |ids: &[u32]| -> anyhow::Result<String> {
            Ok(words.tokenizer.decode(ids, true)?.trim().to_string())
        };
        let mut options = self.model.generate_options(words.prompt.clone());
        options.max_new_tokens = options.max_new_tokens.min(self.recipe.eval.max_new_tokens);
        let blank = vec![String::new(); data.utterances.len()];
        let ctc = self.ctc_head.as_ref().map(|_| blank.clone());
        let mut transcripts = Transcripts { decoder: blank, ctc };
        for items in self.eval_batches(data) {
            let (features, lengths) = collate(&self.clean_features(data, &items)?)?;
            let memory = self.encode(&ctx, &features, &lengths)?;
            for (&item, found) in items.iter().zip(self.model.generate(&ctx, &memory, &options)?) {
                transcripts.decoder[item] = text(&found[0].ids)?;
            }
            if let (Some(texts), Some(head)) = (&mut transcripts.ctc, &self.ctc_head) {
                for (&item, ids) in items.iter().zip(head.read(&memory)?) {
                    texts[item] = text(&ids)?;
                }
            }
        }
        Ok(transcripts)
    }
}

/// What was heard, one text an utterance.
pub struct Transcripts {
    /// By the decoder, greedily.
    pub decoder: Vec<String>,
    /// By the CTC head, where the recipe trains one: it says what the encoder hears without the
    /// decoder's guesses.
    pub ctc: Option<Vec<String>>,
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
        if self.dev.utterances.is_empty() {
            return Ok(Scores::new());
        }
        let ctx = Context::eval();
        let (mut loss, mut count) = (0.0, 0.0);
        for items in self.eval_batches(&self.dev) {
            let spelled = items.iter().map(|&item| self.dev.spelled[item].clone()).collect();
            let batch = self.source.batch(&self.clean_features(&self.dev, &items)?, spelled)?;
            loss += self.forward(&ctx, &batch)?[0].sum.item()?;
            count += batch.n_labels as f64;
        }
        let mut scores = vec![("loss".into(), loss / count)];
        let heard = self.transcribe(&self.dev)?;
        for (name, texts) in [("wer", Some(&heard.decoder)), ("wer_ctc", heard.ctc.as_ref())] {
            if let Some(texts) = texts {
                let utterances = &self.dev.utterances;
                let rate = word_error_rate(utterances, texts, &self.recipe, Normalizer::Basic)?;
                scores.push((name.into(), rate.corpus));
            }
        }
        Ok(scores)
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

fn plan(train: &Transcribed, recipe: &Recipe) -> anyhow::Result<Arc<BatchPlan>> {
    let lengths = train
        .utterances
        .iter()
        .zip(&train.spelled)
        .map(|(utterance, spelled)| Length {
            seconds: utterance.duration_s.unwrap_or(0.0),
            tokens: spelled.labels.len(),
        })
        .collect();
    let options = batch_options(recipe);
    Ok(Arc::new(plan_batches(recipe, train.utterances.iter(), lengths, options)?))
}
