//! *Teach me with a Whisper*: a BERT student taught by a frozen Whisper encoder.
//!
//! ```text
//! L = L_MLM + gamma * L_KD,      L_KD in { NST, CRD }
//! ```
//!
//! The teacher gives one vector an utterance, the average of its encoder's states over time; the
//! student is trained on transcripts alone and needs no audio afterwards.
//!
//! Source: Hasan, Li, Foulds, Pan and Bhattacharjee 2023, arXiv:2311.07014.

mod distill;
mod probe;
mod score;
mod teacher;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use model_zoo::bert::{BertConfig, BertInput, MaskedLm};
use model_zoo::{Builder, LoadOptions, Parameters, Tokenizer};
use tensor_core::{Context, CrossEntropyOptions, DType, Device, Philox, Tensor, cross_entropy};

use self::distill::{Distiller, KdBatch};
use self::teacher::TeacherVectors;
use super::{BatchSource, LossPart, Scores, Task, next_items};
use crate::batching::{BatchPlan, Length};
use crate::dataset::text::{open_tokenizer, text_of};
use crate::dataset::{batch_options, export_dtype, plan_batches, training_utterances};
use crate::host::Host;
use crate::losses::{IGNORED, mask_tokens};
use crate::manifest::{Utterance, read_all};
use crate::recipe::{Objective, Recipe, resolve_path};

/// Random streams of a run that are not dropout, told apart by their high bits.
const MASK_STREAM: u64 = 1 << 60;
const TOKEN_STREAM: u64 = 2 << 60;
const BANK_STREAM: u64 = 3 << 60;

/// Transcripts with the teacher's vector of each.
pub struct Taught {
    /// The utterances.
    pub utterances: Vec<Utterance>,
    /// Ids with special tokens.
    ids: Vec<Vec<u32>>,
    /// One vector an utterance, in the same order.
    teacher: TeacherVectors,
}

impl Taught {
    /// Tokenises transcripts, cut at `longest` ids, and runs the teacher over their audio.
    fn read(
        utterances: Vec<Utterance>,
        recipe: &Recipe,
        vocabulary: &Vocabulary,
        longest: usize,
        host: &Host<'_>,
    ) -> anyhow::Result<Self> {
        let ids = utterances
            .iter()
            .map(|utterance| {
                let text = text_of(utterance, &recipe.data)?;
                let ids = vocabulary.tokenizer.encode_within(&text, longest)?;
                ensure!(
                    ids.iter().any(|&id| !vocabulary.is_special(i64::from(id))),
                    "{}: text `{text}` has no token of the vocabulary, expected at least one \
                     (hint: does the tokenizer fit the language)",
                    utterance.place
                );
                Ok(ids)
            })
            .collect::<anyhow::Result<_>>()?;
        let teacher = TeacherVectors::compute(&utterances, &recipe.teacher, host)?;
        Ok(Self { utterances, ids, teacher })
    }

    /// Length of the longest of `items`, in tokens: the row length of their batch.
    fn longest(&self, items: &[usize]) -> usize {
        items.iter().map(|&item| self.ids[item].len()).max().unwrap_or(0)
    }
}

/// The student's vocabulary.
struct Vocabulary {
    tokenizer: Tokenizer,
    special: Vec<u32>,
    mask: u32,
    pad: u32,
}

impl Vocabulary {
    fn new(tokenizer: Tokenizer) -> anyhow::Result<Self> {
        let mask = tokenizer.mask_id().context("tokenizer: no [MASK] token")?;
        let pad = tokenizer.pad_id().context("tokenizer: no [PAD] token")?;
        Ok(Self { special: tokenizer.special_ids(), mask, pad, tokenizer })
    }

    fn is_special(&self, id: i64) -> bool {
        self.special.iter().any(|&special| i64::from(special) == id)
    }
}

/// One forward pass of distillation.
pub struct TaughtBatch {
    input: BertInput,
    /// Flat positions with an MLM label, and the labels.
    masked: Vec<usize>,
    labels: Vec<i64>,
    kd: KdBatch,
}

/// Worker-side half of [`TeachTask`].
pub struct TeachSource {
    train: Taught,
    vocabulary: Vocabulary,
    recipe: Recipe,
}

