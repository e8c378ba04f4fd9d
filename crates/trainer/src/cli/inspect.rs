//! `inspect`: pictures of what a run of the task `speech-llm` compares.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::on_threads;
use crate::systems::{Stage, inspect_layers, inspect_plan, inspect_probes};

/// Pictures of a run.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum InspectCommand {
    /// The transport plan between the tokens of an utterance and its speech vectors.
    Plan(PlanArgs),
    /// The contrasts on the test set by hidden state.
    Layers(LayersArgs),
    /// What linear probes tell of a recording from averaged states.
    Probes(ProbesArgs),
}

/// Arguments of `inspect plan`.
#[derive(Debug, Clone, Args)]
pub(super) struct PlanArgs {
    /// A run folder of the task speech-llm.
    #[arg(long)]
    run: PathBuf,
    /// An utterance of the run's manifests.
    #[arg(long)]
    id: String,
    /// Hidden state of the language model; 0 is the embedding.
    #[arg(long, default_value_t = 0)]
    layer: usize,
    /// Weights fine-tuned on this share of the data, in per cent; without it, the pretrained ones.
    #[arg(long, value_name = "PERCENT")]
    share: Option<f64>,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Arguments of `inspect layers`.
#[derive(Debug, Clone, Args)]
pub(super) struct LayersArgs {
    /// A run folder of the task speech-llm.
    #[arg(long)]
    run: PathBuf,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Arguments of `inspect probes`.
#[derive(Debug, Clone, Args)]
pub(super) struct ProbesArgs {
    /// A run folder of the task speech-llm.
    #[arg(long)]
    run: PathBuf,
    /// Manifest field to tell, such as emotion; may be given more than once.
    #[arg(long = "field", value_name = "FIELD", required = true)]
    fields: Vec<String>,
    /// Manifest that the probes are fitted on; may be given more than once.
    #[arg(long, value_name = "MANIFEST", required = true)]
    train: Vec<String>,
    /// Manifest that they are scored on; may be given more than once.
    #[arg(long, value_name = "MANIFEST", required = true)]
    test: Vec<String>,
    /// Weights fine-tuned on this share of the data, in per cent; without it, the pretrained ones.
    #[arg(long, value_name = "PERCENT")]
    share: Option<f64>,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn stage(share: Option<f64>) -> Stage {
    share.map_or(Stage::Pretrained, Stage::Finetuned)
}

pub(super) fn run(command: &InspectCommand) -> anyhow::Result<()> {
    let said = match command {
        InspectCommand::Plan(args) => on_threads(args.threads, || {
            let picture = inspect_plan(&args.run, stage(args.share), &args.id, args.layer)?;
            Ok(picture.display().to_string())
        })?,
        InspectCommand::Layers(args) => {
            on_threads(args.threads, || Ok(inspect_layers(&args.run)?.display().to_string()))?
        }
        InspectCommand::Probes(args) => on_threads(args.threads, || {
            let data = [&args.train[..], &args.test];
            let found = inspect_probes(&args.run, stage(args.share), &args.fields, data)?;
            Ok(serde_json::to_string_pretty(&found)?)
        })?,
    };
    Ok(writeln!(std::io::stdout(), "{said}")?)
}
