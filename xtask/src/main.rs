//! Developer commands: `cargo xtask help` lists them.
//!
//! A thin orchestrator. It depends on no workspace crate and on no other one, so that it builds in
//! seconds; work that needs the product is done by the release trainer, which it spawns.
//! A new command is a file with a `run`, and an entry in [`TRAINER`] or [`WORKSPACE`].
#![forbid(unsafe_code)]

mod bench;
mod bench_kernels;
mod bench_models;
mod cli;
mod doctor;
mod emulate;
mod gpu_check;
mod kernels;
mod packages;
mod peer_environment;
mod spawn;
mod test;
mod tidy;
mod trainer;
mod workspace;

use std::process::ExitCode;

/// A command as it is typed, listed and run.
struct Command {
    name: &'static str,
    /// Its arguments.
    usage: &'static str,
    /// What it does, in a line.
    about: &'static str,
    /// What `--help` adds; empty where there are no options.
    options: &'static str,
    run: fn(&[String]) -> Result,
}

/// Commands that the release trainer runs; it answers their `--help` itself.
const TRAINER: &[Command] = &[
    Command {
        name: "train",
        usage: "[RECIPE] [--set a.b=c]...",
        about: "train by a recipe; without one, the bundled demo",
        options: "",
        run: |args| trainer::run("train", args),
    },
    Command {
        name: "sweep",
        usage: "RECIPE [OPTIONS]",
        about: "a recipe under several objectives and seeds, and their table",
        options: "",
        run: |args| trainer::run("sweep", args),
    },
    Command {
        name: "eval",
        usage: "RUN",
        about: "score the model of a run folder again",
        options: "",
        run: |args| trainer::run("eval", args),
    },
    Command {
        name: "encode",
        usage: "...",
        about: "write features and hidden states of a model folder",
        options: "",
        run: |args| trainer::run("encode", args),
    },
    Command {
        name: "transcribe",
        usage: "--model DIR FILES...",
        about: "sound files or manifests to text or subtitles",
        options: "",
        run: |args| trainer::run("transcribe", args),
    },
    Command {
        name: "generate",
        usage: "--model DIR --prompt TEXT",
        about: "text continued, or answered, by a LLaMA folder",
        options: "",
        run: |args| trainer::run("generate", args),
    },
    Command {
        name: "data",
        usage: "import|validate|describe|tokenizer|align ...",
        about: "turn a corpus into a manifest; check, summarise or align one, train a tokenizer on it",
        options: "",
        run: |args| trainer::run("data", args),
    },
    Command {
        name: "inspect",
        usage: "plan|layers|probes --run RUN ...",
        about: "draw a transport plan or contrasts by layer; linear probes of a run",
        options: "",
        run: |args| trainer::run("inspect", args),
    },
    Command {
        name: "recipe",
        usage: "ls|cp ...",
        about: "list or copy the shipped recipes",
        options: "",
        run: |args| trainer::run("recipe", args),
    },
];

/// Commands on the workspace itself.
const WORKSPACE: &[Command] = &[
    Command {
        name: "bench",
        usage: "[FILTER] | --peers [ARGS]",
        about: "criterion benchmarks; --peers times PyTorch beside ours",
        options: bench::OPTIONS,
        run: bench::run,
    },
    Command {
        name: "bench-kernels",
        usage: "[--op NAME] [OPTIONS]",
        about: "alignment kernels, checked and timed; --peers times other libraries",
        options: bench_kernels::OPTIONS,
        run: bench_kernels::run,
    },
    Command {
        name: "bench-models",
        usage: "WHAT [--peers] [OPTIONS]",
        about: "Whisper and LLaMA at work: speed, errors; --peers runs other libraries too",
        options: bench_models::OPTIONS,
        run: bench_models::run,
    },
    Command {
        name: "gpu-check",
        usage: "[--minutes N] [OPTIONS]",
        about: "tests, times and counters of the kernels on this machine's GPU, recorded",
        options: gpu_check::CHECK_OPTIONS,
        run: gpu_check::run,
    },
    Command {
        name: "gpu-bundle",
        usage: "",
        about: "the same as a folder for a machine that has a driver and no toolchain",
        options: gpu_check::BUNDLE_OPTIONS,
        run: gpu_check::make,
    },
    Command {
        name: "kernels",
        usage: "check [OPTIONS]",
        about: "assemble the PTX for every target, hold it to its budget",
        options: kernels::OPTIONS,
        run: kernels::run,
    },
    Command {
        name: "test",
        usage: "[OPTIONS] [-- ARGS]",
        about: "fmt, clippy, tests, docs, kernels, emulated device tests, tidy; ARGS go to the runner",
        options: test::OPTIONS,
        run: test::run,
    },
    Command { name: "tidy", usage: "", about: "house rules only", options: "", run: tidy::run },
    Command {
        name: "doctor",
        usage: "",
        about: "what this machine has, and a fix for what it lacks",
        options: "",
        run: doctor::run,
    },
    Command { name: "help", usage: "", about: "this text", options: "", run: help },
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
    let Some((name, rest)) = args.split_first() else { return help(&[]) };
    let find = |group: &'static [Command]| group.iter().find(|command| command.name == name);
    if let Some(command) = find(TRAINER) {
        return (command.run)(rest);
    }
    if let Some(command) = find(WORKSPACE) {
        if cli::asks_for_help(rest) {
            print!("{}", page(command));
            return Ok(ExitCode::SUCCESS);
        }
        return (command.run)(rest);
    }
    if cli::asks_for_help(args) {
        return help(&[]);
    }
    let known: Vec<&str> = commands().map(|command| command.name).collect();
    Err(cli::unknown("xtask: no command", name, &known).into())
}

fn commands() -> impl Iterator<Item = &'static Command> {
    TRAINER.iter().chain(WORKSPACE)
}

/// Prints what there is; words after `help` are not looked at.
fn help(_args: &[String]) -> Result {
    println!("cargo xtask <command> [options]; options: cargo xtask <command> --help");
    for (heading, group) in [("with the release trainer", TRAINER), ("on the workspace", WORKSPACE)]
    {
        println!("\n{heading}");
        for command in group {
            let typed = format!("{} {}", command.name, command.usage);
            println!("  {typed:<36} {}", command.about);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer to `--help` of one command.
fn page(command: &Command) -> String {
    let typed = format!("cargo xtask {} {}", command.name, command.usage);
    let head = format!("{}\n\n  {}\n", typed.trim_end(), command.about);
    if command.options.is_empty() { head } else { format!("{head}\n{}", command.options) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_in_the_documentation_exists() {
        for file in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "assets/README.md"] {
            let text = std::fs::read_to_string(workspace::root().join(file)).unwrap();
            for mention in text.split("cargo xtask ").skip(1) {
                let end = mention.find(|c: char| !c.is_ascii_lowercase() && c != '-');
                let name = &mention[..end.unwrap_or(mention.len())];
                assert!(commands().any(|command| command.name == name), "{file}: `{name}`");
            }
        }
    }

    #[test]
    fn a_page_tells_options_where_there_are_some() {
        let page_of = |name| page(commands().find(|command| command.name == name).unwrap());
        assert_eq!(page_of("tidy"), "cargo xtask tidy\n\n  house rules only\n");
        assert!(page_of("test").ends_with(test::OPTIONS));
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        let error = run(&["trian".into()]).unwrap_err().to_string();
        assert_eq!(error, "xtask: no command `trian` (hint: did you mean `train`)");
    }
}
