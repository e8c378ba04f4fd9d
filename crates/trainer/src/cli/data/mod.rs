//! `data import`, `data validate`, `data describe`, `data tokenizer` and `data align`.

mod align;
mod describe;
mod import;
mod tokenizer;
mod validate;

#[cfg(test)]
mod tests;

use std::io::Write;

use clap::Subcommand;

/// Makes, checks and describes manifests, and trains tokenizers on them.
#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// Turn a published corpus into a manifest.
    Import(import::ImportArgs),
    /// Check every line and every sound file's header; list all problems by line.
    Validate(validate::ValidateArgs),
    /// Show hours, lengths, casing, characters and fields.
    Describe(describe::DescribeArgs),
    /// Train a tokenizer on the texts.
    Tokenizer(tokenizer::TokenizerArgs),
    /// Add the time at which each word ends, as a CTC model hears it.
    Align(align::AlignArgs),
}

impl DataCommand {
    /// Runs the command and writes its page to `out`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, and when `validate` found errors.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Import(args) => import::run(args, out),
            Self::Validate(args) => validate::run(args, out),
            Self::Describe(args) => describe::run(args, out),
            Self::Tokenizer(args) => tokenizer::run(args, out),
            Self::Align(args) => align::run(args, out),
        }
    }
}
