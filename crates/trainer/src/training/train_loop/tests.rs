use std::collections::BTreeSet;
use std::sync::Arc;

use model_zoo::Parameters;
use serde_json::Value;
use tensor_core::{Context, Device, SafeTensors, Tensor};

use super::*;
use crate::batching::{BatchOptions, BatchPlan, Length, Oversize};
use crate::tasks::{LossPart, next_items};

/// Fits `y = x w + b` on items of unequal length, in batches of at most `max_items`.
struct Toy {
    parameters: Parameters,
    source: Arc<ToySource>,
    plan: Arc<BatchPlan>,
    /// A state beside the parameters that later steps see, as a memory bank is.
    memory: f64,
    dropout: f64,
    /// What each step told [`Task::after_step`].
    applied: Vec<bool>,
    /// Asked to stop after this many steps of the process.
    stop_after: Option<(usize, Interrupt)>,
    /// The score of a memory and a loss.
    score: fn(f64, f64) -> f64,
}

struct ToySource {
    /// Tokens of every item: two inputs and a target.
    items: Vec<Vec<[f32; 3]>>,
    /// Micro-batches that are not finite.
    bad: BTreeSet<u64>,
}

struct ToyBatch {
    inputs: Tensor,
    targets: Tensor,
}

impl ToySource {
    fn batch(&self, items: &[usize], factor: f32) -> anyhow::Result<ToyBatch> {
        let tokens: Vec<[f32; 3]> = items.iter().flat_map(|&k| self.items[k].clone()).collect();
        let inputs = tokens.iter().flat_map(|[a, b, _]| [*a, *b]).collect();
        let targets = tokens.iter().map(|[_, _, y]| factor * y).collect();
        Ok(ToyBatch {
            inputs: Tensor::from_vec(inputs, &[tokens.len(), 2], Device::Cpu)?,
            targets: Tensor::from_vec(targets, &[tokens.len(), 1], Device::Cpu)?,
        })
    }
}

impl BatchSource for ToySource {
    type Batch = ToyBatch;

    fn make(&self, number: u64, items: &[usize]) -> anyhow::Result<ToyBatch> {
        self.batch(items, if self.bad.contains(&number) { f32::NAN } else { 1.0 })
    }

    fn counts(&self, batch: &ToyBatch) -> Vec<f64> {
        vec![batch.targets.elem_count() as f64]
    }

    fn volume(&self, batch: &ToyBatch) -> (f64, usize) {
        (0.25, batch.targets.elem_count())
    }
}

impl Toy {
    fn new(max_items: usize) -> Self {
        let items: Vec<Vec<[f32; 3]>> = (0..8usize)
            .map(|item| {
                let token = |t: usize| {
                    let (a, b) = ((item * 7 % 5) as f32 - 2.0, (t * 3 % 4) as f32 * 0.5);
                    [a, b, 1.5 * a - b + 0.1 * t as f32]
                };
                (0..1 + item * item % 6).map(token).collect()
            })
            .collect();
        let lengths =
            items.iter().map(|tokens| Length { seconds: 0.0, tokens: tokens.len() }).collect();
        let options = BatchOptions {
            max_seconds: 0.0,
            max_tokens: 0,
            max_items,
            bucket_count: 1,
            oversize: Oversize::Alone,
        };
        let plan = Arc::new(BatchPlan::new(lengths, options, 3).unwrap());
        let mut parameters = Parameters::new();
        let leaf = |values: Vec<f32>, shape: &[usize]| {
            Var::new(Tensor::from_vec(values, shape, Device::Cpu).unwrap())
        };
        parameters.insert("weight", leaf(vec![0.3, -0.2], &[1, 2])).unwrap();
        parameters.insert("bias", leaf(vec![0.1], &[1])).unwrap();
        let source = Arc::new(ToySource { items, bad: BTreeSet::new() });
        Self {
            parameters,
            source,
            plan,
            memory: 0.0,
            dropout: 0.0,
            applied: Vec::new(),
            stop_after: None,
            score: |_, loss| loss,
        }
    }

