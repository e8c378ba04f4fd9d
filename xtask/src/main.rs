//! Developer commands: `cargo xtask help` lists them.
//!
//! A thin orchestrator. It depends on no workspace crate and on no other one, so that it builds in
//! seconds; work that needs the product is done by the release trainer, which it spawns.
#![forbid(unsafe_code)]

mod bench;
mod cli;
mod doctor;
mod spawn;
mod test;
mod tidy;
mod trainer;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command> [options]

with the release trainer (its own options: cargo xtask <command> --help)
  train [RECIPE] [--set a.b=c]...     train by a recipe; without one, the bundled demo
  eval ...                            score a checkpoint on a manifest
  encode ...                          write features and hidden states of a model folder
  transcribe ...                      greedy transcription of sound files or a manifest
  data validate|describe FILE         check or summarise a manifest
  recipe ls|cp ...                    the shipped recipes

on the workspace
  bench [--peers] [ARGS]              criterion benchmarks; --peers times PyTorch beside ours
  test [--package NAME] [--stage NAME] [-- ARGS]
                                      fmt, clippy, tests, doc tests, doc, tidy; ARGS go to the
                                      test runner (a name filter, for one)
  tidy                                house rules only
  doctor                              what this machine has, and a fix for what it lacks
  help                                this text
";

/// Commands as typed; the first six are the trainer's.
const COMMANDS: &[&str] = &[
    "train",
    "eval",
    "encode",
    "transcribe",
    "data",
    "recipe",
    "bench",
    "test",
    "tidy",
    "doctor",
    "help",
];

/// What a command comes to: the status to end with, or the reason it could not run.
type Result<T = ExitCode> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", args),
    };
    match command {
        "train" | "eval" | "encode" | "transcribe" | "data" | "recipe" => {
            trainer::run(command, rest)
        }
        "bench" => bench::run(rest),
        "test" => test::run(rest),
        "tidy" => tidy::run(rest),
        "doctor" => doctor::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => Err(cli::unknown("xtask: no command", other, COMMANDS).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_help() {
        for command in COMMANDS {
            let heading = format!("\n  {command} ");
            assert!(USAGE.contains(&heading), "{command} is not in the help");
        }
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        let error = run(&["trian".into()]).unwrap_err().to_string();
        assert_eq!(error, "xtask: no command `trian` (hint: did you mean `train`)");
    }
}
