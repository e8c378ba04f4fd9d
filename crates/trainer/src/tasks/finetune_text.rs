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
use crate::dataset::export_dtype;
use crate::dataset::text::{open_tokenizer, text_of};
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
        let (train, dev) = (read_all(&recipe.data.train)?, read_all(&recipe.data.dev)?);
        let classes = match finetune.kind {
            FinetuneKind::Regression => vec![finetune.label_field.clone()],
            _ if finetune.classes.is_empty() => seen_classes(&train, &finetune.label_field),
            _ => finetune.classes.clone(),
        };

        let mut config = BertConfig::open(&dir)?.with_labels(&classes);
        config.hidden_dropout_prob = recipe.model.dropout;
        config.attention_probs_dropout_prob = recipe.model.dropout;
        let options = LoadOptions { seed: recipe.seed, ..LoadOptions::default() };
        let model = SequenceClassifier::open_as(&dir, &config, options)?;

        let read = |utterances: &[Utterance]| {
            labelled(utterances, recipe, &classes, &tokenizer, config.max_position_embeddings)
        };
        let (train, dev) = (read(&train)?, read(&dev)?);
        let lengths = train.ids.iter().map(|ids| Length { seconds: 0.0, tokens: ids.len() });
        let options = BatchOptions {
            max_seconds: 0.0,
            max_tokens: 0,
            max_items: finetune.batch_items.max(1),
            bucket_count: 1,
            oversize: Oversize::Alone,
        };
        let plan = Arc::new(BatchPlan::new(lengths.collect(), options, recipe.seed)?);
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

    fn score(&self, data: &Labelled) -> anyhow::Result<Scores> {
        let ctx = Context::eval();
        let items: Vec<usize> = (0..data.ids.len()).collect();
        let (mut loss, mut outputs) = (0.0, Vec::new());
        for items in items.chunks(self.recipe.eval.batch_items.max(1)) {
            let batch = self.source.batch(data, items)?;
            let (logits, _) = self.model.forward(&ctx, &batch.input)?;
            loss += loss_sum(self.kind, &logits, &batch.targets)?.item()?;
            outputs.extend(logits.to_vec_f64()?);
        }
        let n = data.ids.len();
        let rows: Vec<&[f64]> = outputs.chunks(outputs.len() / n).collect();
        let mut scores: Scores = vec![("loss".into(), loss / n as f64)];
        match self.kind {
            FinetuneKind::Classification => {
                let truth: Vec<usize> = data.targets.iter().map(|t| t[0] as usize).collect();
                let predicted: Vec<usize> = rows.iter().map(|row| largest(row)).collect();
                let confusion = Confusion::new(&truth, &predicted, self.classes.len())?;
                scores.push(("accuracy".into(), confusion.accuracy()));
                scores.push(("macro_f1".into(), confusion.macro_f1()));
            }
            FinetuneKind::Regression => {
                let truth: Vec<f64> = data.targets.iter().map(|t| t[0]).collect();
                let predicted: Vec<f64> = rows.iter().map(|row| row[0]).collect();
                // A constant prediction correlates with nothing; the score is then absent.
                let correlations = [
                    ("pearson", pearson(&truth, &predicted)?),
                    ("spearman", spearman(&truth, &predicted)?),
                ];
                for (name, value) in correlations {
                    scores.extend(value.map(|value| (name.to_owned(), value)));
                }
            }
            FinetuneKind::MultiLabel => {
                let truth: Vec<bool> = data.targets.concat().iter().map(|&t| t > 0.5).collect();
                let predicted: Vec<bool> = outputs.iter().map(|&x| x > 0.0).collect();
                let labels = MultiLabel::new(&truth, &predicted, self.classes.len())?;
                scores.push(("accuracy".into(), labels.mean_label_accuracy()));
                scores.push(("macro_f1".into(), labels.macro_f1()));
            }
        }
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

/// The recipe of a fine-tuning run on the folder `dir`, from the `[finetune]` section of another.
///
/// One tenth of the steps warm up; batches, learning rate and length are the section's own, and
/// nothing is evaluated or saved before the end.
pub fn recipe_of(recipe: &Recipe, dir: &Path) -> Recipe {
    let mut derived = recipe.clone();
    derived.task = crate::recipe::Task::FinetuneText;
    derived.model.dir = dir.display().to_string();
    derived.model.tokenizer = String::new();
    derived.optim.lr = recipe.finetune.lr;
    derived.schedule.kind = ScheduleKind::Linear;
    derived.schedule.max_steps = recipe.finetune.steps;
    derived.schedule.warmup_steps = recipe.finetune.steps / 10;
    derived.batch.accumulate = 1;
    derived.train.freeze = Vec::new();
    derived.train.unfreeze = Vec::new();
    derived.train.eval_every = 0;
    derived.checkpoint.every = 0;
    derived
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
            let value: f64 = text
                .parse()
                .with_context(|| format!("{place}: {field} is `{text}`, expected a number"))?;
            vec![value]
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
    let flat: Vec<f32> = targets.iter().flatten().map(|&t| t as f32).collect();
    let targets = Tensor::from_vec(flat, logits.shape(), Device::Cpu)?;
    let logits = logits.to_dtype(DType::F32)?;
    if kind == FinetuneKind::Regression {
        return logits.sub(&targets)?.sqr()?.sum_all();
    }
    // max(x, 0) - x y + ln(1 + e^-|x|), the form that cannot overflow.
    let soft = logits.abs()?.neg()?.exp()?.add_scalar(1.0)?.log()?;
    let entropy = logits.relu()?.sub(&logits.mul(&targets)?)?.add(&soft)?;
    entropy.sum_all()?.mul_scalar(1.0 / logits.dim(-1)? as f64)
}
