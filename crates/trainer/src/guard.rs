//! Refuses steps that would damage the model.
//!
//! A step is skipped when its loss or gradient norm is not finite, or lies more than `z` standard
//! deviations above its running mean. Mean and variance are exponentially weighted; a skipped
//! spike enters them capped at `mean + z sd`, so that a lasting change of level is accepted after
//! a while instead of being skipped for ever. After `max_bad_steps` skips in a row the run stops.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Weight of the newest value in the running mean and variance: a memory of about 100 steps.
const ALPHA: f64 = 0.02;
/// Steps seen before spikes are looked for; the first values say little about the spread.
const MIN_STEPS: u64 = 50;
/// The standard deviation is taken to be at least this share of the mean, so that a quantity that
/// hardly moves is not "far" from its mean after a harmless change.
const MIN_RELATIVE_SD: f64 = 0.02;

/// What to do with a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Apply the update.
    Apply,
    /// Leave the parameters as they are and go on.
    Skip(Reason),
    /// Too many skips in a row: end the run.
    Stop(Reason),
}

/// Why a step is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// A value is NaN or infinite.
    NotFinite {
        /// "loss" or "gradient norm".
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// A value is far above its running mean.
    Spike {
        /// "loss" or "gradient norm".
        what: &'static str,
        /// The value.
        value: f64,
        /// Standard deviations above the running mean.
        z: f64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { what, value } => write!(f, "{what} is {value}, expected a number"),
            Self::Spike { what, value, z } => {
                write!(f, "{what} is {value:.4}, {z:.1} standard deviations above its mean")
            }
        }
    }
}

/// Watches the losses and gradient norms of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    #[serde(with = "bits")]
    z_limit: f64,
    max_bad_steps: u32,
    bad_steps: u32,
    n_skipped: u64,
    loss: Running,
    grad_norm: Running,
}

impl Guard {
    /// A guard that skips beyond `z_limit` standard deviations (0 looks only for values that are
    /// not finite) and stops at `max_bad_steps` skips in a row (at least 1).
    pub fn new(z_limit: f64, max_bad_steps: u32) -> Self {
        Self {
            z_limit,
            max_bad_steps: max_bad_steps.max(1),
            bad_steps: 0,
            n_skipped: 0,
            loss: Running::default(),
            grad_norm: Running::default(),
        }
    }

    /// Changes the limits and keeps what was learnt, as a resumed run with other limits does.
    pub fn set_limits(&mut self, z_limit: f64, max_bad_steps: u32) {
        self.z_limit = z_limit;
        self.max_bad_steps = max_bad_steps.max(1);
    }

    /// Judges one step by its loss and its gradient norm before clipping.
    pub fn check(&mut self, loss: f64, grad_norm: f64) -> Verdict {
        let not_finite = [("loss", loss), ("gradient norm", grad_norm)]
            .into_iter()
            .find(|(_, value)| !value.is_finite())
            .map(|(what, value)| Reason::NotFinite { what, value });
        let reason = not_finite.or_else(|| {
            let loss_z = self.loss.observe(loss, self.z_limit);
            let norm_z = self.grad_norm.observe(grad_norm, self.z_limit);
            let spike = |what, value, z| Reason::Spike { what, value, z };
            loss_z
                .map(|z| spike("loss", loss, z))
                .or(norm_z.map(|z| spike("gradient norm", grad_norm, z)))
        });
        let Some(reason) = reason else {
            self.bad_steps = 0;
            return Verdict::Apply;
        };
        self.bad_steps += 1;
        self.n_skipped += 1;
        if self.bad_steps >= self.max_bad_steps {
            Verdict::Stop(reason)
        } else {
            Verdict::Skip(reason)
        }
    }

    /// Steps refused so far.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }
}

/// Exponentially weighted mean and variance.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Running {
    n: u64,
    #[serde(with = "bits")]
    mean: f64,
    #[serde(with = "bits")]
    variance: f64,
}

impl Running {
    /// Takes in a value; its z-score when that is over the limit.
    fn observe(&mut self, value: f64, z_limit: f64) -> Option<f64> {
        let sd = self.variance.sqrt().max(MIN_RELATIVE_SD * self.mean.abs());
        let z = (value - self.mean) / sd;
        // A mean and spread of 0 give 0/0 or x/0, which are no spikes either.
        let spike = z_limit > 0.0 && self.n >= MIN_STEPS && sd > 0.0 && z > z_limit;
        let value = if spike { self.mean + z_limit * sd } else { value };
        self.n += 1;
        // A plain mean at first, so that the start does not weigh for a hundred steps.
        let alpha = ALPHA.max(1.0 / self.n as f64);
        let delta = value - self.mean;
        self.mean += alpha * delta;
        self.variance = (1.0 - alpha) * (self.variance + alpha * delta * delta);
        spike.then_some(z)
    }
}