    fn with_bad(mut self, bad: impl IntoIterator<Item = u64>) -> Self {
        let items = self.source.items.clone();
        self.source = Arc::new(ToySource { items, bad: bad.into_iter().collect() });
        self
    }

    fn error(&self, ctx: &Context, batch: &ToyBatch) -> anyhow::Result<Tensor> {
        let var = |name: &str| ctx.param(self.parameters.get(name).unwrap());
        let inputs = ctx.dropout(&batch.inputs, self.dropout)?;
        let predicted = inputs.linear(&var("weight"), Some(&var("bias")))?;
        let gap = predicted.sub(&batch.targets)?.add_scalar(self.memory)?;
        Ok(gap.sqr()?.sum_all()?)
    }
}

impl Task for Toy {
    type Source = ToySource;

    fn source(&self) -> Arc<ToySource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, ctx: &Context, batch: &ToyBatch) -> anyhow::Result<Vec<LossPart>> {
        Ok(vec![LossPart { name: "square", sum: self.error(ctx, batch)?, weight: 1.0 }])
    }

    fn probe(&self, batch: &ToyBatch, shuffled: bool) -> anyhow::Result<Scores> {
        let tokens = batch.targets.elem_count();
        let order: Vec<i64> = match shuffled {
            true => next_items(tokens).into_iter().map(|token| token as i64).collect(),
            false => (0..tokens as i64).collect(),
        };
        let order = Tensor::from_vec(order, &[tokens], Device::Cpu)?;
        let targets = batch.targets.index_select(0, &order)?;
        let batch = ToyBatch { inputs: batch.inputs.clone(), targets };
        let sum = self.error(&Context::eval(), &batch)?.item()?;
        Ok(vec![("square".into(), sum / tokens as f64)])
    }

    fn after_step(&mut self, applied: bool) -> anyhow::Result<()> {
        self.applied.push(applied);
        if applied {
            self.memory = 0.9 * self.memory + 0.01;
        }
        if let Some((steps, interrupt)) = &self.stop_after
            && self.applied.len() == *steps
        {
            interrupt.request();
        }
        Ok(())
    }

    fn buffers(&self) -> anyhow::Result<Vec<(String, Tensor)>> {
        Ok(vec![("memory".into(), Tensor::from_vec(vec![self.memory], &[1], Device::Cpu)?)])
    }

    fn load_buffers(
        &mut self,
        read: &dyn Fn(&str) -> tensor_core::Result<Tensor>,
    ) -> anyhow::Result<()> {
        self.memory = read("memory")?.item()?;
        Ok(())
    }

    fn evaluate(&self) -> anyhow::Result<Scores> {
        let batch = self.source.batch(&[0, 1, 2, 3, 4, 5, 6, 7], 1.0)?;
        let loss = self.error(&Context::eval(), &batch)?.item()?;
        Ok(vec![("loss".into(), (self.score)(self.memory, loss))])
    }
}

fn recipe(max_steps: u64) -> Recipe {
    let mut recipe = Recipe::default();
    recipe.optim.lr = 0.05;
    recipe.optim.clip_norm = 0.0;
    recipe.schedule.max_steps = max_steps;
    recipe.schedule.warmup_steps = 0;
    recipe.train.log_every = 1;
    recipe.train.eval_every = 3;
    recipe.train.max_bad_steps = 3;
    recipe.checkpoint.every = 2;
    recipe
}

/// How a test runs a toy.
#[derive(Default)]
struct Run {
    resume: bool,
    allow_change: Vec<String>,
    overfit: u64,
}

impl Run {
    fn of(self, toy: &mut Toy, recipe: &Recipe, dir: &Path) -> anyhow::Result<Outcome> {
        let interrupt = toy.stop_after.as_ref().map_or_else(Interrupt::manual, |(_, i)| i.clone());
        let options = RunOptions {
            dir,
            label: "toy",
            recipe_text: &recipe.to_text()?,
            resume: self.resume,
            allow_change: &self.allow_change,
            overfit: self.overfit,
            heaviest: false,
            progress: ProgressMode::Quiet,
            interrupt: &interrupt,
        };
        train(toy, recipe, &options)
    }
}

