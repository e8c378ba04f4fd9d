//! One run of one task, from the first step or from a checkpoint to the last.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use model_zoo::Parameters;
use tensor_core::{AdamW, AdamWOptions, Context, DType, Gradients, Var};

use super::checkpoint::{CheckpointStore, LoopState, check_same_run, hash_manifests};
use crate::batching::Prefetcher;
use crate::freeze;
use crate::guard::{Guard, Verdict};
use crate::interrupt::Interrupt;
use crate::log::{EventWriter, MetricsLog, Progress, ProgressMode};
use crate::recipe::{Precision, Recipe};
use crate::schedule::LrSchedule;
use crate::tasks::{BatchSource, Scores, Task};

/// Steps whose batches are made ahead.
const PREFETCH_DEPTH: usize = 4;

/// How a run is carried out; nothing here changes what it computes.
pub struct RunOptions<'a> {
    /// Folder of the run: `checkpoints/`, `metrics.jsonl` and TensorBoard events.
    pub dir: &'a Path,
    /// Name shown with the progress.
    pub label: &'a str,
    /// The resolved recipe as text.
    pub recipe_text: &'a str,
    /// Continue from the newest checkpoint, if there is one.
    pub resume: bool,
    /// Recipe keys that may differ from the checkpoint's.
    pub allow_change: &'a [String],
    /// Train on the first this many micro-batches over and over; 0 trains on all.
    pub overfit: u64,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// Set when the user wants to stop.
    pub interrupt: &'a Interrupt,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub step: u64,
    /// Whether the user stopped it before the last step.
    pub interrupted: bool,
    /// Scores at the last step.
    pub scores: Scores,
    /// Seconds this process spent in the loop.
    pub seconds: f64,
    /// Steps refused by the guard.
    pub skipped: u64,
}

/// Trains `task` as `recipe` says.
///
/// # Errors
///
/// When a batch cannot be made, the loss stays unusable, a checkpoint cannot be written or the
/// one to resume from belongs to another run.
pub fn train<T: Task>(
    task: &mut T,
    recipe: &Recipe,
    options: &RunOptions<'_>,
) -> anyhow::Result<Outcome> {
    let mut run = Run::open(task, recipe, options)?;
    let outcome = run.steps();
    run.task.after_step(false)?;
    outcome
}

struct Run<'a, T: Task> {
    task: &'a mut T,
    recipe: &'a Recipe,
    options: &'a RunOptions<'a>,
    store: CheckpointStore,
    vars: Vec<Var>,
    optimizer: AdamW,
    schedule: LrSchedule,
    state: LoopState,
    metrics: MetricsLog,
    events: EventWriter,
    lower_is_better: bool,
    metric: String,
}

/// What one step did, for the log.
struct Step {
    parts: Vec<(&'static str, f64)>,
    loss: f64,
    grad_norm: f64,
    lr: f64,
    seconds: f64,
    tokens: usize,
    verdict: Verdict,
}

impl<'a, T: Task> Run<'a, T> {
    fn open(
        task: &'a mut T,
        recipe: &'a Recipe,
        options: &'a RunOptions<'a>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(options.dir)
            .with_context(|| format!("{}: cannot make the run folder", options.dir.display()))?;
        let parameters = task.parameters().clone();
        freeze_parameters(&parameters, recipe)?;
        let vars: Vec<Var> = parameters.vars().filter(|var| var.trainable()).cloned().collect();
        let mut optimizer = AdamW::new(
            AdamWOptions {
                betas: recipe.optim.betas.into(),
                eps: recipe.optim.eps,
                weight_decay: recipe.optim.weight_decay,
            },
            parameters
                .iter()
                .filter(|(_, var)| var.trainable())
                .map(|(name, var)| (name, var, var.shape().len() > 1)),
        )?;

        let data_hash = hash_manifests(&recipe.data.train)?;
        let store = CheckpointStore::new(options.dir.join("checkpoints"));
        let newest = if options.resume { store.steps()?.last().copied() } else { None };
        let state = match newest {
            Some(step) => {
                let mut state = store.state(step)?;
                check_same_run(&state, options.recipe_text, &data_hash, options.allow_change)?;
                store.restore(step, &parameters, &mut optimizer, |read| task.load_buffers(read))?;
                // What follows is computed under the recipe of now, allowed changes included.
                state.guard.set_limits(recipe.train.guard_z, recipe.train.max_bad_steps);
                LoopState { recipe: options.recipe_text.to_owned(), data_hash, ..state }
            }
            None => LoopState {
                step: 0,
                audio_ms: 0,
                tokens: 0,
                guard: Guard::new(recipe.train.guard_z, recipe.train.max_bad_steps),
                metric: None,
                best: None,
                recipe: options.recipe_text.to_owned(),
                data_hash,
            },
        };
        let metrics_path = options.dir.join("metrics.jsonl");
        let metrics = match newest {
            Some(step) => MetricsLog::resume(metrics_path, step)?,
            None => MetricsLog::create(metrics_path)?,
        };
        let events = EventWriter::create(&options.dir.join("tensorboard"), wall_time(), newest)?;
        let written = &recipe.checkpoint.metric;
        let (lower_is_better, metric) = match written.strip_prefix('-') {
            Some(name) => (true, name.to_owned()),
            None => (false, written.clone()),
        };
        Ok(Self {
            schedule: LrSchedule::new(&recipe.schedule, recipe.optim.lr),
            task,
            recipe,
            options,
            store,
            vars,
            optimizer,
            state,
            metrics,
            events,
            lower_is_better,
            metric,
        })
    }

