//! `roofline`: the GPU kernels on the interpreter, and what their counts allow on a card.
//!
//! ```text
//! roofline [--op NAME] [--shape NAME] [--gpu NAME] [--list] [--record]
//! ```
//!
//! `cargo xtask bench-kernels --device emu` runs it with the drop-in driver in place, and names the
//! file of counters in `PTX_EMU_COUNTERS`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use consonance_benches::device::cards::{CARDS, Card};
use consonance_benches::device::{CSV_HEADER, Selection, estimate, is_interpreted};
use consonance_benches::kernels::record;
use gpu_runtime::Device;

fn main() -> ExitCode {
    consonance_benches::program(run)
}

struct Options {
    selection: Selection,
    card: &'static Card,
    list: bool,
    record: bool,
}

fn run() -> anyhow::Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let cases = options.selection.cases().context("roofline")?;
    if options.list {
        cases.iter().for_each(|case| println!("{}\n    {}", case.name(), case.reason));
        return Ok(());
    }
    let device = Device::cuda(0)?;
    let name = &device.facts().name;
    ensure!(
        is_interpreted(name),
        "roofline: expected the interpreter, got {name} (hint: cargo xtask bench-kernels --device emu)"
    );
    let path: PathBuf =
        std::env::var_os("PTX_EMU_COUNTERS").context("PTX_EMU_COUNTERS names no file")?.into();
    let file =
        options.record.then(|| record::fresh(&record::folder().join("emulated"), "roofline"));
    if let Some(file) = &file {
        record::expect_new(file)?;
    }
    let card = options.card;
    println!("estimates for {} from counted work, not measured: {}", card.name, card.source);
    let mut end = std::fs::metadata(&path).map_or(0, |file| file.len() as usize);
    let mut rows = format!("{CSV_HEADER}\n");
    for case in cases {
        let (estimate, next) = estimate(case, &device, &path, end)?;
        end = next;
        rows += &estimate.csv(card);
        println!("\n{}", estimate.text(card));
    }
    if let Some(file) = file {
        std::fs::write(&file, rows).with_context(|| format!("{}: cannot write", file.display()))?;
        println!("wrote {}", file.display());
    }
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let selection = Selection::default();
    let mut options = Options { selection, card: &CARDS[0], list: false, record: false };
    while let Some(flag) = args.next() {
        if options.selection.take(&flag, &mut args)? {
            continue;
        }
        match flag.as_str() {
            "--gpu" => {
                let name = args.next().context("--gpu: expected a value, got none")?;
                let names: Vec<_> = CARDS.iter().map(|card| card.name).collect();
                options.card = CARDS.iter().find(|card| card.name == name).with_context(|| {
                    format!("--gpu: no card `{name}` (hint: one of {})", names.join(", "))
                })?;
            }
            "--list" => options.list = true,
            "--record" => options.record = true,
            _ => {
                bail!("roofline: no option `{flag}` (hint: --op, --shape, --gpu, --list, --record)")
            }
        }
    }
    Ok(options)
}
