//! `[finetune]`: text-only fine-tuning with a task head.

use serde::{Deserialize, Serialize};

use super::choice::choice;

/// `[finetune]`: text-only fine-tuning with a task head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// Peak learning rate.
    pub lr: f64,
    /// Optimiser steps; 0 skips fine-tuning.
    pub steps: u64,
    /// Manifest field that holds the label.
    pub label_field: String,
    /// What the head predicts.
    pub kind: FinetuneKind,
    /// Label values in the order of the head's outputs; `[]` takes those seen, sorted.
    pub classes: Vec<String>,
    /// Utterances in a batch.
    pub batch_items: usize,
}

impl Default for Finetune {
    fn default() -> Self {
        Self {
            lr: 1e-4,
            steps: 0,
            label_field: String::new(),
            kind: FinetuneKind::Classification,
            classes: Vec::new(),
            batch_items: 16,
        }
    }
}

choice! {
    /// What a task head predicts.
    FinetuneKind {
        /// One of `finetune.classes`.
        Classification = "classification",
        /// One real number.
        Regression = "regression",
        /// Any subset of `finetune.classes`.
        MultiLabel = "multi-label",
    }
}
