//! `gpu-check`: the kernels on the GPU of this machine; `gpu-check --help` says how.

use std::process::ExitCode;

use anyhow::{Context, bail};
use consonance_benches::device::Selection;
use consonance_benches::device::check::{HELP, Options, run};
use gpu_runtime::{Device, Stream};

fn main() -> ExitCode {
    match check() {
        Ok(ended) => ended,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> anyhow::Result<ExitCode> {
    let mut args = std::env::args().skip(1).peekable();
    if args.peek().is_some_and(|word| word == "call") {
        call(args.skip(1))?;
        return Ok(ExitCode::SUCCESS);
    }
    let args: Vec<String> = args.collect();
    if args.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    run(&Options::parse(args.into_iter())?)
}

/// One call of the part of one case that the interpreter bears: for profilers.
fn call(mut args: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let (mut selection, mut variant) = (Selection::default(), None);
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--variant" => variant = args.next(),
            _ if selection.take(&flag, &mut args)? => {}
            _ => bail!("gpu-check call: no option `{flag}` (hint: --op, --shape, --variant)"),
        }
    }
    let cases = selection.cases()?;
    let fits = |name: &str| variant.as_deref().is_none_or(|variant| variant == name);
    let case = cases.iter().find(|case| fits(case.variant)).context("no such variant")?;
    let stream = Stream::new(&Device::cuda(0)?)?;
    let mut run = case.interpreted().prepare(&stream)?;
    run()?;
    stream.synchronize()?;
    Ok(())
}
