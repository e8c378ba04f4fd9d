//! What a stage has to say beside its rows.

/// Of one stage.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What must not be: each fails the check.
    pub(super) faults: Vec<String>,
    /// What was left out, and why.
    pub(super) left_out: Vec<String>,
    /// Sentences and tables for the page.
    pub(super) lines: Vec<String>,
}
