//! `inspect`: pictures of what a run of the task `speech-llm` compares.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::on_threads;
use crate::systems::{Stage, inspect_layers, inspect_plan};

/// Pictures of a run.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum InspectCommand {
    /// The transport plan between the tokens of an utterance and its speech vectors.
    Plan(PlanArgs),
    /// The contrasts on the test set by hidden state.
    Layers(LayersArgs),
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

pub(super) fn run(command: &InspectCommand) -> anyhow::Result<()> {
    let path = match command {
        InspectCommand::Plan(args) => {
            let stage = args.share.map_or(Stage::Pretrained, Stage::Finetuned);
            on_threads(args.threads, || inspect_plan(&args.run, stage, &args.id, args.layer))?
        }
        InspectCommand::Layers(args) => on_threads(args.threads, || inspect_layers(&args.run))?,
    };
    Ok(writeln!(std::io::stdout(), "{}", path.display())?)
}