    fn steps(&mut self) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let (max_steps, accumulate) =
            (self.recipe.schedule.max_steps, self.recipe.batch.accumulate.max(1) as u64);
        let (source, plan, overfit) = (self.task.source(), self.task.plan(), self.options.overfit);
        let mut batches = Prefetcher::new(PREFETCH_DEPTH, 1, self.state.step, move |step| {
            (0..accumulate)
                .map(|k| {
                    let mut number = step * accumulate + k;
                    if overfit > 0 {
                        number %= overfit;
                    }
                    source.make(number, &plan.batch(number))
                })
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        let mut progress = Progress::new(
            self.options.progress,
            self.options.label,
            self.state.step,
            max_steps,
            self.recipe.train.log_every,
        );
        let mut scores = Scores::new();
        let (mut evaluated_at, mut saved_at) = (None, None);
        while self.state.step < max_steps {
            let batches = match batches.next() {
                Some(batches) => batches?,
                None => bail!("batches ended at step {}", self.state.step),
            };
            let step = self.step(&batches)?;
            self.log(&step, began)?;
            match &step.verdict {
                Verdict::Apply => {}
                Verdict::Skip(reason) => {
                    progress.note(format!("step {} skipped: {reason}", self.state.step));
                }
                Verdict::Stop(reason) => {
                    self.save(None)?;
                    bail!(
                        "step {}: {reason}, {} steps in a row were unusable (hint: lower optim.lr \
                         or raise schedule.warmup_steps; the last good state is saved)",
                        self.state.step,
                        self.recipe.train.max_bad_steps
                    );
                }
            }
            progress.update(self.state.step, summary(&step));

            let last = self.state.step == max_steps;
            let now = self.state.step;
            let due = |every: u64| last || (every > 0 && now.is_multiple_of(every));
            let mut improved = None;
            if due(self.recipe.train.eval_every) {
                scores = self.scores()?;
                self.record("eval", &scores)?;
                evaluated_at = Some(now);
                progress.note(format!("step {}: {}", self.state.step, shown(&scores)));
                improved = self.improvement(&scores);
            }
            if due(self.recipe.checkpoint.every) || improved.is_some() {
                let metric = (evaluated_at == Some(now)).then(|| self.metric_of(&scores)).flatten();
                self.save(metric)?;
                saved_at = Some(now);
            }
            if self.options.interrupt.requested() && !last {
                // Saving again would drop the metric that was measured at this step.
                if saved_at != Some(now) {
                    self.save(None)?;
                }
                progress.finish(format!(
                    "stopped at step {} of {max_steps}; continue with --resume",
                    self.state.step
                ));
                return Ok(self.outcome(true, scores, began));
            }
        }
        if evaluated_at.is_none() {
            // Resumed after the last step, whose scores are in the metrics already.
            scores = self.scores()?;
        }
        let outcome = self.outcome(false, scores, began);
        progress.finish(format!("{} steps in {:.0} s", self.state.step, outcome.seconds));
        Ok(outcome)
    }

    fn outcome(&self, interrupted: bool, scores: Scores, began: Instant) -> Outcome {
        Outcome {
            step: self.state.step,
            interrupted,
            scores,
            seconds: began.elapsed().as_secs_f64(),
            skipped: self.state.guard.n_skipped(),
        }
    }

    /// Forward, backward and update over the micro-batches of one step.
    fn step(&mut self, batches: &[<T::Source as BatchSource>::Batch]) -> anyhow::Result<Step> {
        let source = self.task.source();
        // Counts over the whole step, so that unequal micro-batches weigh by their terms.
        let mut counts: Vec<f64> = Vec::new();
        for batch in batches {
            let own = source.counts(batch);
            counts.resize(own.len(), 0.0);
            counts.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        let mut gradients = Gradients::new();
        let mut parts: Vec<(&'static str, f64)> = Vec::new();
        let mut loss = 0.0;
        for (k, batch) in batches.iter().enumerate() {
            let mut ctx =
                Context::train(self.recipe.seed, self.state.step * batches.len() as u64 + k as u64);
            if self.recipe.train.precision == Precision::Bf16 {
                ctx = ctx.with_autocast(DType::BF16);
            }
            let mut total = None;
            for (index, part) in self.task.loss(&ctx, batch)?.into_iter().enumerate() {
                let mean = part.sum.mul_scalar(1.0 / counts[index].max(1.0))?;
                let value = mean.item()?;
                match parts.get_mut(index) {
                    Some((_, sum)) => *sum += value,
                    None => parts.push((part.name, value)),
                }
                loss += part.weight * value;
                let weighted = mean.mul_scalar(part.weight)?;
                total = Some(match total {
                    Some(total) => weighted.add(&total)?,
                    None => weighted,
                });
            }
            if let Some(total) = total {
                gradients.accumulate(total.backward()?)?;
            }
        }

        let grad_norm = gradients.global_norm(&self.vars)?;
        let lr = self.schedule.lr_at(self.state.step);
        let verdict = self.state.guard.check(loss, grad_norm);
        let applied = matches!(verdict, Verdict::Apply);
        if applied {
            let clip = self.recipe.optim.clip_norm;
            let scale = if clip > 0.0 && grad_norm > clip { clip / grad_norm } else { 1.0 };
            self.optimizer.step(&gradients, lr, scale)?;
        }
        self.task.after_step(applied)?;
        let (mut seconds, mut tokens) = (0.0, 0);
        for batch in batches {
            let (s, t) = source.volume(batch);
            seconds += s;
            tokens += t;
        }
        self.state.step += 1;
        self.state.audio_ms += (seconds * 1000.0).round() as u64;
        self.state.tokens += tokens as u64;
        Ok(Step { parts, loss, grad_norm, lr, seconds, tokens, verdict })
    }

    fn log(&mut self, step: &Step, began: Instant) -> anyhow::Result<()> {
        let now = self.state.step;
        if !now.is_multiple_of(self.recipe.train.log_every.max(1)) {
            return Ok(());
        }
        let mut fields: Vec<(String, f64)> = vec![("loss".into(), step.loss)];
        fields.extend(step.parts.iter().map(|(name, value)| (format!("loss.{name}"), *value)));
        fields.extend([
            ("lr".into(), step.lr),
            ("grad_norm".into(), step.grad_norm),
            ("step_tokens".into(), step.tokens as f64),
            ("step_audio_s".into(), step.seconds),
            ("audio_s".into(), self.state.audio_ms as f64 / 1000.0),
            ("tokens".into(), self.state.tokens as f64),
            ("skipped".into(), self.state.guard.n_skipped() as f64),
            ("elapsed_s".into(), began.elapsed().as_secs_f64()),
        ]);
        self.record("train", &fields)
    }

    /// Scores on the development set, as they are named in the logs.
    fn scores(&self) -> anyhow::Result<Scores> {
        let scores = self.task.evaluate()?.into_iter();
        Ok(scores.map(|(name, value)| (format!("dev.{name}"), value)).collect())
    }

    fn record(&mut self, group: &str, fields: &[(String, f64)]) -> anyhow::Result<()> {
        let now = self.state.step;
        self.metrics
            .append(now, fields.iter().map(|(name, value)| (name.as_str(), (*value).into())))?;
        let tags: Vec<(String, f64)> =
            fields.iter().map(|(name, value)| (format!("{group}/{name}"), *value)).collect();
        let scalars = tags.iter().map(|(tag, value)| (tag.as_str(), *value));
        self.events.scalars(now, wall_time(), scalars)
    }

    fn metric_of(&self, scores: &Scores) -> Option<f64> {
        let found = scores.iter().find(|(name, _)| *name == self.metric);
        // A score that is not a number ranks nowhere; as "best" it would never be beaten.
        found.map(|(_, value)| *value).filter(|value| value.is_finite())
    }

    /// Notes a new best value of the checkpoint metric.
    fn improvement(&mut self, scores: &Scores) -> Option<f64> {
        let value = self.metric_of(scores)?;
        let better = self.state.best.is_none_or(|best| match self.lower_is_better {
            true => value < best,
            false => value > best,
        });
        if better {
            self.state.best = Some(value);
        }
        better.then_some(value)
    }

    fn save(&mut self, metric: Option<f64>) -> anyhow::Result<()> {
        let state = LoopState { metric, ..self.state.clone() };
        self.store.save(&state, self.task.parameters(), &self.optimizer, &self.task.buffers()?)?;
        let keep = &self.recipe.checkpoint;
        self.store.rotate(keep.keep_last, keep.keep_best, self.lower_is_better)
    }
}

/// Applies `train.freeze`; what a model froze itself stays frozen unless asked for by name.
fn freeze_parameters(parameters: &Parameters, recipe: &Recipe) -> anyhow::Result<()> {
    let names: Vec<String> = parameters.names().map(str::to_owned).collect();
    let (frozen, thawed) = (&recipe.train.freeze, &recipe.train.unfreeze);
    let trainable = freeze::trainable(&names, frozen, thawed)?;
    for ((name, var), trainable) in parameters.iter().zip(trainable) {
        let named = thawed.iter().any(|pattern| freeze::matches(pattern, name));
        var.set_trainable(trainable && (var.trainable() || named));
    }
    Ok(())
}

fn summary(step: &Step) -> String {
    let parts: Vec<String> =
        step.parts.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    format!(
        "loss {:.4}  {}  lr {:.1e}  |g| {:.2}",
        step.loss,
        parts.join("  "),
        step.lr,
        step.grad_norm
    )
}

fn shown(scores: &Scores) -> String {
    scores.iter().map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ")
}

/// Seconds since 1970; for logs alone.
fn wall_time() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests;
