//! Computes a loss and its gradients for arrays in a safetensors file.
//!
//! ```text
//! cargo run --release -p align-kernels --example divergence -- \
//!     --loss sinkhorn --input IN.safetensors --output OUT.safetensors --mode geomloss --blur 0.05 --debias
//! ```
//!
//! It exists so that anyone can check this crate on data of their own, from any language that writes
//! safetensors. `--help` lists the options, and which arrays go in and come out.

mod args;
mod compute;
mod crd;
mod input;
mod options;
mod output;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use args::Args;
use input::Input;

fn main() -> ExitCode {
    match run(std::env::args_os()) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => match error.downcast_ref::<clap::Error>() {
            // A request for help is an error to clap, and the only one that is a success.
            Some(usage) => {
                let printed = usage.print().is_ok();
                ExitCode::from(u8::from(usage.use_stderr() || !printed))
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// The program: arguments in, a file written, and a line about it.
fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<String> {
    let args = Args::read(arguments)?;
    let (from, to) = (args.input.display(), args.output.display());
    if let (Ok(input), Ok(output)) = (fs::canonicalize(&args.input), fs::canonicalize(&args.output))
        && input == output
    {
        bail!("--output: {to} is the input, expected another file");
    }
    let bytes = fs::read(&args.input)
        .with_context(|| format!("--input: cannot read {from} (hint: is the path right?)"))?;
    let input = Input::new(&args.input, &bytes)?;
    let found = compute::compute(&args, &input)?;
    let summary = format!("{}: {}; wrote {to}", args.loss, found.summary());
    found.write(&args.output)?;
    Ok(summary)
}
