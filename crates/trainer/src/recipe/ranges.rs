//! What the values of a resolved recipe must satisfy, key by key.
//!
//! Kinds and names are checked while the layers are laid; here are the bounds, and the few
//! conditions that tie two keys together.

use super::schema::{Recipe, ScheduleKind};

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
    let mut found = Vec::new();
    let mut require = |key: &'static str, holds: bool, got: String, expected: &str| {
        if !holds {
            found.push(Violation { key, message: format!("{key} is {got}, expected {expected}") });
        }
    };
    // Written as "x > 0", not "not x <= 0", so that NaN fails every check.
    let positive = |x: f64| x > 0.0 && x.is_finite();
    let not_negative = |x: f64| x >= 0.0 && x.is_finite();
    let share = |x: f64| (0.0..1.0).contains(&x);

    let r = recipe;
    require("model.dropout", share(r.model.dropout), r.model.dropout.to_string(), "0 <= p < 1");
    let max_s = r.data.max_duration_s;
    let min_s = r.data.min_duration_s;
    require("data.max_duration_s", not_negative(max_s), max_s.to_string(), "0 or more seconds");
    require("data.min_duration_s", not_negative(min_s), min_s.to_string(), "0 or more seconds");
    require(
        "data.min_duration_s",
        max_s == 0.0 || min_s.is_nan() || max_s.is_nan() || min_s < max_s,
        min_s.to_string(),
        &format!("less than data.max_duration_s = {max_s}"),
    );
    require("data.text_field", !r.data.text_field.is_empty(), "empty".into(), "a manifest field");

    let batch = &r.batch;
    let max_seconds = batch.max_seconds;
    require("batch.max_seconds", not_negative(max_seconds), max_seconds.to_string(), "0 or more");
    require(
        "batch.max_items",
        batch.max_items > 0 || batch.max_tokens > 0 || max_seconds > 0.0,
        "0".into(),
        "a cap here or in batch.max_seconds or batch.max_tokens",
    );
    require("batch.bucket_count", batch.bucket_count > 0, "0".into(), "1 or more");
    require("batch.accumulate", batch.accumulate > 0, "0".into(), "1 or more");

    let speed = &r.augment.speed;
    require("augment.speed", !speed.is_empty(), "empty".into(), "at least one factor");
    for &factor in speed {
        require(
            "augment.speed",
            (0.5..=2.0).contains(&factor),
            factor.to_string(),
            "factors from 0.5 to 2",
        );
    }

    let loss = &r.loss;
    require("loss.gamma", not_negative(loss.gamma), loss.gamma.to_string(), "0 or more");
    let p = loss.mlm_probability;
    require("loss.mlm_probability", p > 0.0 && p < 1.0, p.to_string(), "0 < p < 1");
    let smoothing = loss.label_smoothing;
    require("loss.label_smoothing", share(smoothing), smoothing.to_string(), "0 <= e < 1");
    require(
        "loss.ctc_weight",
        not_negative(loss.ctc_weight),
        loss.ctc_weight.to_string(),
        "0 or more",
    );
    let temperature = loss.crd.temperature;
    require("loss.crd.temperature", positive(temperature), temperature.to_string(), "> 0");
    require("loss.crd.dim", loss.crd.dim > 0, "0".into(), "1 or more");
    require(
        "loss.crd.momentum",
        share(loss.crd.momentum),
        loss.crd.momentum.to_string(),
        "0 <= m < 1",
    );

    let optim = &r.optim;
    require("optim.lr", positive(optim.lr), optim.lr.to_string(), "> 0");
    for beta in optim.betas {
        require("optim.betas", share(beta), beta.to_string(), "values with 0 <= beta < 1");
    }
    require("optim.eps", positive(optim.eps), optim.eps.to_string(), "> 0");
    let decay = optim.weight_decay;
    require("optim.weight_decay", not_negative(decay), decay.to_string(), "0 or more");
    require(
        "optim.clip_norm",
        not_negative(optim.clip_norm),
        optim.clip_norm.to_string(),
        "0 or more",
    );

    let schedule = &r.schedule;
    require("schedule.max_steps", schedule.max_steps > 0, "0".into(), "1 or more");
    require(
        "schedule.warmup_steps",
        schedule.warmup_steps <= schedule.max_steps,
        schedule.warmup_steps.to_string(),
        &format!("at most schedule.max_steps = {}", schedule.max_steps),
    );
    let ratio = schedule.min_lr_ratio;
    require("schedule.min_lr_ratio", (0.0..=1.0).contains(&ratio), ratio.to_string(), "0 to 1");
    if schedule.kind == ScheduleKind::TriStage {
        require(
            "schedule.min_lr_ratio",
            ratio > 0.0,
            ratio.to_string(),
            "> 0 for tri-stage, whose decay is exponential (hint: 0.05)",
        );
    }
    if matches!(schedule.kind, ScheduleKind::Wsd | ScheduleKind::TriStage) {
        let room = schedule.max_steps.saturating_sub(schedule.warmup_steps);
        require(
            "schedule.decay_steps",
            schedule.decay_steps > 0 && schedule.decay_steps <= room,
            schedule.decay_steps.to_string(),
            &format!("1 to {room}, the steps after the warm-up"),
        );
    }

    require("train.log_every", r.train.log_every > 0, "0".into(), "1 or more");
    require("train.max_bad_steps", r.train.max_bad_steps > 0, "0".into(), "1 or more");
    require(
        "train.guard_z",
        not_negative(r.train.guard_z),
        r.train.guard_z.to_string(),
        "0 or more",
    );
    require("checkpoint.keep_last", r.checkpoint.keep_last > 0, "0".into(), "1 or more");
    require("eval.batch_items", r.eval.batch_items > 0, "0".into(), "1 or more");
    require("eval.max_new_tokens", r.eval.max_new_tokens > 0, "0".into(), "1 or more");
    require("finetune.lr", positive(r.finetune.lr), r.finetune.lr.to_string(), "> 0");
    require("finetune.batch_items", r.finetune.batch_items > 0, "0".into(), "1 or more");
    found
}
