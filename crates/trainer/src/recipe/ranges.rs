//! What the values of a resolved recipe must satisfy, key by key.
//!
//! Kinds and names are checked while the layers are laid; here are the bounds, and the few
//! conditions that tie two keys together.

use std::fmt::Display;

use super::schema::{Recipe, ScheduleKind, Task};
use super::{EncoderLayer, PretrainObjective, SpokenTask, language};

/// One broken condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The full key at fault.
    pub key: &'static str,
    /// `KEY is G, expected E (hint: ...)`.
    pub message: String,
}

/// Every broken condition, in the order of the schema.
pub fn violations(recipe: &Recipe) -> Vec<Violation> {
    let mut checks = Checks::default();
    check_data(recipe, &mut checks);
    check_loss(recipe, &mut checks);
    check_optim(recipe, &mut checks);
    check_schedule(recipe, &mut checks);
    check_loop(recipe, &mut checks);
    check_lora(recipe, &mut checks);
    check_speech_llm(recipe, &mut checks);
    checks.broken
}

/// Collects the conditions that do not hold. They are written as "x > 0", never as "not x <= 0",
/// so that NaN breaks every one.
#[derive(Default)]
struct Checks {
    broken: Vec<Violation>,
}

impl Checks {
    fn require(&mut self, key: &'static str, holds: bool, got: impl Display, expected: &str) {
        if !holds {
            let message = format!("{key} is {got}, expected {expected}");
            self.broken.push(Violation { key, message });
        }
    }

    fn positive(&mut self, key: &'static str, x: f64) {
        self.require(key, x > 0.0 && x.is_finite(), x, "> 0");
    }

    fn not_negative(&mut self, key: &'static str, x: f64) {
        self.require(key, x >= 0.0 && x.is_finite(), x, "0 or more");
    }

    /// In [0, 1).
    fn below_one(&mut self, key: &'static str, x: f64) {
        self.require(key, (0.0..1.0).contains(&x), x, "0 or more and less than 1");
    }

    fn at_least_one(&mut self, key: &'static str, n: impl Into<u64> + Copy) {
        self.require(key, n.into() >= 1, n.into(), "1 or more");
    }
}

fn check_data(recipe: &Recipe, checks: &mut Checks) {
    checks.below_one("model.dropout", recipe.model.dropout);
    let data = &recipe.data;
    let (min, max) = (data.min_duration_s, data.max_duration_s);
    checks.not_negative("data.max_duration_s", max);
    checks.not_negative("data.min_duration_s", min);
    if min >= max && max > 0.0 {
        let expected = format!("less than data.max_duration_s = {max}");
        checks.require("data.min_duration_s", false, min, &expected);
    }
    checks.require("data.text_field", !data.text_field.is_empty(), "empty", "a manifest field");

    let (n_weights, n_manifests) = (data.weights.len(), data.train.len());
    checks.require(
        "data.weights",
        n_weights == 0 || n_weights == n_manifests,
        format!("{n_weights} numbers"),
        &format!("{n_manifests}, one for each manifest of data.train, or none"),
    );
    for &weight in &data.weights {
        checks.positive("data.weights", weight);
    }

    let batch = &recipe.batch;
    checks.not_negative("batch.max_seconds", batch.max_seconds);
    checks.require(
        "batch.max_items",
        batch.max_items > 0 || batch.max_tokens > 0 || batch.max_seconds > 0.0,
        0,
        "a cap here or in batch.max_seconds or batch.max_tokens",
    );
    checks.at_least_one("batch.bucket_count", batch.bucket_count as u64);
    checks.at_least_one("batch.accumulate", batch.accumulate as u64);

    let speed = &recipe.augment.speed;
    checks.require("augment.speed", !speed.is_empty(), "empty", "at least one factor");
    for &factor in speed {
        let holds = (0.5..=2.0).contains(&factor);
        checks.require("augment.speed", holds, factor, "factors from 0.5 to 2");
    }
    let warp = recipe.augment.vocal_tract;
    checks.require("augment.vocal_tract", (0.0..=0.5).contains(&warp), warp, "from 0 to 0.5");
    let splice = recipe.augment.splice;
    checks.require("augment.splice", (0.0..=1.0).contains(&splice), splice, "from 0 to 1");
    checks.below_one("augment.token_noise", recipe.augment.token_noise);
}

