//! `models`: whole models at work, beside their peers.
//!
//! ```text
//! models transcribe|generate|wer|long [--data DIR] [--models NAME,..] [--beams N,..] [--clips N]
//!        [--turns N] [--threads N] [--only SIDE,..] [--texts DIR] [--python PATH] [--converted DIR]
//!        [--record] [--note TEXT]
//! ```
//!
//! `cargo xtask bench-models` runs it; `--help` there says what the options mean.

use std::process::ExitCode;

use consonance_benches::models::{
    Options, What, error_rates, generate, long_form, serve, transcribe,
};

fn main() -> ExitCode {
    consonance_benches::program(run)
}

fn run() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--serve") {
        return serve::serve(&args);
    }
    let options = Options::parse(args)?;
    match options.what {
        What::Transcribe => transcribe::run(&options),
        What::Generate => generate::run(&options),
        What::Wer => error_rates::run(&options),
        What::Long => long_form::run(&options),
    }
}
