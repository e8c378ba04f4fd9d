//! Learning rate at each step.
//!
//! Steps are counted from 0. The warm-up ends *at* step `warmup_steps - 1`, which already runs at
//! the peak, and the first step runs at `lr / warmup_steps`, so that no step is wasted at 0. With
//!
//! ```text
//! n = max_steps   w = warmup_steps   d = decay_steps   r = min_lr_ratio
//! p = (step - w) / (n - w)           0 at the end of the warm-up, 1 at the end of the run
//! ```
//!
//! the rate after the warm-up, as a share of the peak, is
//!
//! | kind | share |
//! |---|---|
//! | constant | 1 |
//! | linear | 1 + (r - 1) p |
//! | cosine | r + (1 - r) (1 + cos(pi p)) / 2 |
//! | wsd | 1 up to step n - d, then linearly to r |
//! | tri-stage | 1 up to step n - d, then r^q with q from 0 to 1 over d steps |
//! | noam | sqrt(w / (step + 1)), not below r |
//!
//! After `max_steps` the rate stays at its last value.
//!
//! # Source
//!
//! cosine: arXiv 1608.03983 without restarts; wsd: arXiv 2404.06395; tri-stage: arXiv 1904.08779
//! (its warm-up starts from 0 here, fairseq's from 1 %); noam: arXiv 1706.03762 equation 3, scaled
//! so that the peak is `lr` whatever the model width.

use std::f64::consts::PI;

use crate::recipe::ScheduleKind;

/// A learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrSchedule {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Peak learning rate.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Steps of the run.
    pub max_steps: u64,
    /// Rate at the end as a share of the peak, in [0, 1]; > 0 for tri-stage.
    pub min_lr_ratio: f64,
    /// Steps of the final decay of wsd and tri-stage.
    pub decay_steps: u64,
}

impl LrSchedule {
    /// The schedule of a recipe section, with peak `lr`.
    pub fn new(section: &crate::recipe::Schedule, lr: f64) -> Self {
        Self {
            kind: section.kind,
            lr,
            warmup_steps: section.warmup_steps,
            max_steps: section.max_steps,
            min_lr_ratio: section.min_lr_ratio,
            decay_steps: section.decay_steps,
        }
    }

    /// The learning rate of update number `step`, counted from 0.
    pub fn lr_at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.lr * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let step = step.min(self.max_steps);
        let ratio = self.min_lr_ratio;
        let progress = fraction(step, self.warmup_steps, self.max_steps);
        let decay = fraction(step, self.max_steps.saturating_sub(self.decay_steps), self.max_steps);
        self.lr
            * match self.kind {
                ScheduleKind::Constant => 1.0,
                ScheduleKind::Linear => 1.0 + (ratio - 1.0) * progress,
                ScheduleKind::Cosine => ratio + (1.0 - ratio) * 0.5 * (1.0 + (PI * progress).cos()),
                ScheduleKind::Wsd => 1.0 + (ratio - 1.0) * decay,
                ScheduleKind::TriStage => ratio.powf(decay),
                ScheduleKind::Noam => {
                    let peak_step = self.warmup_steps.max(1) as f64;
                    (peak_step / (step + 1) as f64).sqrt().min(1.0).max(ratio)
                }
            }
    }
}

/// How far `step` is from `start` to `end`: 0 before, 1 after.
fn fraction(step: u64, start: u64, end: u64) -> f64 {
    match end.saturating_sub(start) {
        0 => f64::from(u8::from(step >= end)),
        span => (step.saturating_sub(start) as f64 / span as f64).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind) -> LrSchedule {
        LrSchedule {
            kind,
            lr: 2.0,
            warmup_steps: 4,
            max_steps: 14,
            min_lr_ratio: 0.1,
            decay_steps: 5,
        }
    }

    const KINDS: [ScheduleKind; 6] = [
        ScheduleKind::Constant,
        ScheduleKind::Linear,
        ScheduleKind::Cosine,
        ScheduleKind::Wsd,
        ScheduleKind::TriStage,
        ScheduleKind::Noam,
    ];

    #[test]
    fn every_kind_warms_up_in_a_straight_line_to_the_peak() {
        for kind in KINDS {
            let rates: Vec<f64> = (0..5).map(|step| schedule(kind).lr_at(step)).collect();
            assert_eq!(rates[..4], [0.5, 1.0, 1.5, 2.0], "{kind}");
            assert!(rates[4] <= 2.0 && rates[4] > 1.7, "{kind}: {}", rates[4]);
        }
    }

    #[test]
    fn rates_are_the_closed_forms() {
        for (kind, step, share) in [
            (ScheduleKind::Constant, 13, 1.0),
            (ScheduleKind::Linear, 4, 1.0),
            (ScheduleKind::Linear, 9, 0.55),
            (ScheduleKind::Linear, 14, 0.1),
            (ScheduleKind::Cosine, 9, 0.55),
            (ScheduleKind::Cosine, 14, 0.1),
            (ScheduleKind::Wsd, 9, 1.0),
            (ScheduleKind::Wsd, 10, 1.0 - 0.9 / 5.0),
            (ScheduleKind::Wsd, 14, 0.1),
            (ScheduleKind::TriStage, 9, 1.0),
            (ScheduleKind::TriStage, 14, 0.1),
            (ScheduleKind::Noam, 3, 1.0),
            (ScheduleKind::Noam, 13, (4.0f64 / 14.0).sqrt()),
        ] {
            let got = schedule(kind).lr_at(step);
            assert!((got - 2.0 * share).abs() < 1e-12, "{kind} at {step}: {got}");
        }
    }

    #[test]
    fn tri_stage_decays_by_the_same_factor_each_step() {
        let s = schedule(ScheduleKind::TriStage);
        let factor = 0.1f64.powf(0.2);
        for step in 10..14 {
            assert!((s.lr_at(step + 1) / s.lr_at(step) - factor).abs() < 1e-12);
        }
    }

    #[test]
    fn no_rate_rises_after_the_warm_up_or_falls_below_the_floor() {
        for kind in KINDS {
            let s = schedule(kind);
            for step in 4..40 {
                assert!(s.lr_at(step) <= s.lr_at(step - 1), "{kind} at {step}");
                assert!(s.lr_at(step) >= 0.2 - 1e-12, "{kind} at {step}");
            }
            assert_eq!(s.lr_at(15), s.lr_at(10_000), "{kind}");
        }
    }

    #[test]
    fn runs_without_warm_up_or_of_warm_up_alone_are_finite() {
        for kind in KINDS {
            for (warmup_steps, max_steps) in [(0, 1), (0, 10), (10, 10)] {
                let s = LrSchedule { warmup_steps, max_steps, ..schedule(kind) };
                assert!((0..20).all(|step| s.lr_at(step).is_finite()), "{kind}");
                let peak = (0..20).map(|step| s.lr_at(step)).fold(0.0, f64::max);
                assert!(peak <= 2.0, "{kind}");
            }
        }
    }
}