fn check_loss(recipe: &Recipe, checks: &mut Checks) {
    let loss = &recipe.loss;
    checks.not_negative("loss.gamma", loss.gamma);
    let p = loss.mlm_probability;
    checks.require("loss.mlm_probability", p > 0.0 && p < 1.0, p, "more than 0 and less than 1");
    checks.below_one("loss.label_smoothing", loss.label_smoothing);
    checks.not_negative("loss.ctc_weight", loss.ctc_weight);
    checks.require(
        "loss.ctc_only_steps",
        loss.ctc_only_steps == 0 || loss.ctc_weight > 0.0,
        loss.ctc_only_steps,
        "0 where loss.ctc_weight is 0",
    );
    checks.positive("loss.crd.temperature", loss.crd.temperature);
    checks.at_least_one("loss.crd.dim", loss.crd.dim as u64);
    checks.at_least_one("loss.crd.negatives", loss.crd.negatives as u64);
    checks.below_one("loss.crd.momentum", loss.crd.momentum);
}

fn check_optim(recipe: &Recipe, checks: &mut Checks) {
    let optim = &recipe.optim;
    checks.positive("optim.lr", optim.lr);
    for beta in optim.betas {
        checks.below_one("optim.betas", beta);
    }
    checks.positive("optim.eps", optim.eps);
    checks.not_negative("optim.weight_decay", optim.weight_decay);
    checks.not_negative("optim.clip_norm", optim.clip_norm);
}

fn check_schedule(recipe: &Recipe, checks: &mut Checks) {
    let schedule = &recipe.schedule;
    checks.at_least_one("schedule.max_steps", schedule.max_steps);
    checks.require(
        "schedule.warmup_steps",
        schedule.warmup_steps <= schedule.max_steps,
        schedule.warmup_steps,
        &format!("at most schedule.max_steps = {}", schedule.max_steps),
    );
    let ratio = schedule.min_lr_ratio;
    checks.require("schedule.min_lr_ratio", (0.0..=1.0).contains(&ratio), ratio, "0 to 1");
    if schedule.kind == ScheduleKind::TriStage {
        let expected = "> 0 for tri-stage, whose decay is exponential (hint: 0.05)";
        checks.require("schedule.min_lr_ratio", ratio > 0.0, ratio, expected);
    }
    if matches!(schedule.kind, ScheduleKind::Wsd | ScheduleKind::TriStage) {
        let room = schedule.max_steps.saturating_sub(schedule.warmup_steps);
        checks.require(
            "schedule.decay_steps",
            (1..=room).contains(&schedule.decay_steps),
            schedule.decay_steps,
            &format!("1 to {room}, the steps after the warm-up"),
        );
    }
}

fn check_loop(recipe: &Recipe, checks: &mut Checks) {
    checks.at_least_one("train.log_every", recipe.train.log_every);
    checks.at_least_one("train.max_bad_steps", recipe.train.max_bad_steps);
    checks.not_negative("train.guard_z", recipe.train.guard_z);
    checks.at_least_one("checkpoint.keep_last", recipe.checkpoint.keep_last as u64);
    checks.at_least_one("eval.batch_items", recipe.eval.batch_items as u64);
    checks.at_least_one("eval.max_new_tokens", recipe.eval.max_new_tokens as u64);
    checks.positive("finetune.lr", recipe.finetune.lr);
    checks.at_least_one("finetune.batch_items", recipe.finetune.batch_items as u64);
    checks.require(
        "lm.templates",
        recipe.task != Task::Lm || !recipe.lm.templates.is_empty(),
        "[]",
        "at least one template for the task lm (hint: [\"{text}\"])",
    );
}

