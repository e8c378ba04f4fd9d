//! One run of one task, from the first step or from a checkpoint to the last.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use tensor_core::{AdamW, Var};

use super::checkpoint::{CheckpointStore, LoopState};
use super::gradients::{Accumulated, accumulate};
use super::run_log::RunLog;
use super::same_run::{check_same_run, hash_manifests};
use super::trainable::{freeze_parameters, optimizer};
use crate::batching::Prefetcher;
use crate::guard::{Guard, Verdict};
use crate::interrupt::Interrupt;
use crate::log::{Progress, ProgressMode};
use crate::recipe::Recipe;
use crate::schedule::LrSchedule;
use crate::tasks::{BatchSource, Scores, Task};

/// Steps whose batches are made ahead.
const PREFETCH_DEPTH: usize = 4;

/// How a run is carried out. All that decides what it computes is in the recipe, but for `overfit`.
pub struct RunOptions<'a> {
    /// Folder of the run: `checkpoints/`, `metrics.jsonl` and TensorBoard events.
    pub dir: &'a Path,
    /// Name shown with the progress.
    pub label: &'a str,
    /// The resolved recipe as text.
    pub recipe_text: &'a str,
    /// Continue from the newest checkpoint, if there is one.
    pub resume: bool,
    /// Recipe keys that may differ from the checkpoint's; also `data` and `overfit`.
    pub allow_change: &'a [String],
    /// Train on the first this many micro-batches over and over; 0 trains on all.
    pub overfit: u64,
    /// Train on the heaviest micro-batch alone, for what it needs.
    pub heaviest: bool,
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
/// When a batch cannot be made, the loss stays unusable, a checkpoint cannot be written, the one
/// to resume from belongs to another run, or a new run finds checkpoints in its folder.
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
    log: RunLog,
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