/// Floats as their bits: JSON readers may be off by one unit in the last place, and a resumed run
/// must decide as the unbroken one did.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard that has seen `n` ordinary steps.
    fn seasoned(n: u64) -> Guard {
        let mut guard = Guard::new(6.0, 3);
        for i in 0..n {
            let wave = (i as f64 * 0.7).sin();
            assert_eq!(guard.check(2.0 + 0.1 * wave, 1.0 + 0.2 * wave), Verdict::Apply, "{i}");
        }
        guard
    }

    #[test]
    fn values_that_are_not_finite_are_skipped_and_leave_no_trace() {
        for (loss, norm, what) in [
            (f64::NAN, 1.0, "loss"),
            (1.0, f64::INFINITY, "gradient norm"),
            (f64::NAN, f64::NAN, "loss"),
        ] {
            let mut guard = seasoned(100);
            let before = (guard.loss, guard.grad_norm);
            let verdict = guard.check(loss, norm);
            assert!(
                matches!(verdict, Verdict::Skip(Reason::NotFinite { what: got, .. }) if got == what),
                "{verdict:?}"
            );
            assert_eq!((guard.loss, guard.grad_norm), before);
            assert_eq!(guard.n_skipped(), 1);
        }
    }

    #[test]
    fn spikes_are_skipped_only_upwards_and_only_after_the_start() {
        let mut guard = seasoned(100);
        assert!(matches!(guard.check(9.0, 1.0), Verdict::Skip(Reason::Spike { what: "loss", .. })));
        let verdict = guard.check(2.0, 50.0);
        assert!(matches!(verdict, Verdict::Skip(Reason::Spike { what: "gradient norm", .. })));
        assert_eq!(seasoned(100).check(-9.0, 0.0), Verdict::Apply);
        assert_eq!(seasoned(MIN_STEPS - 1).check(9.0, 1.0), Verdict::Apply);
        let mut off = Guard::new(0.0, 3);
        for _ in 0..100 {
            off.check(1.0, 1.0);
        }
        assert_eq!(off.check(1e9, 1e9), Verdict::Apply);
    }

    #[test]
    fn the_run_stops_after_so_many_bad_steps_in_a_row() {
        let mut guard = seasoned(100);
        let nan = f64::NAN;
        assert!(matches!(guard.check(nan, 1.0), Verdict::Skip(_)));
        assert!(matches!(guard.check(nan, 1.0), Verdict::Skip(_)));
        assert_eq!(guard.check(2.0, 1.0), Verdict::Apply);
        assert!(matches!(guard.check(nan, 1.0), Verdict::Skip(_)));
        assert!(matches!(guard.check(nan, 1.0), Verdict::Skip(_)));
        assert!(matches!(guard.check(nan, 1.0), Verdict::Stop(_)));
        assert!(matches!(Guard::new(6.0, 1).check(nan, 1.0), Verdict::Stop(_)));
    }

    #[test]
    fn a_lasting_change_of_level_is_accepted_after_a_while() {
        let mut guard = seasoned(100);
        guard.max_bad_steps = 100;
        let accepted = (0..100).position(|_| guard.check(6.0, 1.0) == Verdict::Apply);
        assert!(accepted.is_some_and(|steps| steps > 2), "{accepted:?}");
    }

    #[test]
    fn running_mean_and_variance_follow_a_constant_exactly() {
        let mut running = Running::default();
        for _ in 0..200 {
            running.observe(3.0, 6.0);
        }
        assert_eq!((running.mean, running.variance), (3.0, 0.0));
    }

    #[test]
    fn state_survives_json_bit_for_bit() {
        let mut guard = seasoned(137);
        let text = serde_json::to_string(&guard).unwrap();
        let mut again: Guard = serde_json::from_str(&text).unwrap();
        assert_eq!(again, guard);
        assert_eq!(again.check(1.0 / 3.0, 0.1), guard.check(1.0 / 3.0, 0.1));
        assert_eq!(again.loss.mean.to_bits(), guard.loss.mean.to_bits());
    }

    #[test]
    fn reasons_say_what_was_expected() {
        let reason = Reason::NotFinite { what: "loss", value: f64::NAN };
        assert_eq!(reason.to_string(), "loss is NaN, expected a number");
        let reason = Reason::Spike { what: "gradient norm", value: 51.25, z: 12.34 };
        assert_eq!(
            reason.to_string(),
            "gradient norm is 51.2500, 12.3 standard deviations above its mean"
        );
    }
}