fn resume() -> Run {
    Run { resume: true, ..Run::default() }
}

fn store(dir: &Path) -> CheckpointStore {
    CheckpointStore::new(dir.join("checkpoints"))
}

/// The bytes of a checkpoint, file by file.
fn bytes(dir: &Path, step: u64) -> Vec<Vec<u8>> {
    ["model.safetensors", "optimizer.safetensors", "state.json"]
        .map(|file| std::fs::read(store(dir).path(step).join(file)).unwrap())
        .into()
}

/// Every line of the metrics without the seconds it took.
fn metrics(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let line = |line| {
        let mut fields: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        fields.remove("elapsed_s");
        Value::Object(fields)
    };
    text.lines().map(line).collect()
}

#[test]
fn a_run_stopped_after_any_step_and_resumed_ends_as_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe(8);
    recipe.batch.accumulate = 2;
    let toy = || Toy { dropout: 0.3, ..Toy::new(3) }.with_bad([7]);
    let whole = folder.path().join("whole");
    let outcome = Run::default().of(&mut toy(), &recipe, &whole).unwrap();
    assert_eq!((outcome.step, outcome.interrupted, outcome.skipped), (8, false, 1));
    for stop in 1..8 {
        let broken = folder.path().join(format!("broken-{stop}"));
        let mut first = toy();
        first.stop_after = Some((stop, Interrupt::manual()));
        let outcome = Run::default().of(&mut first, &recipe, &broken).unwrap();
        assert_eq!((outcome.step, outcome.interrupted), (stop as u64, true));
        let resumed = resume().of(&mut toy(), &recipe, &broken).unwrap();
        assert_eq!((resumed.step, resumed.skipped), (8, 1));
        assert!(bytes(&broken, 8) == bytes(&whole, 8), "stopped after step {stop}");
        assert_eq!(metrics(&broken), metrics(&whole), "stopped after step {stop}");
        assert_eq!(store(&broken).best(true).unwrap(), store(&whole).best(true).unwrap());
    }
}

