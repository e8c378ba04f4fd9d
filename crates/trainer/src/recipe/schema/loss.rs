//! `[loss]`: what is minimised.

use serde::{Deserialize, Serialize};

use super::choice::choice;

/// `[loss]`: what is minimised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Objective of `teach-whisper`.
    pub objective: Objective,
    /// Weight of the distillation loss next to the MLM loss, arXiv 2311.07014.
    pub gamma: f64,
    /// Share of non-special tokens that are masked, in (0, 1).
    pub mlm_probability: f64,
    /// Put a small MLP between the student's hidden states and the distillation loss.
    pub kd_head: bool,
    /// Cut the distillation loss off from the student: it trains its own heads alone, so that
    /// it can be measured on a student taught by MLM.
    pub kd_detach: bool,
    /// Count `[CLS]` and `[SEP]` among the tokens that are distilled.
    pub include_special: bool,
    /// Label smoothing of the cross-entropy of `asr`, in [0, 1).
    pub label_smoothing: f64,
    /// Weight of a CTC loss on the encoder of `asr`; 0 leaves it out.
    pub ctc_weight: f64,
    /// Steps at the start of `asr` in which CTC alone trains, so that a small corpus is not
    /// learnt from its text before the encoder hears anything.
    pub ctc_only_steps: u64,
    /// Contrastive distillation.
    pub crd: Crd,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            objective: Objective::NstGauss,
            gamma: 1.0,
            mlm_probability: 0.15,
            kd_head: false,
            kd_detach: false,
            include_special: false,
            label_smoothing: 0.0,
            ctc_weight: 0.0,
            ctc_only_steps: 0,
            crd: Crd::default(),
        }
    }
}

/// `[loss.crd]`: contrastive representation distillation, arXiv 1910.10699.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crd {
    /// Temperature of the scores.
    pub temperature: f64,
    /// Width of the shared space.
    pub dim: usize,
    /// Share of the old entry kept when the memory bank is updated, in [0, 1).
    pub momentum: f64,
    /// Negatives drawn from the memory bank for each anchor.
    pub negatives: usize,
}

impl Default for Crd {
    fn default() -> Self {
        Self { temperature: 0.07, dim: 128, momentum: 0.5, negatives: 4096 }
    }
}

choice! {
    /// Training objective of `teach-whisper`.
    Objective {
        /// Masked language modelling alone: the baseline.
        Mlm = "mlm",
        /// MLM + gamma * MMD between activations, Gaussian kernel.
        NstGauss = "nst_gauss",
        /// MLM + gamma * MMD between activations, kernel `(x y)^2`.
        NstPoly = "nst_poly",
        /// MLM + gamma * MMD between dimensions over all tokens of the batch.
        NstGram = "nst_gram",
        /// MLM + gamma * contrastive distillation with in-batch negatives.
        Crd = "crd",
        /// MLM + gamma * contrastive distillation with a memory bank.
        CrdBank = "crd_bank",
    }
}