fn check_lora(recipe: &Recipe, checks: &mut Checks) {
    let lora = &recipe.lora;
    let is_on = lora.r > 0;
    checks.require(
        "lora.r",
        !is_on
            || recipe.task == Task::SpeechLlm
            || (recipe.task == Task::Lm && !recipe.model.dir.is_empty()),
        lora.r,
        "0 but for speech-llm, and for lm with a model.dir, beside whose weights an adapter is trained",
    );
    checks.require(
        "lora.lora_alpha",
        lora.lora_alpha.is_finite(),
        lora.lora_alpha,
        "a finite number",
    );
    checks.below_one("lora.lora_dropout", lora.lora_dropout);
    checks.require(
        "lora.target_modules",
        !is_on || !lora.target_modules.is_empty(),
        "[]",
        "names of linear layers (hint: [\"q_proj\", \"v_proj\"])",
    );
    checks.require(
        "output.merge",
        !recipe.output.merge || is_on,
        true,
        "false where lora.r is 0: there is no adapter to merge",
    );
}

fn check_speech_llm(recipe: &Recipe, checks: &mut Checks) {
    let (pretrain, mixed, instruct) = (&recipe.pretrain, &recipe.mixed, &recipe.instruct);
    let objective = pretrain.objective.parse::<PretrainObjective>();
    if let Err(error) = &objective {
        let message = format!("pretrain.objective: {error}");
        checks.broken.push(Violation { key: "pretrain.objective", message });
    }
    for objective in &recipe.sweep.objectives {
        if let Err(error) = objective.parse::<PretrainObjective>() {
            let message = format!("sweep.objectives: {error}");
            checks.broken.push(Violation { key: "sweep.objectives", message });
        }
    }
    if let Err(error) = EncoderLayer::parse(&recipe.encoder.layer) {
        let message = format!("encoder.layer: {error}");
        checks.broken.push(Violation { key: "encoder.layer", message });
    }
    checks.require("pretrain.layers", !pretrain.layers.is_empty(), "[]", "at least one index");
    checks.positive("pretrain.temperature", pretrain.temperature);
    checks.positive("pretrain.blur", pretrain.blur);
    checks.require(
        "pretrain.cached_items",
        pretrain.cached_items == 0 || !objective.is_ok_and(|objective| objective.mixed),
        pretrain.cached_items,
        "0 for mixed sequences, which are made at once",
    );
    checks.below_one("projector.dropout", recipe.projector.dropout);
    checks.at_least_one("llm.max_length", recipe.llm.max_length as u64);
    for (key, [least, most]) in
        [("mixed.speech_words", mixed.speech_words), ("mixed.text_words", mixed.text_words)]
    {
        let got = format!("[{least}, {most}]");
        checks.require(key, 1 <= least && least <= most, got, "fewest and most, from 1 on");
    }
    for task in &instruct.tasks {
        if let Err(error) = task.parse::<SpokenTask>() {
            let message = format!("instruct.tasks: {error}");
            checks.broken.push(Violation { key: "instruct.tasks", message });
        }
    }
    if let Err(error) = language(&instruct.source) {
        let message = format!("instruct.source: {error}");
        checks.broken.push(Violation { key: "instruct.source", message });
    }
    for &share in &instruct.fractions {
        let holds = share > 0.0 && share <= 1.0;
        checks.require("instruct.fractions", holds, share, "more than 0 and at most 1");
    }
    checks.positive("instruct.lr", instruct.lr);
    checks.at_least_one("instruct.batch_items", instruct.batch_items as u64);
    checks.require(
        "instruct.warmup_steps",
        instruct.warmup_steps <= instruct.steps,
        instruct.warmup_steps,
        &format!("at most instruct.steps = {}", instruct.steps),
    );
    for (key, prompts) in [
        ("instruct.asr_prompts", &instruct.asr_prompts),
        ("instruct.st_prompts", &instruct.st_prompts),
        ("instruct.sqa_prompts", &instruct.sqa_prompts),
    ] {
        checks.require(key, !prompts.is_empty(), "[]", "at least one prompt");
    }
    for (key, [low, high]) in [
        ("instruct.wer_bounds", instruct.wer_bounds),
        ("instruct.chrf_bounds", instruct.chrf_bounds),
        ("instruct.f1_bounds", instruct.f1_bounds),
    ] {
        let got = format!("[{low}, {high}]");
        checks.require(key, low != high, got, "two different scores");
    }
}
