//! `[optim]` and `[schedule]`: how parameters move.

use serde::{Deserialize, Serialize};

use super::choice::choice;

/// `[optim]`: AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optim {
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the running means of the gradient and of its square.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay; biases and norms are exempt.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global L2 norm; 0 clips nothing.
    pub clip_norm: f64,
}

impl Default for Optim {
    fn default() -> Self {
        Self { lr: 2e-4, betas: [0.9, 0.98], eps: 1e-8, weight_decay: 0.01, clip_norm: 1.0 }
    }
}

/// `[schedule]`: learning rate over the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Steps of linear warm-up from 0 to `optim.lr`.
    pub warmup_steps: u64,
    /// Optimiser steps of the run.
    pub max_steps: u64,
    /// Learning rate at the end, as a share of `optim.lr`, in [0, 1].
    pub min_lr_ratio: f64,
    /// Length of the final decay of `wsd` and `tri-stage`, in steps.
    pub decay_steps: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Linear,
            warmup_steps: 100,
            max_steps: 1000,
            min_lr_ratio: 0.0,
            decay_steps: 0,
        }
    }
}

choice! {
    /// Shape of the learning rate over the steps; see [`crate::schedule`].
    ScheduleKind {
        /// Warm-up, then the peak.
        Constant = "constant",
        /// Warm-up, then a straight line down.
        Linear = "linear",
        /// Warm-up, then half a cosine down.
        Cosine = "cosine",
        /// Warm-up, stable at the peak, then a straight line down.
        Wsd = "wsd",
        /// Warm-up, hold, exponential decay.
        TriStage = "tri-stage",
        /// Warm-up, then `1 / sqrt(step)`.
        Noam = "noam",
    }
}