type Batch<T> = <<T as Task>::Source as BatchSource>::Batch;

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
        let mut optimizer = optimizer(&parameters, recipe)?;
        let mut state = LoopState {
            step: 0,
            audio_ms: 0,
            tokens: 0,
            guard: Guard::new(recipe.train.guard_z, recipe.train.max_bad_steps),
            metric: None,
            best: None,
            recipe: options.recipe_text.to_owned(),
            data_hash: hash_manifests(&recipe.data.train)?,
            overfit: options.overfit,
        };
        let store = CheckpointStore::new(options.dir.join("checkpoints"));
        let newest = store.steps()?.last().copied();
        ensure!(
            options.resume || newest.is_none(),
            "{}: holds checkpoints, expected none for a new run (hint: --resume continues it)",
            options.dir.display()
        );
        if let Some(step) = newest {
            let saved = store.state(step)?;
            check_same_run(&saved, &state, options.allow_change)?;
            store.restore(step, &parameters, &mut optimizer, |read| task.load_buffers(read))?;
            // What follows is computed under the recipe of now, allowed changes included.
            let LoopState { recipe: text, data_hash, overfit, .. } = state;
            state = LoopState { recipe: text, data_hash, overfit, ..saved };
            state.guard.set_limits(recipe.train.guard_z, recipe.train.max_bad_steps);
        }
        let log = RunLog::open(options.dir, newest)?;
        Ok(Self {
            schedule: LrSchedule::new(&recipe.schedule, recipe.optim.lr),
            vars: parameters.vars().filter(|var| var.trainable()).cloned().collect(),
            task,
            recipe,
            options,
            store,
            optimizer,
            state,
            log,
        })
    }

    fn steps(&mut self) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let max_steps = self.recipe.schedule.max_steps;
        let mut batches = self.batches()?;
        let mut progress = Progress::new(
            self.options.progress,
            self.options.label,
            self.state.step,
            max_steps,
            self.recipe.train.log_every,
        );
        let mut scores = None;
        while self.state.step < max_steps {
            let Some(batches) = batches.next() else {
                bail!("batches ended at step {}", self.state.step)
            };
            let batches = batches?;
            let step = self.step(&batches)?;
            self.log(&step, began)?;
            self.probe(&batches)?;
            self.heed(&step.verdict, &mut progress)?;
            progress.update(self.state.step, summary(&step));

            let now = self.state.step;
            let last = now == max_steps;
            let due = |every: u64| last || (every > 0 && now.is_multiple_of(every));
            let (mut metric, mut improved) = (None, false);
            if due(self.recipe.train.eval_every) {
                let found = scores.insert(self.evaluate(&mut progress)?);
                metric = self.metric_of(found);
                improved = self.improve(metric);
            }
            let saved = due(self.recipe.checkpoint.every) || improved;
            if saved {
                self.save(metric)?;
            }
            if self.options.interrupt.requested() && !last {
                // Without a metric: an unbroken run keeps no checkpoint of this step.
                if !saved {
                    self.save(None)?;
                }
                progress.finish(format!(
                    "stopped at step {now} of {max_steps}; continue with --resume"
                ));
                return Ok(self.outcome(true, scores.unwrap_or_default(), began));
            }
        }
        let scores = match scores {
            Some(scores) => scores,
            // Resumed after the last step, whose scores are in the metrics already.
            None => self.scores()?,
        };
        let outcome = self.outcome(false, scores, began);
        progress.finish(format!("{} steps in {:.0} s", self.state.step, outcome.seconds));
        Ok(outcome)
    }

    /// The micro-batches of each step from the current one on, made ahead.
    fn batches(&self) -> anyhow::Result<Prefetcher<Vec<Batch<T>>>> {
        let accumulate = self.recipe.batch.accumulate.max(1) as u64;
        let (source, plan, overfit) = (self.task.source(), self.task.plan(), self.state.overfit);
        let heaviest = self.options.heaviest.then(|| plan.heaviest());
        Prefetcher::new(PREFETCH_DEPTH, 1, self.state.step, move |step| {
            let numbers = step * accumulate..(step + 1) * accumulate;
            numbers
                .map(|number| if overfit > 0 { number % overfit } else { number })
                .map(|number| heaviest.unwrap_or(number))
                .map(|number| source.make(number, &plan.batch(number)))
                .collect()
        })
    }

    /// Notes a skipped step; fails where the run must stop.
    fn heed(&mut self, verdict: &Verdict, progress: &mut Progress) -> anyhow::Result<()> {
        match verdict {
            Verdict::Apply => Ok(()),
            Verdict::Skip(reason) => {
                progress.note(format!("step {} skipped: {reason}", self.state.step));
                Ok(())
            }
            Verdict::Stop(reason) => {
                self.save(None)?;
                bail!(
                    "step {}: {reason}, {} steps in a row were unusable (hint: lower optim.lr or \
                     raise schedule.warmup_steps; the last good state is saved)",
                    self.state.step,
                    self.recipe.train.max_bad_steps
                )
            }
        }
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
    fn step(&mut self, batches: &[Batch<T>]) -> anyhow::Result<Step> {
        let Accumulated { parts, loss, gradients } =
            accumulate(self.task, self.recipe, self.state.step, batches)?;
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
        let source = self.task.source();
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
        self.log.record(self.state.step, "train", &fields)
    }

    /// Parts of the loss of the step's first micro-batch, as they are and with the other side
    /// shuffled.
    fn probe(&mut self, batches: &[Batch<T>]) -> anyhow::Result<()> {
        let every = self.recipe.train.probe_every;
        let Some(batch) = batches.first() else { return Ok(()) };
        if every == 0 || !self.state.step.is_multiple_of(every) {
            return Ok(());
        }
        let mut fields = Vec::new();
        for (name, shuffled) in [("probe", false), ("shuffled", true)] {
            let parts = self.task.probe(batch, shuffled)?.into_iter();
            fields.extend(parts.map(|(part, value)| (format!("{name}.{part}"), value)));
        }
        if fields.is_empty() { Ok(()) } else { self.log.record(self.state.step, "train", &fields) }
    }

    /// Scores on the development set, as they are named in the logs.
    fn scores(&self) -> anyhow::Result<Scores> {
        let scores = self.task.evaluate()?.into_iter();
        Ok(scores.map(|(name, value)| (format!("dev.{name}"), value)).collect())
    }

    /// Scores that are logged and shown.
    fn evaluate(&mut self, progress: &mut Progress) -> anyhow::Result<Scores> {
        let scores = self.scores()?;
        self.log.record(self.state.step, "eval", &scores)?;
        progress.note(format!("step {}: {}", self.state.step, shown(&scores)));
        let (metric, _) = self.recipe.checkpoint.score();
        if !scores.iter().any(|(name, _)| name == metric) {
            progress.note(format!("checkpoint.metric: no score is named {metric}, none is best"));
        }
        Ok(scores)
    }

    fn metric_of(&self, scores: &Scores) -> Option<f64> {
        let (metric, _) = self.recipe.checkpoint.score();
        let found = scores.iter().find(|(name, _)| name == metric);
        // A score that is not a number ranks nowhere; as "best" it would never be beaten.
        found.map(|(_, value)| *value).filter(|value| value.is_finite())
    }

    /// Whether the metric is the best so far, which is then kept in mind.
    fn improve(&mut self, metric: Option<f64>) -> bool {
        let (_, lower_is_better) = self.recipe.checkpoint.score();
        let Some(value) = metric else { return false };
        let better = self.state.best.is_none_or(|best| match lower_is_better {
            true => value < best,
            false => value > best,
        });
        if better {
            self.state.best = Some(value);
        }
        better
    }

    fn save(&mut self, metric: Option<f64>) -> anyhow::Result<()> {
        let state = LoopState { metric, ..self.state.clone() };
        self.store.save(&state, self.task.parameters(), &self.optimizer, &self.task.buffers()?)?;
        let keep = &self.recipe.checkpoint;
        self.store.rotate(keep.keep_last, keep.keep_best, keep.score().1)
    }
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

#[cfg(test)]
mod tests;