#[test]
fn small_micro_batches_add_up_to_a_large_one() {
    let folder = tempfile::tempdir().unwrap();
    let moments = |max_items: usize, accumulate: usize| {
        let dir = folder.path().join(max_items.to_string());
        let mut recipe = recipe(1);
        recipe.batch.accumulate = accumulate;
        Run::default().of(&mut Toy::new(max_items), &recipe, &dir).unwrap();
        let path = store(&dir).path(1).join("optimizer.safetensors");
        let file = SafeTensors::open(path).unwrap();
        // After one step the first moment is the gradient, times 1 - beta.
        let mean = |name: &str| file.tensor(&format!("mean.{name}")).unwrap().to_vec_f64().unwrap();
        let loss = metrics(&dir)[0]["loss"].as_f64().unwrap();
        [mean("weight"), mean("bias"), vec![loss]].concat()
    };
    let large = moments(8, 1);
    assert!(large.iter().all(|value| value.abs() > 1e-3), "{large:?}");
    for (max_items, accumulate) in [(2, 4), (1, 8), (3, 3)] {
        for (got, expected) in moments(max_items, accumulate).iter().zip(&large) {
            let error = (got - expected).abs() / expected.abs();
            assert!(error < 1e-5, "{accumulate} x {max_items}: {got}, expected {expected}");
        }
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = Toy::new(8).with_bad([2]);
    let outcome = Run::default().of(&mut toy, &recipe(4), folder.path()).unwrap();
    assert_eq!((outcome.step, outcome.skipped), (4, 1));
    // The last call clears what an ended run left.
    assert_eq!(toy.applied, [true, true, false, true, false]);
    let lines = metrics(folder.path());
    let training: Vec<&Value> = lines.iter().filter(|line| line.get("lr").is_some()).collect();
    assert!(training[2]["loss"].is_null() && training[2]["skipped"] == 1.0, "{}", training[2]);
    assert!(training[3]["loss"].as_f64().unwrap().is_finite());

    // Of three steps with a bad one in the middle, two were taken. The order of items within a
    // batch differs, so sums may too, by rounding.
    let taken = |dir: &str, max_steps: u64, bad: &[u64]| {
        let mut recipe = recipe(max_steps);
        recipe.schedule.kind = crate::recipe::ScheduleKind::Constant;
        let mut toy = Toy::new(8).with_bad(bad.iter().copied());
        Run::default().of(&mut toy, &recipe, &folder.path().join(dir)).unwrap();
        let value = |name: &str| toy.parameters.get(name).unwrap().value().to_vec_f64().unwrap();
        [value("weight"), value("bias"), vec![toy.memory]].concat()
    };
    let (skipped, unbroken) = (taken("skipped", 3, &[1]), taken("unbroken", 2, &[]));
    for (got, expected) in skipped.iter().zip(&unbroken) {
        assert!((got - expected).abs() < 1e-5, "{skipped:?}, expected {unbroken:?}");
    }
}

#[test]
fn a_run_whose_steps_stay_unusable_stops_with_a_saved_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = Toy::new(8).with_bad(3..20);
    let error = Run::default().of(&mut toy, &recipe(50), folder.path()).unwrap_err().to_string();
    assert_eq!(
        error,
        "step 6: loss is NaN, expected a number, 3 steps in a row were unusable (hint: lower \
         optim.lr or raise schedule.warmup_steps; the last good state is saved)"
    );
    assert_eq!(store(folder.path()).steps().unwrap().last(), Some(&6));
    let model = SafeTensors::open(store(folder.path()).path(6).join("model.safetensors")).unwrap();
    let weight = model.tensor("weight").unwrap().to_vec_f64().unwrap();
    assert!(weight.iter().all(|value| value.is_finite()));
    // With the cause gone it can be continued.
    let outcome = resume().of(&mut Toy::new(8), &recipe(50), folder.path()).unwrap();
    assert_eq!((outcome.step, outcome.skipped), (50, 3));
}

#[test]
fn stopping_at_an_evaluated_step_keeps_its_metric() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = Toy::new(8);
    toy.stop_after = Some((3, Interrupt::manual()));
    let outcome = Run::default().of(&mut toy, &recipe(9), folder.path()).unwrap();
    assert!(outcome.interrupted);
    let state = store(folder.path()).state(3).unwrap();
    assert_eq!(state.metric, Some(outcome.scores[0].1));
    assert_eq!(state.best, state.metric);
}

#[test]
fn a_score_that_is_not_a_number_is_never_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe(9);
    recipe.checkpoint.keep_last = 9;
    let mut toy = Toy::new(8);
    // The memory grows: 0.027 after three steps, 0.047 after six.
    toy.score = |memory, loss| if memory < 0.03 { f64::NAN } else { loss };
    Run::default().of(&mut toy, &recipe, folder.path()).unwrap();
    let lines = metrics(folder.path());
    let seen: Vec<&Value> = lines.iter().filter_map(|line| line.get("dev.loss")).collect();
    assert!(seen[0].is_null() && seen[2].is_f64(), "{seen:?}");
    let last = store(folder.path()).state(9).unwrap();
    let finite = seen.iter().filter_map(|value| value.as_f64());
    assert_eq!(last.best, finite.min_by(f64::total_cmp));
}

#[test]
fn resuming_a_finished_run_changes_none_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let first = Run::default().of(&mut Toy::new(8), &recipe(4), folder.path()).unwrap();
    let (before, lines) = (bytes(folder.path(), 4), metrics(folder.path()));
    let again = resume().of(&mut Toy::new(8), &recipe(4), folder.path()).unwrap();
    assert_eq!((again.step, &again.scores), (4, &first.scores));
    assert!(bytes(folder.path(), 4) == before);
    assert_eq!(metrics(folder.path()), lines);
}

