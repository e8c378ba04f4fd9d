//! The command line of the `trainer` program.

mod audio_text;
mod data;
mod encode;
mod eval;
mod generate;
mod inspect;
mod recipe;
mod sweep;
mod train;
mod transcribe;
mod weights;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit status of a run that the user stopped and can resume.
const STOPPED: u8 = 130;

/// Trains and evaluates models that bring speech and text into agreement.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train by a recipe; without one, the bundled demonstration.
    Train(train::TrainArgs),
    /// Run a recipe under the objectives and seeds of its `[sweep]`, and compare them.
    Sweep(sweep::SweepArgs),
    /// Score the models of a run folder again.
    Eval(eval::EvalArgs),
    /// Write features and hidden states of any model folder.
    Encode(encode::EncodeArgs),
    /// Continue text with a LLaMA folder.
    Generate(Box<generate::GenerateArgs>),
    /// Transcribe sound files or a manifest.
    Transcribe(Box<transcribe::TranscribeArgs>),
    /// Import, check, describe, align or tokenise manifests.
    #[command(subcommand)]
    Data(Box<data::DataCommand>),
    /// Draw what a run of the task speech-llm compares.
    #[command(subcommand)]
    Inspect(inspect::InspectCommand),
    /// List or copy shipped recipes.
    #[command(subcommand)]
    Recipe(recipe::RecipeCommand),
}

/// Runs the program; prints an error's whole chain.
pub fn main() -> ExitCode {
    tensor_core::keep_freed_memory();
    let result = match Cli::parse().command {
        Command::Train(args) => train::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Eval(args) => eval::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Encode(args) => encode::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Generate(args) => generate::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Transcribe(args) => transcribe::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Data(args) => args.run(&mut std::io::stdout()).map(|()| ExitCode::SUCCESS),
        Command::Inspect(args) => inspect::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Recipe(args) => args.run(&mut std::io::stdout()).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", chain(&error));
        ExitCode::FAILURE
    })
}

/// The error and its causes in one line; a cause that was already said is not said again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Runs `work` on a pool of `threads` threads; 0 takes all cores.
fn on_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error =
            anyhow::anyhow!("disk full").context("cannot write: disk full").context("x.json");
        assert_eq!(chain(&error), "x.json: cannot write: disk full");
    }
}
