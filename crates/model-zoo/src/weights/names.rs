//! One name for each tensor, whatever wrote the file.
//!
//! Rules map a file's names to the full form that this crate uses, and say
//! which of them a model may leave unread. Each model states its own.

/// How one model reads the names in a file.
#[derive(Clone, Copy)]
pub struct NameRules {
    /// The name used here for a name found in a file.
    pub canonical: fn(&str) -> String,
    /// Whether a tensor of this (canonical) name may stay unread without being reported.
    pub ignorable: fn(&str) -> bool,
}

impl NameRules {
    /// Names are taken as they are, and every tensor must be used.
    pub fn exact() -> Self {
        Self { canonical: str::to_owned, ignorable: |_| false }
    }
}