#[test]
fn an_allowed_change_is_asked_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = |mode: Run, recipe: &Recipe| mode.of(&mut Toy::new(8), recipe, folder.path());
    run(Run::default(), &recipe(2)).unwrap();
    let longer = recipe(6);
    let error = run(resume(), &longer).unwrap_err().to_string();
    assert!(error.contains("schedule.max_steps: saved 2, now 6"), "{error}");
    assert_eq!(store(folder.path()).steps().unwrap(), [2], "nothing was touched");
    let allow_change = vec!["schedule.max_steps".to_owned()];
    assert_eq!(run(Run { allow_change, ..resume() }, &longer).unwrap().step, 6);
    assert_eq!(run(resume(), &longer).unwrap().step, 6);
}

#[test]
fn a_new_run_does_not_touch_the_folder_of_another() {
    let folder = tempfile::tempdir().unwrap();
    Run::default().of(&mut Toy::new(8), &recipe(4), folder.path()).unwrap();
    let (before, lines) = (bytes(folder.path(), 4), metrics(folder.path()));
    let error = Run::default().of(&mut Toy::new(8), &recipe(2), folder.path()).unwrap_err();
    let expected = "holds checkpoints, expected none for a new run (hint: --resume continues it)";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert!(bytes(folder.path(), 4) == before);
    assert_eq!(metrics(folder.path()), lines);
}

#[test]
fn a_run_on_its_first_batches_is_resumed_on_the_same_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, overfit) = (recipe(6), 2);
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    Run { overfit, ..Run::default() }.of(&mut Toy::new(3), &recipe, &whole).unwrap();
    let mut first = Toy::new(3);
    first.stop_after = Some((3, Interrupt::manual()));
    Run { overfit, ..Run::default() }.of(&mut first, &recipe, &broken).unwrap();
    let error = resume().of(&mut Toy::new(3), &recipe, &broken).unwrap_err().to_string();
    assert!(error.contains("overfit: saved 2, now 0"), "{error}");
    Run { overfit, ..resume() }.of(&mut Toy::new(3), &recipe, &broken).unwrap();
    assert!(bytes(&broken, 6) == bytes(&whole, 6));
    // Steps 0, 2 and 4 see the same tokens.
    let tokens = metrics(&whole).into_iter().filter_map(|line| line["step_tokens"].as_f64());
    let tokens: Vec<f64> = tokens.collect();
    assert_eq!(tokens[..2], tokens[2..4]);
    assert_eq!(tokens[..2], tokens[4..]);
}

#[test]
fn frozen_parameters_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe(3);
    recipe.train.freeze = vec!["weight".into()];
    let mut toy = Toy::new(8);
    Run::default().of(&mut toy, &recipe, folder.path()).unwrap();
    let value = |name: &str| toy.parameters.get(name).unwrap().value().to_vec_f32().unwrap();
    assert_eq!(value("weight"), [0.3, -0.2]);
    assert_ne!(value("bias"), [0.1]);
}

#[test]
fn a_probe_shows_that_targets_of_others_fit_worse_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, probed] = ["plain", "probed"].map(|name| folder.path().join(name));
    let mut recipe = recipe(60);
    recipe.schedule.kind = crate::recipe::ScheduleKind::Constant;
    let run = |recipe: &Recipe, dir: &Path| {
        let mut toy = Toy::new(8);
        Run::default().of(&mut toy, recipe, dir).unwrap();
        let value = |name: &str| toy.parameters.get(name).unwrap().value().to_vec_f32().unwrap();
        [value("weight"), value("bias")].concat()
    };
    let without = run(&recipe, &plain);
    recipe.train.probe_every = 20;
    assert_eq!(run(&recipe, &probed), without);
    let lines = metrics(&probed);
    let found: Vec<&Value> =
        lines.iter().filter(|line| line.get("probe.square").is_some()).collect();
    let steps: Vec<u64> = found.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [20, 40, 60]);
    let rise = |line: &Value| {
        line["shuffled.square"].as_f64().unwrap() / line["probe.square"].as_f64().unwrap()
    };
    assert!(rise(found[2]) > 2.0, "{:?}", found[2]);
}
