//! `eval`: score the models of a run folder again, on its own test set or another.

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;

use super::on_threads;
use crate::recipe::Recipe;
use crate::systems;

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub(super) struct EvalArgs {
    /// A run folder, as `train` writes it.
    run: PathBuf,
    /// Manifests to score on instead of the recipe's `data.test`.
    #[arg(long = "data", value_name = "MANIFEST")]
    data: Vec<String>,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(super) fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let mut recipe = Recipe::of_run(&args.run)?;
    if !args.data.is_empty() {
        recipe.data.test = args.data.clone();
    }
    ensure!(!recipe.data.test.is_empty(), "recipe: data.test is empty (hint: --data MANIFEST)");
    let scores = on_threads(args.threads, || systems::evaluate(&args.run, &recipe))?;
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&scores)?)?)
}