impl TeachSource {
    /// A batch of `data` with masks and draws from the streams of `number`.
    fn batch(&self, data: &Taught, items: &[usize], number: u64) -> anyhow::Result<TaughtBatch> {
        let vocabulary = &self.vocabulary;
        let mut rng = Philox::new(self.recipe.seed, MASK_STREAM | number);
        let longest = data.longest(items);
        let mut rows = Vec::with_capacity(items.len());
        let (mut masked, mut labels) = (Vec::new(), Vec::new());
        for (clip, &item) in items.iter().enumerate() {
            let ids: Vec<i64> = data.ids[item].iter().map(|&id| i64::from(id)).collect();
            let hidden = mask_tokens(
                &ids,
                |id| vocabulary.is_special(id),
                i64::from(vocabulary.mask),
                vocabulary.tokenizer.vocab_size(),
                self.recipe.loss.mlm_probability,
                &mut rng,
            );
            for (at, &label) in hidden.labels.iter().enumerate() {
                if label != IGNORED {
                    masked.push(clip * longest + at);
                    labels.push(label);
                }
            }
            rows.push(hidden.input_ids.iter().map(|&id| id as u32).collect());
        }
        let input = BertInput::from_ids(&rows, vocabulary.pad, Device::Cpu)?;
        Ok(TaughtBatch { input, masked, labels, kd: self.kd_batch(data, items, number)? })
    }

    /// The distillation half of a batch of `data`.
    fn kd_batch(&self, data: &Taught, items: &[usize], number: u64) -> anyhow::Result<KdBatch> {
        let longest = data.longest(items);
        let (mut tokens, mut clip_of) = (Vec::new(), Vec::new());
        for (clip, &item) in items.iter().enumerate() {
            for (at, &id) in data.ids[item].iter().enumerate() {
                let special = self.vocabulary.is_special(i64::from(id));
                if self.recipe.loss.include_special || !special {
                    tokens.push(clip * longest + at);
                    clip_of.push(clip);
                }
            }
        }
        let teacher = data.teacher.rows(items)?;
        Ok(KdBatch { tokens, clip_of, clips: items.to_vec(), teacher, number })
    }
}

impl BatchSource for TeachSource {
    type Batch = TaughtBatch;

    fn make(&self, number: u64, items: &[usize]) -> anyhow::Result<TaughtBatch> {
        self.batch(&self.train, items, number)
    }

    fn counts(&self, batch: &TaughtBatch) -> Vec<f64> {
        let kd = match self.recipe.loss.objective {
            Objective::CrdBank => batch.kd.clips.len(),
            _ => batch.kd.tokens.len(),
        };
        vec![batch.labels.len() as f64, kd as f64]
    }

    fn volume(&self, batch: &TaughtBatch) -> (f64, usize) {
        (0.0, batch.kd.tokens.len())
    }
}

/// Trains a [`MaskedLm`] with MLM and distillation.
pub struct TeachTask {
    student: MaskedLm,
    distiller: Option<Distiller>,
    parameters: Parameters,
    source: Arc<TeachSource>,
    plan: Arc<BatchPlan>,
    dev: Taught,
}

impl TeachTask {
    /// Opens or makes the student, reads the manifests and runs the teacher over their audio.
    ///
    /// `host` is told what takes long, and may stop it.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with a config, weights, a tokenizer, a manifest line or a sound file.
    pub fn new(recipe: &Recipe, host: &Host<'_>) -> anyhow::Result<Self> {
        let (tokenizer, _) = open_tokenizer(&recipe.model)?;
        let vocabulary = Vocabulary::new(tokenizer)?;
        let student = open_student(recipe, &vocabulary)?;
        let longest = student.bert.config.max_position_embeddings;
        let read = |utterances| Taught::read(utterances, recipe, &vocabulary, longest, host);
        let train = read(training_utterances(recipe)?)?;
        let dev = read(read_all(&recipe.data.dev)?)?;
        let mut parameters = student.parameters().clone();
        let distiller = Distiller::new(
            recipe,
            train.utterances.len(),
            student.bert.config.hidden_size,
            train.teacher.width(),
            &mut parameters,
        )?;
        let lengths = train.ids.iter().map(|ids| Length { seconds: 0.0, tokens: ids.len() });
        let (lengths, options) = (lengths.collect(), batch_options(recipe));
        let plan = plan_batches(recipe, &train.utterances, lengths, options)?;
        let source = Arc::new(TeachSource { train, vocabulary, recipe: recipe.clone() });
        Ok(Self { student, distiller, parameters, source, plan: Arc::new(plan), dev })
    }

    /// The student.
    pub fn student(&self) -> &MaskedLm {
        &self.student
    }

    /// Writes the student as a Hugging Face folder with its tokenizer.
    pub fn export(&self, dir: &Path) -> anyhow::Result<()> {
        self.student.save_hf_folder(dir, export_dtype(&self.source.recipe))?;
        Ok(self.source.vocabulary.tokenizer.save(dir)?)
    }

