//! Speech recognition by CTC: a HuBERT or wav2vec 2.0 model on waveforms and transcripts.

mod data;

use std::path::Path;
use std::sync::Arc;

use model_zoo::ctc::{CtcVocabulary, Emission, PrefixBeamOptions, greedy, prefix_beam};
use model_zoo::hubert::{HubertConfig, HubertCtc, HubertInput, Preprocessor};
use model_zoo::{Builder, LoadOptions, Parameters};
use speech_metrics::Normalizer;
use tensor_core::{Context, DType, Device, Tensor, ctc_loss};

use self::data::{CtcBatch, CtcSource, Notation, Spoken};
use super::asr::word_error_rate;
use super::{LossPart, Scores, Task};
use crate::batching::{BatchPlan, Length};
use crate::dataset::{batch_options, export_dtype, plan_batches, training_utterances};
use crate::manifest::{Utterance, read_all};
use crate::recipe::{Model, Recipe, resolve_path};

/// Trains [`HubertCtc`] on transcripts.
pub struct CtcTask {
    model: HubertCtc,
    source: Arc<CtcSource>,
    plan: Arc<BatchPlan>,
    dev: Spoken,
    recipe: Recipe,
}

/// What was heard, one text an utterance.
pub struct CtcTranscripts {
    /// By the best label of each frame.
    pub greedy: Vec<String>,
    /// By the likeliest labelling that a beam finds.
    pub beam: Vec<String>,
}

impl CtcTask {
    /// Opens or makes the model and reads the manifests of a recipe.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the config, the weights, the vocabulary or a manifest line.
    pub fn new(recipe: &Recipe) -> anyhow::Result<Self> {
        let model = open_model(recipe)?;
        let config = model.hubert.config.clone();
        let folder = resolve_path(vocabulary_folder(&recipe.model)?);
        let vocabulary = CtcVocabulary::open(&folder)?;
        vocabulary.check_fits(config.vocab_size)?;
        let preprocessor = Preprocessor::open(&folder)?;
        let notation = Arc::new(Notation { vocabulary, preprocessor, config });

        let train = Spoken::new(training_utterances(recipe)?, recipe, &notation)?;
        let dev = Spoken::new(read_all(&recipe.data.dev)?, recipe, &notation)?;
        let lengths = train.utterances.iter().zip(&train.labels).map(|(utterance, labels)| {
            Length { seconds: utterance.duration_s.unwrap_or(0.0), tokens: labels.len() }
        });
        let (lengths, options) = (lengths.collect(), batch_options(recipe));
        let plan = plan_batches(recipe, train.utterances.iter(), lengths, options)?;
        let source = Arc::new(CtcSource::new(train, notation, recipe)?);
        Ok(Self { model, source, plan: Arc::new(plan), dev, recipe: recipe.clone() })
    }

    /// The model being trained.
    pub fn model(&self) -> &HubertCtc {
        &self.model
    }

    /// The utterances trained on.
    pub fn train_utterances(&self) -> &[Utterance] {
        &self.source.train.utterances
    }

    /// Writes a Hugging Face folder with the model, its vocabulary and its preprocessor.
    pub fn export(&self, dir: &Path) -> anyhow::Result<()> {
        self.model.save_hf_folder(dir, export_dtype(&self.recipe))?;
        self.source.notation.preprocessor.save(dir)?;
        Ok(self.source.notation.vocabulary.save(dir)?)
    }

    /// Transcribes utterances of manifests.
    pub fn test(&self, specs: &[String]) -> anyhow::Result<(Vec<Utterance>, CtcTranscripts)> {
        let data = Spoken::new(read_all(specs)?, &self.recipe, &self.source.notation)?;
        let (_, emissions) = self.hear(&data)?;
        let vocabulary = &self.source.notation.vocabulary;
        let (mut by_frame, mut by_beam) = (Vec::new(), Vec::new());
        for emission in &emissions {
            by_frame.push(vocabulary.decode(&greedy(emission, vocabulary.blank())?));
            let options = PrefixBeamOptions::default();
            let found = prefix_beam(emission, vocabulary.blank(), &options)?;
            let best = found.first().map_or(&[][..], |best| best.ids.as_slice());
            by_beam.push(vocabulary.decode(best));
        }
        let transcripts = CtcTranscripts { greedy: by_frame, beam: by_beam };
        Ok((Arc::unwrap_or_clone(data.utterances), transcripts))
    }

    /// Logits `(B, F, V)` and the frames of each item.
    fn logits(&self, ctx: &Context, batch: &CtcBatch) -> anyhow::Result<(Tensor, Vec<usize>)> {
        let input = HubertInput::with_lengths(&batch.input_values, &batch.sample_lengths);
        let (logits, output) = self.model.forward(ctx, &input)?;
        Ok((logits, output.lengths))
    }

