//! Text-only fine-tuning: sentiment classes, a score, or several emotions at once.
//!
//! Source: the evaluation of Hasan et al. 2023, arXiv:2311.07014, section 4: classification by
//! accuracy, regression by Pearson's correlation, emotions as binary labels.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use model_zoo::bert::{BertConfig, BertInput, SequenceClassifier};
use model_zoo::{LoadOptions, Parameters, Tokenizer};
use serde_json::Value;
use speech_metrics::{Confusion, MultiLabel, pearson, spearman};
use tensor_core::{Context, CrossEntropyOptions, DType, Device, Tensor, cross_entropy};

use super::{BatchSource, LossPart, Scores, Task};
use crate::batching::{BatchOptions, BatchPlan, Length, Oversize};
use crate::dataset::text::{open_tokenizer, text_of};
use crate::dataset::{export_dtype, plan_batches, training_utterances};
use crate::manifest::{Utterance, read_all};
use crate::recipe::{FinetuneKind, Recipe, ScheduleKind, resolve_path};

/// Texts with their labels.
struct Labelled {
    ids: Vec<Vec<u32>>,
    /// One row an utterance: a class index, a number, or a 0/1 entry per class.
    targets: Vec<Vec<f64>>,
}

/// One forward pass of fine-tuning.
pub struct LabelledBatch {
    input: BertInput,
    targets: Vec<Vec<f64>>,
    tokens: usize,
}

/// Worker-side half of [`FinetuneTask`].
pub struct FinetuneSource {
    train: Labelled,
    pad: u32,
}

impl FinetuneSource {
    fn batch(&self, data: &Labelled, items: &[usize]) -> anyhow::Result<LabelledBatch> {
        let rows: Vec<Vec<u32>> = items.iter().map(|&item| data.ids[item].clone()).collect();
        Ok(LabelledBatch {
            tokens: rows.iter().map(Vec::len).sum(),
            input: BertInput::from_ids(&rows, self.pad, Device::Cpu)?,
            targets: items.iter().map(|&item| data.targets[item].clone()).collect(),
        })
    }
}

impl BatchSource for FinetuneSource {
    type Batch = LabelledBatch;

    fn make(&self, _number: u64, items: &[usize]) -> anyhow::Result<LabelledBatch> {
        self.batch(&self.train, items)
    }

    fn counts(&self, batch: &LabelledBatch) -> Vec<f64> {
        vec![batch.targets.len() as f64]
    }

    fn volume(&self, batch: &LabelledBatch) -> (f64, usize) {
        (0.0, batch.tokens)
    }
}

/// Trains a task head and the encoder below it.
pub struct FinetuneTask {
    model: SequenceClassifier,
    tokenizer: Tokenizer,
    kind: FinetuneKind,
    classes: Vec<String>,
    source: Arc<FinetuneSource>,
    plan: Arc<BatchPlan>,
    dev: Labelled,
    recipe: Recipe,
}

impl FinetuneTask {
    /// Opens the encoder in `model.dir` and puts a fresh head on it.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the weights, the tokenizer or a manifest line; a label that is not
    /// among the classes names its line.
    pub fn new(recipe: &Recipe) -> anyhow::Result<Self> {
        ensure!(
            !recipe.model.dir.is_empty(),
            "recipe: model.dir is empty, expected a folder with a BERT model to fine-tune"
        );
        let finetune = &recipe.finetune;
        ensure!(
            !finetune.label_field.is_empty(),
            "recipe: finetune.label_field is empty, expected the manifest field with the label"
        );
        let dir = resolve_path(&recipe.model.dir);
        let (tokenizer, _) = open_tokenizer(&recipe.model)?;
        let pad = tokenizer.pad_id().context("tokenizer: no [PAD] token")?;
        let (train, dev) = (training_utterances(recipe)?, read_all(&recipe.data.dev)?);
        let classes = match finetune.kind {
            FinetuneKind::Regression => vec![finetune.label_field.clone()],
            _ if finetune.classes.is_empty() => seen_classes(&train, &finetune.label_field),
            _ => finetune.classes.clone(),
        };
        ensure!(
            !classes.is_empty(),
            "data.train: field `{}` names no class, expected at least one (hint: \
             finetune.label_field and finetune.kind, or write finetune.classes)",
            finetune.label_field
        );

        let mut config = BertConfig::open(&dir)?.with_labels(&classes);
        config.hidden_dropout_prob = recipe.model.dropout;
        config.attention_probs_dropout_prob = recipe.model.dropout;
        let options = LoadOptions { seed: recipe.seed, ..LoadOptions::default() };
        let mut model = SequenceClassifier::open_as(&dir, &config, options)?;
        model.bert.set_gradient_checkpointing(recipe.train.grad_checkpoint);

        let read = |utterances: &[Utterance]| {
            labelled(utterances, recipe, &classes, &tokenizer, config.max_position_embeddings)
        };
        let (lines, train, dev) = (&train, read(&train)?, read(&dev)?);
        let lengths = train.ids.iter().map(|ids| Length { seconds: 0.0, tokens: ids.len() });
        let options = BatchOptions {
            max_seconds: 0.0,
            max_tokens: 0,
            max_items: finetune.batch_items.max(1),
            bucket_count: 1,
            oversize: Oversize::Alone,
        };
        let plan = Arc::new(plan_batches(recipe, lines, lengths.collect(), options)?);
        let source = Arc::new(FinetuneSource { train, pad });
        let (kind, recipe) = (finetune.kind, recipe.clone());
        Ok(Self { model, tokenizer, kind, classes, source, plan, dev, recipe })
    }

