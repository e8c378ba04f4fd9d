//! The projector before any task: contrast, transcription, mixed sequences, or several of them.

use std::sync::Arc;

use model_zoo::Parameters;
use model_zoo::llama::{LlamaInput, LlamaTokens, PaddingSide, PromptPart};
use tensor_core::{Context, Tensor};

use super::answers::Sequence;
use super::contrast::{Compared, Contraster, Side};
use super::conversation::Conversation;
use super::data::{Clips, MixedBatch, Piece, Transcribed, drawn_prompt, shifts};
use super::model::SpeechLlm;
use crate::batching::BatchPlan;
use crate::dataset::{batch_options, plan_batches, training_utterances};
use crate::manifest::read_all;
use crate::recipe::{PretrainObjective, Recipe};
use crate::tasks::{BatchSource, LossPart, Scores, Task, next_items};

/// Name of the part that foretells the text of mixed sequences.
const NEXT_WORD: &str = "nwp";

/// One forward pass of pretraining.
pub struct PretrainBatch {
    pub(super) clips: Option<Clips>,
    pub(super) texts: Vec<Vec<u32>>,
    pub(super) conversations: Vec<Conversation>,
    pub(super) mixed: Option<MixedBatch>,
    pub(super) shifts: Vec<usize>,
    pub(super) seconds: f64,
}

/// Worker-side half of [`PretrainTask`].
pub struct PretrainSource {
    train: Transcribed,
    model: Arc<SpeechLlm>,
    objective: PretrainObjective,
    recipe: Recipe,
}

impl PretrainSource {
    fn batch(
        &self,
        data: &Transcribed,
        items: &[usize],
        number: u64,
        encoder_rests: bool,
    ) -> anyhow::Result<PretrainBatch> {
        let (objective, recipe) = (self.objective, &self.recipe);
        // Mixed sequences alone, and contrasts with them, never hear a recording as a whole.
        let hears_all = objective.asr || (objective.contrast.is_some() && !objective.mixed);
        let clips = match hears_all {
            true => Some(Clips::of(&data.heard, items, encoder_rests)?),
            false => None,
        };
        let conversations = match objective.asr {
            false => Vec::new(),
            true => items
                .iter()
                .enumerate()
                .map(|(k, &item)| {
                    let draw = (number << 20) | k as u64;
                    let prompt = drawn_prompt(&recipe.instruct.asr_prompts, recipe.seed, draw);
                    self.model.chat.conversation(prompt, &data.texts[item])
                })
                .collect::<anyhow::Result<_>>()?,
        };
        let mixed = match objective.mixed {
            true => Some(data.mixed(items, number, recipe.seed, &recipe.mixed)?),
            false => None,
        };
        let seconds = |&item: &usize| data.heard.utterances[item].duration_s.unwrap_or(0.0);
        Ok(PretrainBatch {
            clips,
            texts: items.iter().map(|&item| data.ids[item].clone()).collect(),
            conversations,
            mixed,
            shifts: shifts(recipe, number, items.len()),
            seconds: items.iter().map(seconds).sum(),
        })
    }
}

impl BatchSource for PretrainSource {
    type Batch = PretrainBatch;

    fn make(&self, number: u64, items: &[usize]) -> anyhow::Result<PretrainBatch> {
        self.batch(&self.train, items, number, self.recipe.encoder.eval)
    }

    fn counts(&self, batch: &PretrainBatch) -> Vec<f64> {
        let mut counts = Vec::new();
        if self.objective.contrast.is_some() {
            counts.push(batch.texts.len() as f64);
        }
        if self.objective.asr {
            counts.push(batch.conversations.iter().map(|c| c.answer.len()).sum::<usize>() as f64);
        }
        if let Some(mixed) = &batch.mixed {
            counts.push(mixed.labels() as f64);
        }
        counts
    }

    fn volume(&self, batch: &PretrainBatch) -> (f64, usize) {
        (batch.seconds, batch.texts.iter().map(Vec::len).sum())
    }
}

impl MixedBatch {
    /// Tokens that are foretold: those of text, and the ends.
    fn labels(&self) -> usize {
        let of_piece = |piece: &Piece| match piece {
            Piece::Text(ids) => ids.len(),
            Piece::Speech(_) => 0,
        };
        self.pieces.iter().map(|own| own.iter().map(of_piece).sum::<usize>() + 1).sum()
    }
}

/// Trains the projector of a [`SpeechLlm`] on transcribed recordings.
pub struct PretrainTask {
    pub(super) model: Arc<SpeechLlm>,
    contraster: Option<Contraster>,
    parameters: Parameters,
    source: Arc<PretrainSource>,
    plan: Arc<BatchPlan>,
    dev: Transcribed,
}