    fn loss_sum(
        &self,
        logits: &Tensor,
        lengths: &[usize],
        labels: &[Vec<u32>],
    ) -> anyhow::Result<Tensor> {
        let blank = self.source.notation.vocabulary.blank() as usize;
        Ok(ctc_loss(logits, lengths, labels, blank, true)?.sum_all()?)
    }

    /// Loss per label, and the scores of every frame of every utterance.
    fn hear(&self, data: &Spoken) -> anyhow::Result<(f64, Vec<Emission>)> {
        let ctx = Context::eval();
        let mut order: Vec<usize> = (0..data.utterances.len()).collect();
        let seconds = |item: usize| data.utterances[item].duration_s.unwrap_or(0.0);
        order.sort_by(|&a, &b| seconds(a).total_cmp(&seconds(b)).then(a.cmp(&b)));
        let (mut loss, mut count) = (0.0, 0);
        let mut heard: Vec<Option<Emission>> = vec![None; order.len()];
        for items in order.chunks(self.recipe.eval.batch_items.max(1)) {
            let clips = items
                .iter()
                .map(|&item| data.samples.get(item, 1.0))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let clips: Vec<&[f32]> = clips.iter().map(|clip| clip.as_slice()).collect();
            let labels = items.iter().map(|&item| data.labels[item].clone()).collect();
            let batch = self.source.batch(&clips, labels)?;
            let (logits, lengths) = self.logits(&ctx, &batch)?;
            loss += self.loss_sum(&logits, &lengths, &batch.labels)?.item()?;
            count += batch.labels.iter().map(Vec::len).sum::<usize>();
            for (&item, emission) in items.iter().zip(Emission::from_logits(&logits, &lengths)?) {
                heard[item] = Some(emission);
            }
        }
        Ok((loss / count.max(1) as f64, heard.into_iter().flatten().collect()))
    }
}

impl Task for CtcTask {
    type Source = CtcSource;

    fn source(&self) -> Arc<CtcSource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn loss(&mut self, ctx: &Context, batch: &CtcBatch) -> anyhow::Result<Vec<LossPart>> {
        let (logits, lengths) = self.logits(ctx, batch)?;
        let sum = self.loss_sum(&logits, &lengths, &batch.labels)?;
        Ok(vec![LossPart { name: "ctc", sum, weight: 1.0 }])
    }

    fn evaluate(&self) -> anyhow::Result<Scores> {
        if self.dev.utterances.is_empty() {
            return Ok(Scores::new());
        }
        let (loss, emissions) = self.hear(&self.dev)?;
        let vocabulary = &self.source.notation.vocabulary;
        let texts = emissions
            .iter()
            .map(|emission| Ok(vocabulary.decode(&greedy(emission, vocabulary.blank())?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let rate = word_error_rate(&self.dev.utterances, &texts, &self.recipe, Normalizer::Basic)?;
        Ok(vec![("loss".into(), loss), ("wer".into(), rate.corpus)])
    }
}

/// Where `vocab.json` is: `model.tokenizer`, else the folder of the weights or of the config.
fn vocabulary_folder(model: &Model) -> anyhow::Result<&str> {
    let named = [&model.tokenizer, &model.dir, &model.config].into_iter().find(|s| !s.is_empty());
    named.map(String::as_str).ok_or_else(|| {
        anyhow::anyhow!(
            "recipe: model.dir and model.config are empty (hint: name a folder with a config.json)"
        )
    })
}

fn open_model(recipe: &Recipe) -> anyhow::Result<HubertCtc> {
    let with_dropout = |mut config: HubertConfig| {
        let dropout = recipe.model.dropout;
        config.hidden_dropout = dropout;
        config.attention_dropout = dropout;
        config.activation_dropout = dropout;
        config.final_dropout = dropout;
        config
    };
    let mut model = if recipe.model.dir.is_empty() {
        let config = with_dropout(HubertConfig::open(&resolve_path(&recipe.model.config))?);
        HubertCtc::new(&Builder::random(recipe.seed, DType::F32, Device::Cpu), &config)?
    } else {
        let dir = resolve_path(&recipe.model.dir);
        let options = LoadOptions { seed: recipe.seed, ..LoadOptions::default() };
        HubertCtc::open_as(&dir, &with_dropout(HubertConfig::open(&dir)?), options)?
    };
    model.hubert.set_gradient_checkpointing(recipe.train.grad_checkpoint);
    Ok(model)
}