    /// Scores on the utterances of manifests.
    pub fn test(&self, specs: &[String]) -> anyhow::Result<Scores> {
        let utterances = read_all(specs)?;
        let longest = self.model.bert.config.max_position_embeddings;
        let data = labelled(&utterances, &self.recipe, &self.classes, &self.tokenizer, longest)?;
        self.score(&data)
    }

    /// Writes the classifier as a Hugging Face folder with its tokenizer.
    pub fn export(&self, dir: &Path) -> anyhow::Result<()> {
        self.model.save_hf_folder(dir, export_dtype(&self.recipe))?;
        Ok(self.tokenizer.save(dir)?)
    }

    /// Loss and scores; none without utterances.
    fn score(&self, data: &Labelled) -> anyhow::Result<Scores> {
        if data.ids.is_empty() {
            return Ok(Scores::new());
        }
        let ctx = Context::eval();
        let items: Vec<usize> = (0..data.ids.len()).collect();
        let (mut loss, mut outputs) = (0.0, Vec::new());
        for items in items.chunks(self.recipe.eval.batch_items.max(1)) {
            let batch = self.source.batch(data, items)?;
            let (logits, _) = self.model.forward(&ctx, &batch.input)?;
            loss += loss_sum(self.kind, &logits, &batch.targets)?.item()?;
            outputs.extend(logits.to_vec_f64()?);
        }
        let mut scores: Scores = vec![("loss".into(), loss / data.ids.len() as f64)];
        scores.extend(task_scores(self.kind, &data.targets, &outputs, self.classes.len())?);
        Ok(scores)
    }
}

impl Task for FinetuneTask {
    type Source = FinetuneSource;

    fn source(&self) -> Arc<FinetuneSource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn loss(&mut self, ctx: &Context, batch: &LabelledBatch) -> anyhow::Result<Vec<LossPart>> {
        let (logits, _) = self.model.forward(ctx, &batch.input)?;
        let sum = loss_sum(self.kind, &logits, &batch.targets)?;
        Ok(vec![LossPart { name: "task", sum, weight: 1.0 }])
    }

    fn evaluate(&self) -> anyhow::Result<Scores> {
        self.score(&self.dev)
    }
}

/// The recipe of the `[finetune]` section of another: its learning rate, length and batches; the
/// rate falls in a straight line after one tenth of the steps.
pub fn section_of(recipe: &Recipe) -> Recipe {
    let mut derived = recipe.clone();
    derived.task = crate::recipe::Task::FinetuneText;
    derived.optim.lr = recipe.finetune.lr;
    derived.schedule.kind = ScheduleKind::Linear;
    derived.schedule.max_steps = recipe.finetune.steps;
    derived.schedule.warmup_steps = recipe.finetune.steps / 10;
    derived.batch.accumulate = 1;
    derived
}

/// As [`section_of`], on the model that the recipe's own run left in `dir`: what is frozen there
/// says nothing here, and nothing is evaluated or saved before the end.
pub fn last_stage_of(recipe: &Recipe, dir: &Path) -> Recipe {
    let mut derived = section_of(recipe);
    derived.model.dir = dir.display().to_string();
    derived.model.tokenizer = String::new();
    derived.train.freeze = Vec::new();
    derived.train.unfreeze = Vec::new();
    derived.train.eval_every = 0;
    derived.checkpoint.every = 0;
    derived
}

