//! `data validate`: every bad line, before a run stumbles over the first one.

use std::io::Write;
use std::path::Path;

use clap::Args;

use crate::manifest::{Header, ValidationOptions, validate};

/// Arguments of `data validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// Manifest; `file.jsonl#split=train` checks the lines of one split
    pub manifest: String,
    /// Problems listed; further ones are counted
    #[arg(long, default_value_t = ValidationOptions::default().max_errors)]
    pub max_errors: usize,
    /// Warn of utterances that last longer, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub max_duration: Option<f64>,
}

/// Runs `data validate`.
pub(super) fn run(args: &ValidateArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let options = ValidationOptions {
        max_errors: args.max_errors,
        max_duration_s: args.max_duration,
        ..Default::default()
    };
    let header = |path: &Path| match audio_frontend::info(path) {
        Ok(info) => Ok(Header { duration_s: info.duration_s, sample_rate: info.sample_rate }),
        Err(error) => Err(error.to_string()),
    };
    let found = validate(&args.manifest, options, &header)?;
    for problem in &found.errors {
        writeln!(out, "error   {}", problem.message)?;
    }
    let more = found.n_errors - found.errors.len();
    if more > 0 {
        writeln!(out, "error   and {more} more (hint: --max-errors {})", found.n_errors)?;
    }
    for problem in found.warnings.iter().take(args.max_errors) {
        writeln!(out, "warning {}", problem.message)?;
    }
    let more = found.warnings.len().saturating_sub(args.max_errors);
    if more > 0 {
        writeln!(out, "warning and {more} more")?;
    }
    writeln!(
        out,
        "{} lines, {} sound files, {} errors, {} warnings",
        found.n_lines,
        found.n_files,
        found.n_errors,
        found.warnings.len()
    )?;
    anyhow::ensure!(found.is_ok(), "{}: {} errors, expected none", args.manifest, found.n_errors);
    Ok(())
}