impl PretrainTask {
    /// Reads the manifests of a recipe for `model`.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the objective, a layer or a manifest line.
    pub fn new(recipe: &Recipe, model: Arc<SpeechLlm>) -> anyhow::Result<Self> {
        let objective: PretrainObjective = recipe.pretrain.objective.parse()?;
        let n_layers = model.llm.config.num_hidden_layers;
        let contraster = objective
            .contrast
            .map(|contrast| Contraster::new(&recipe.pretrain, contrast, n_layers))
            .transpose()?;
        let mut parameters = model.parameters()?;
        if let Some(log) = contraster.as_ref().and_then(|c| c.log_temperature.as_ref()) {
            parameters.insert("log_temperature", log.clone())?;
        }
        let train = Transcribed::new(training_utterances(recipe)?, recipe, &model, objective)?;
        let dev = Transcribed::new(read_all(&recipe.data.dev)?, recipe, &model, objective)?;
        let options = batch_options(recipe);
        let plan = plan_batches(recipe, train.heard.utterances.iter(), train.lengths(), options)?;
        let source =
            PretrainSource { train, model: model.clone(), objective, recipe: recipe.clone() };
        let (source, plan) = (Arc::new(source), Arc::new(plan));
        Ok(Self { model, contraster, parameters, source, plan, dev })
    }

    /// The loss of a batch; `order` says which text is compared with which recording, where it is not
    /// its own.
    fn parts(
        &self,
        ctx: &Context,
        batch: &PretrainBatch,
        order: Option<&[usize]>,
    ) -> anyhow::Result<Vec<LossPart>> {
        let model = &self.model;
        let heard = match &batch.clips {
            Some(clips) => Some(clips.frames(ctx, &model.states)?),
            None => None,
        };
        let sequences = match &batch.mixed {
            Some(mixed) => Some(self.mixed_sequences(ctx, mixed)?),
            None => None,
        };
        // Projected once for all parts, unless the contrast takes a few items at a time.
        let asr = self.source.objective.asr;
        let is_cached = self.contraster.as_ref().is_some_and(|c| c.is_cached(batch.texts.len()));
        let speech = match &heard {
            Some((frames, lengths)) if asr || !is_cached => {
                Some(model.project(ctx, frames, lengths)?)
            }
            _ => None,
        };
        let mut parts = Vec::new();
        if let Some(contraster) = &self.contraster {
            let mut texts = self.texts(ctx, contraster, batch)?;
            if let Some(order) = order {
                texts = texts.reordered(order)?;
            }
            let compared = match (&sequences, &heard, &speech) {
                (Some(sequences), ..) => {
                    contraster.sequences(ctx, model, side_of(sequences, &batch.shifts)?)?
                }
                (None, Some((frames, lengths)), _) if is_cached => {
                    contraster.recordings(ctx, model, frames, lengths, &batch.shifts)?
                }
                (None, _, Some(speech)) => {
                    let side = Side::of_speech(speech.clone(), &batch.shifts);
                    contraster.sequences(ctx, model, side)?
                }
                (None, ..) => anyhow::bail!("a contrast without recordings"),
            };
            let sum = contraster.loss(ctx, &texts, &compared)?;
            parts.push(LossPart { name: "contrast", sum, weight: 1.0 });
        }
        if let (true, Some(speech)) = (asr, &speech) {
            let conversations = match order {
                None => batch.conversations.clone(),
                Some(order) => order.iter().map(|&k| batch.conversations[k].clone()).collect(),
            };
            let sum = model.answer_loss(ctx, speech, &conversations)?;
            parts.push(LossPart { name: "asr", sum, weight: 1.0 });
        }
        if let Some(sequences) = &sequences {
            let sum = model.next_token_loss(ctx, sequences)?;
            parts.push(LossPart { name: NEXT_WORD, sum, weight: 1.0 });
        }
        Ok(parts)
    }

    /// Texts as they are compared: alone, or with start and end beside mixed sequences.
    fn texts(
        &self,
        ctx: &Context,
        contraster: &Contraster,
        batch: &PretrainBatch,
    ) -> anyhow::Result<Compared> {
        let chat = &self.model.chat;
        let side = match batch.mixed {
            None => Side::of_texts(&batch.texts, &batch.shifts)?,
            Some(_) => {
                let whole = |ids: &Vec<u32>| [&[chat.start][..], ids, &[chat.end]].concat();
                let texts: Vec<Vec<u32>> = batch.texts.iter().map(whole).collect();
                Side::of_texts(&texts, &batch.shifts)?
            }
        };
        contraster.texts(ctx, &self.model, side)
    }

