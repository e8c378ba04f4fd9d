//! Hits, substitutions, deletions and insertions, and the rates that follow from them.

use std::ops::{Add, AddAssign};

/// Tokens by what became of them, for one utterance or a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCounts {
    /// Tokens that agree.
    pub hits: usize,
    /// Reference tokens replaced by another.
    pub substitutions: usize,
    /// Reference tokens that are missing from the hypothesis.
    pub deletions: usize,
    /// Hypothesis tokens that the reference lacks.
    pub insertions: usize,
}

impl ErrorCounts {
    /// Substitutions, deletions and insertions together: the edit distance.
    pub fn errors(&self) -> usize {
        self.substitutions + self.deletions + self.insertions
    }

    /// Tokens in the reference.
    pub fn reference_len(&self) -> usize {
        self.hits + self.substitutions + self.deletions
    }

    /// Tokens in the hypothesis.
    pub fn hypothesis_len(&self) -> usize {
        self.hits + self.substitutions + self.insertions
    }

    /// Error rate `(S + D + I) / (S + D + H)`; with no reference token, the insertions.
    ///
    /// It exceeds 1 when there are many insertions.
    pub fn rate(&self) -> f64 {
        match self.reference_len() {
            0 => self.insertions as f64,
            n => self.errors() as f64 / n as f64,
        }
    }

    /// Match error rate `(S + D + I) / (S + D + I + H)`, in 0..=1; 0 when both sides are empty.
    pub fn match_error_rate(&self) -> f64 {
        match self.errors() + self.hits {
            0 => 0.0,
            n => self.errors() as f64 / n as f64,
        }
    }

    /// Word information preserved `H / N_ref * H / N_hyp`: 1 when both sides are empty, 0 when
    /// one is.
    pub fn information_preserved(&self) -> f64 {
        match (self.reference_len(), self.hypothesis_len()) {
            (0, 0) => 1.0,
            (0, _) | (_, 0) => 0.0,
            (r, h) => (self.hits as f64 / r as f64) * (self.hits as f64 / h as f64),
        }
    }
}

impl AddAssign for ErrorCounts {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.substitutions += other.substitutions;
        self.deletions += other.deletions;
        self.insertions += other.insertions;
    }
}

impl Add for ErrorCounts {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}