    /// Logits `(N, V)` at the masked positions of a batch with states `(B, T, D)`, and labels `(N)`.
    fn predictions(
        &self,
        ctx: &Context,
        hidden: &Tensor,
        batch: &TaughtBatch,
    ) -> anyhow::Result<(Tensor, Tensor)> {
        let logits = self.student.logits_at(ctx, hidden, &batch.masked)?;
        let labels = Tensor::from_vec(batch.labels.clone(), &[batch.labels.len()], Device::Cpu)?;
        Ok((logits, labels))
    }

    /// Reads manifests with the teacher's vectors, for scoring.
    pub fn read(&self, specs: &[String], host: &Host<'_>) -> anyhow::Result<Taught> {
        let longest = self.student.bert.config.max_position_embeddings;
        let source = &self.source;
        Taught::read(read_all(specs)?, &source.recipe, &source.vocabulary, longest, host)
    }
}

impl Task for TeachTask {
    type Source = TeachSource;

    fn source(&self) -> Arc<TeachSource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, ctx: &Context, batch: &TaughtBatch) -> anyhow::Result<Vec<LossPart>> {
        let hidden = self.student.bert.forward(ctx, &batch.input)?.last_hidden_state;
        let (logits, labels) = self.predictions(ctx, &hidden, batch)?;
        let sum = cross_entropy(&logits, &labels, CrossEntropyOptions::default())?;
        let mut parts = vec![LossPart { name: "mlm", sum, weight: 1.0 }];
        if let Some(distiller) = &mut self.distiller {
            let sum = distiller.train_loss(ctx, &hidden, &batch.kd)?;
            parts.push(LossPart { name: "kd", sum, weight: self.source.recipe.loss.gamma });
        }
        Ok(parts)
    }

    fn probe(&self, batch: &TaughtBatch, shuffled: bool) -> anyhow::Result<Scores> {
        let Some(distiller) = &self.distiller else { return Ok(Scores::new()) };
        let ctx = Context::eval();
        let hidden = self.student.bert.forward(&ctx, &batch.input)?.last_hidden_state;
        let mut kd = batch.kd.clone();
        if shuffled {
            let order = next_items(kd.clips.len()).into_iter().map(|clip| clip as i64).collect();
            let order = Tensor::from_vec(order, &[kd.clips.len()], Device::Cpu)?;
            kd.teacher = kd.teacher.index_select(0, &order)?;
        }
        let sum = distiller.loss(&ctx, &hidden, &kd)?.item()?;
        Ok(vec![("kd".into(), sum / kd.tokens.len().max(1) as f64)])
    }

    fn after_step(&mut self, applied: bool) -> anyhow::Result<()> {
        self.distiller.as_mut().map_or(Ok(()), |distiller| distiller.after_step(applied))
    }

    fn buffers(&self) -> anyhow::Result<Vec<(String, Tensor)>> {
        self.distiller.as_ref().map_or(Ok(Vec::new()), Distiller::buffers)
    }

    fn load_buffers(
        &mut self,
        read: &dyn Fn(&str) -> tensor_core::Result<Tensor>,
    ) -> anyhow::Result<()> {
        self.distiller.as_mut().map_or(Ok(()), |distiller| distiller.load_buffers(read))
    }

    /// Scores on the development set; none without one.
    fn evaluate(&self) -> anyhow::Result<Scores> {
        if self.dev.ids.is_empty() { Ok(Scores::new()) } else { self.score(&self.dev) }
    }
}

fn open_student(recipe: &Recipe, vocabulary: &Vocabulary) -> anyhow::Result<MaskedLm> {
    let mut student = if recipe.model.dir.is_empty() {
        let mut config = BertConfig::open(&resolve_path(&recipe.model.config))?;
        config.hidden_dropout_prob = recipe.model.dropout;
        config.attention_probs_dropout_prob = recipe.model.dropout;
        MaskedLm::new(&Builder::random(recipe.seed, DType::F32, Device::Cpu), &config)?
    } else {
        let options = LoadOptions { seed: recipe.seed, ..LoadOptions::default() };
        MaskedLm::open(&resolve_path(&recipe.model.dir), options)?
    };
    let (tokens, rows) = (vocabulary.tokenizer.vocab_size(), student.bert.config.vocab_size);
    ensure!(
        tokens <= rows,
        "recipe: model.tokenizer has {tokens} tokens, expected at most the student's vocab_size \
         {rows}"
    );
    student.bert.set_gradient_checkpointing(recipe.train.grad_checkpoint);
    Ok(student)
}