/// Scores of head outputs `(n, n_classes)`, row-major, against one row of targets an item.
fn task_scores(
    kind: FinetuneKind,
    targets: &[Vec<f64>],
    outputs: &[f64],
    n_classes: usize,
) -> anyhow::Result<Scores> {
    let first = || targets.iter().map(|target| target[0]);
    Ok(match kind {
        FinetuneKind::Classification => {
            let truth: Vec<usize> = first().map(|class| class as usize).collect();
            let predicted: Vec<usize> = outputs.chunks(n_classes).map(largest).collect();
            let confusion = Confusion::new(&truth, &predicted, n_classes)?;
            vec![
                ("accuracy".into(), confusion.accuracy()),
                ("macro_f1".into(), confusion.macro_f1()),
            ]
        }
        FinetuneKind::Regression => {
            let truth: Vec<f64> = first().collect();
            let (pearson, spearman) = (pearson(&truth, outputs)?, spearman(&truth, outputs)?);
            // A constant prediction correlates with nothing; the score is then absent.
            [("pearson", pearson), ("spearman", spearman)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect()
        }
        FinetuneKind::MultiLabel => {
            let truth: Vec<bool> = targets.concat().iter().map(|&t| t > 0.5).collect();
            let predicted: Vec<bool> = outputs.iter().map(|&x| x > 0.0).collect();
            let labels = MultiLabel::new(&truth, &predicted, n_classes)?;
            vec![
                ("accuracy".into(), labels.mean_label_accuracy()),
                ("macro_f1".into(), labels.macro_f1()),
            ]
        }
    })
}

fn largest(row: &[f64]) -> usize {
    row.iter().enumerate().fold(0, |best, (k, value)| if *value > row[best] { k } else { best })
}

/// Distinct labels, sorted; lists count by their entries.
fn seen_classes(utterances: &[Utterance], field: &str) -> Vec<String> {
    let mut classes: Vec<String> = utterances
        .iter()
        .flat_map(|utterance| match utterance.extra.get(field) {
            Some(Value::Array(entries)) => {
                entries.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => utterance
                .field(field)
                .map(|label| label.into_owned())
                .into_iter()
                .collect::<Vec<_>>(),
        })
        .collect();
    classes.sort();
    classes.dedup();
    classes
}

fn labelled(
    utterances: &[Utterance],
    recipe: &Recipe,
    classes: &[String],
    tokenizer: &Tokenizer,
    longest: usize,
) -> anyhow::Result<Labelled> {
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    for utterance in utterances {
        ids.push(tokenizer.encode_within(&text_of(utterance, &recipe.data)?, longest)?);
        targets.push(target(utterance, recipe, classes)?);
    }
    Ok(Labelled { ids, targets })
}

fn target(utterance: &Utterance, recipe: &Recipe, classes: &[String]) -> anyhow::Result<Vec<f64>> {
    let (place, field) = (&utterance.place, &recipe.finetune.label_field);
    let index = |label: &str| {
        classes.iter().position(|class| class == label).with_context(|| {
            format!("{place}: {field} is `{label}`, expected one of {}", classes.join(", "))
        })
    };
    let label = || utterance.field(field).with_context(|| format!("{place}: no field `{field}`"));
    Ok(match recipe.finetune.kind {
        FinetuneKind::Classification => vec![index(&label()?)? as f64],
        FinetuneKind::Regression => {
            let text = label()?;
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            vec![value.with_context(|| {
                format!("{place}: {field} is `{text}`, expected a finite number")
            })?]
        }
        FinetuneKind::MultiLabel => {
            let Some(Value::Array(entries)) = utterance.extra.get(field) else {
                bail!("{place}: {field} is not a list, expected a list of classes");
            };
            let mut row = vec![0.0; classes.len()];
            for entry in entries {
                let name = entry.as_str().with_context(|| {
                    format!("{place}: {field} holds {entry}, expected a string")
                })?;
                row[index(name)?] = 1.0;
            }
            row
        }
    })
}

/// Sum over items: cross-entropy, squared error, or mean binary cross-entropy over the classes.
fn loss_sum(
    kind: FinetuneKind,
    logits: &Tensor,
    targets: &[Vec<f64>],
) -> tensor_core::Result<Tensor> {
    if kind == FinetuneKind::Classification {
        let labels = targets.iter().map(|t| t[0] as i64).collect();
        let labels = Tensor::from_vec(labels, &[targets.len()], Device::Cpu)?;
        return cross_entropy(logits, &labels, CrossEntropyOptions::default());
    }
    if kind == FinetuneKind::Regression {
        let flat: Vec<f32> = targets.iter().flatten().map(|&t| t as f32).collect();
        let targets = Tensor::from_vec(flat, logits.shape(), Device::Cpu)?;
        return logits.to_dtype(DType::F32)?.sub(&targets)?.sqr()?.sum_all();
    }
    // The binary cross-entropy of a logit x is the cross-entropy of the logits (0, x).
    let labels: Vec<i64> = targets.iter().flatten().map(|&t| t as i64).collect();
    let labels = Tensor::from_vec(labels, &[logits.elem_count()], Device::Cpu)?;
    let column = logits.reshape(&[logits.elem_count(), 1])?;
    let zeros = Tensor::zeros(column.shape(), column.dtype(), column.device())?;
    let pairs = Tensor::cat(&[&zeros, &column], 1)?;
    let sum = cross_entropy(&pairs, &labels, CrossEntropyOptions::default())?;
    sum.mul_scalar(1.0 / logits.dim(-1)? as f64)
}

#[cfg(test)]
mod tests;