    /// Sequences of speech and text with all tokens of text, and the end, as labels.
    pub(super) fn mixed_sequences(
        &self,
        ctx: &Context,
        mixed: &MixedBatch,
    ) -> anyhow::Result<Vec<Sequence>> {
        let (model, chat) = (&self.model, &self.model.chat);
        let (frames, lengths) = mixed.clips.frames(ctx, &model.states)?;
        let speech = match lengths.is_empty() {
            true => None,
            false => Some(model.project(ctx, &frames, &lengths)?),
        };
        mixed
            .pieces
            .iter()
            .map(|pieces| {
                let mut parts = vec![PromptPart::Tokens(vec![chat.start])];
                let mut labels = Vec::new();
                let mut at = 1;
                for piece in pieces {
                    let part = match (piece, &speech) {
                        (Piece::Text(ids), _) => {
                            labels.extend((at..).zip(ids.iter().copied()));
                            PromptPart::Tokens(ids.clone())
                        }
                        (Piece::Speech(k), Some(speech)) => PromptPart::Vectors(speech.item(*k)?),
                        (Piece::Speech(_), None) => anyhow::bail!("a stretch without sound"),
                    };
                    at += part.len();
                    parts.push(part);
                }
                labels.push((at, chat.end));
                parts.push(PromptPart::Tokens(vec![chat.end]));
                Ok(Sequence { vectors: model.llm.embed_prompt(ctx, &parts)?, labels })
            })
            .collect()
    }
}

/// Sequences as a side of a contrast: behind the embedding their tokens of text alone count.
fn side_of(sequences: &[Sequence], shifts: &[usize]) -> anyhow::Result<Side> {
    let rows: Vec<Tensor> = sequences.iter().map(|sequence| sequence.vectors.clone()).collect();
    let lengths = rows.iter().map(|row| row.shape()[0]).collect();
    let positions = |sequence: &Sequence| sequence.labels.iter().map(|&(at, _)| at).collect();
    let input = LlamaInput::from_embeds(&rows, PaddingSide::Right)?;
    let LlamaTokens::InputsEmbeds(vectors) = input.tokens else {
        anyhow::bail!("vectors were expected")
    };
    Ok(Side {
        tokens: LlamaTokens::InputsEmbeds(vectors),
        lengths,
        shifts: shifts.to_vec(),
        kept: Some(sequences.iter().map(positions).collect()),
    })
}

impl Task for PretrainTask {
    type Source = PretrainSource;

    fn source(&self) -> Arc<PretrainSource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, ctx: &Context, batch: &PretrainBatch) -> anyhow::Result<Vec<LossPart>> {
        self.parts(ctx, batch, None)
    }

    fn probe(&self, batch: &PretrainBatch, shuffled: bool) -> anyhow::Result<Scores> {
        let order = shuffled.then(|| next_items(batch.texts.len()));
        let parts = self.parts(&Context::eval(), batch, order.as_deref())?;
        // Mixed sequences hold their own text, and there is no other to put in its place.
        let compared = parts.into_iter().zip(self.source.counts(batch));
        compared
            .filter(|(part, _)| part.name != NEXT_WORD)
            .map(|(part, count)| Ok((part.name.to_owned(), part.sum.item()? / count)))
            .collect()
    }

    fn evaluate(&self) -> anyhow::Result<Scores> {
        let n = self.dev.texts.len();
        if n == 0 {
            return Ok(Scores::new());
        }
        let ctx = Context::eval();
        let items: Vec<usize> = (0..n).collect();
        let (mut sums, mut counts): (Vec<(String, f64)>, Vec<f64>) = (Vec::new(), Vec::new());
        for (number, items) in items.chunks(self.source.recipe.eval.batch_items).enumerate() {
            let batch = self.source.batch(&self.dev, items, number as u64, true)?;
            let parts = self.parts(&ctx, &batch, None)?;
            sums.resize(parts.len(), (String::new(), 0.0));
            counts.resize(parts.len(), 0.0);
            for ((sum, count), (part, own)) in
                sums.iter_mut().zip(&mut counts).zip(parts.iter().zip(self.source.counts(&batch)))
            {
                *sum = (part.name.to_owned(), sum.1 + part.sum.item()?);
                *count += own;
            }
        }
        let means = sums.into_iter().zip(counts).map(|((name, sum), count)| (name, sum / count));
        let mut scores: Scores = means.collect();
        let total = scores.iter().map(|(_, value)| value).sum();
        scores.insert(0, ("loss".into(), total));
        Ok(scores)
    }
}
