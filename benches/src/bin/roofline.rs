//! `roofline`: the GPU kernels on the interpreter, and what their counts allow on a card.
//!
//! ```text
//! roofline [--op NAME] [--shape NAME] [--gpu NAME] [--list]
//! ```
//!
//! `cargo xtask bench-kernels --device emu` runs it with the drop-in driver in place, and names the
//! file of counters in `PTX_EMU_COUNTERS`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use consonance_benches::device::cards::{CARDS, Card};
use consonance_benches::device::{Case, cases, read, table};
use gpu_runtime::{Device, Stream};

fn main() -> ExitCode {
    consonance_benches::program(run)
}

struct Options {
    cases: Vec<&'static Case>,
    card: &'static Card,
    list: bool,
}

fn run() -> anyhow::Result<()> {
    let options = parse(std::env::args().skip(1))?;
    if options.list {
        for case in &options.cases {
            println!("{}\n    {}", case.name(), case.reason);
        }
        return Ok(());
    }
    let device = Device::cuda(0)?;
    let name = &device.facts().name;
    ensure!(
        name.starts_with("Emulated"),
        "roofline: expected the interpreter, got {name} (hint: cargo xtask bench-kernels --device emu)"
    );
    let path: PathBuf =
        std::env::var_os("PTX_EMU_COUNTERS").context("PTX_EMU_COUNTERS names no file")?.into();
    let card = options.card;
    println!("estimates for {} from counted work, not measured: {}", card.name, card.source);
    let mut end = std::fs::metadata(&path).map_or(0, |file| file.len() as usize);
    for case in options.cases {
        let start = Instant::now();
        let stream = Stream::new(&device)?;
        let mut run = case.interpreted().prepare(&stream).with_context(|| case.name())?;
        run().with_context(|| case.name())?;
        let seconds = start.elapsed().as_secs_f64();
        let (mut counts, next) = read(&path, end)?;
        end = next;
        counts.iter_mut().for_each(|(kernel, counts)| *counts = counts.times(case.times(kernel)));
        let scaled = match case.fraction {
            Some(_) => format!(", scaled from {}", case.interpreted().extents()),
            None => String::new(),
        };
        println!("\n{}{scaled}; interpreted in {seconds:.2} s", case.name());
        println!("{}", table(&counts, card));
        for prediction in case.predicted {
            println!("predicted, {}: {:.1} us", prediction.what, prediction.seconds * 1e6);
        }
    }
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let (mut op, mut shape, mut card, mut list) = (None, None, &CARDS[0], false);
    while let Some(flag) = args.next() {
        let mut value =
            || args.next().with_context(|| format!("{flag}: expected a value, got none"));
        match flag.as_str() {
            "--op" => op = Some(value()?),
            "--shape" => shape = Some(value()?),
            "--gpu" => {
                let name = value()?;
                let names: Vec<_> = CARDS.iter().map(|card| card.name).collect();
                card = CARDS.iter().find(|card| card.name == name).with_context(|| {
                    format!("--gpu: no card `{name}` (hint: one of {})", names.join(", "))
                })?;
            }
            "--list" => list = true,
            _ => bail!("roofline: no option `{flag}` (hint: --op, --shape, --gpu, --list)"),
        }
    }
    let fits = |asked: &Option<String>, name: &str| asked.as_deref().is_none_or(|op| op == name);
    let cases: Vec<_> =
        cases().filter(|case| fits(&op, case.op) && fits(&shape, case.shape)).collect();
    ensure!(!cases.is_empty(), "roofline: no such case (hint: --list)");
    Ok(Options { cases, card, list })
}
