//! `roofline`: the GPU kernels on the interpreter, and what their counts allow on a card.
//!
//! ```text
//! roofline [--op NAME] [--shape NAME] [--gpu NAME] [--list] [--record]
//! ```
//!
//! `cargo xtask bench-kernels --device emu` runs it with the drop-in driver in place, and names the
//! file of counters in `PTX_EMU_COUNTERS`. A process plays one card: for a record of all of them it
//! starts itself again with `--rows FILE`, which writes the rows that a record has of another card.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail, ensure};
use consonance_benches::device::cards::{CARDS, Card};
use consonance_benches::device::{CSV_HEADER, Case, Selection, estimate, is_interpreted};
use consonance_benches::kernels::record;
use gpu_runtime::Device;

fn main() -> ExitCode {
    consonance_benches::program(run)
}

struct Options {
    selection: Selection,
    /// The first of all where it is not named; a record then holds the others too.
    card: Option<&'static Card>,
    list: bool,
    record: bool,
    rows: Option<PathBuf>,
}

fn run() -> anyhow::Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let mut cases = options.selection.cases().context("roofline")?;
    if options.list {
        cases.iter().for_each(|case| println!("{}\n    {}", case.name(), case.reason));
        return Ok(());
    }
    let card = options.card.unwrap_or(&CARDS[0]);
    let file = options
        .record
        .then(|| record::fresh(&record::folder().join("emulated"), "roofline", "csv"));
    if let Some(file) = &file {
        record::expect_new(file)?;
    }
    if options.rows.is_some() {
        cases.retain(|case| case.is_recorded_on(card));
    }
    let is_written = file.is_some() || options.rows.is_some();
    let mut rows = estimates(&cases, card, is_written)?;
    if let Some(file) = &options.rows {
        write(file, &rows)?;
    }
    if let Some(file) = file {
        let others = CARDS.iter().filter(|other| options.card.is_none() && *other != card);
        for other in others {
            rows += &rows_of(other)?;
        }
        write(&file, &format!("{CSV_HEADER}\n{rows}"))?;
        println!("wrote {}", file.display());
    }
    Ok(())
}

/// Counts the cases, says what they come to on a card, and returns the rows of a record.
fn estimates(
    cases: &[&'static Case],
    card: &'static Card,
    is_written: bool,
) -> anyhow::Result<String> {
    let device = Device::cuda(0)?;
    let name = &device.facts().name;
    ensure!(
        is_interpreted(name),
        "roofline: expected the interpreter, got {name} (hint: cargo xtask bench-kernels --device emu)"
    );
    ensure!(
        !is_written || Card::of_product(name) == Some(card),
        "roofline: expected the interpreter to play a card `{}`, got {name} (hint: PTX_EMU_DEVICE)",
        card.name
    );
    let counters: PathBuf =
        std::env::var_os("PTX_EMU_COUNTERS").context("PTX_EMU_COUNTERS names no file")?.into();
    println!("estimates for {} from counted work, not measured: {}", card.name, card.source);
    let mut end = fs::metadata(&counters).map_or(0, |file| file.len() as usize);
    let mut rows = String::new();
    for case in cases {
        let (estimate, next) = estimate(case, &device, &counters, end)?;
        end = next;
        rows += &estimate.csv(card);
        println!("\n{}", estimate.text(card));
    }
    Ok(rows)
}

/// The rows of another card, from a process that plays it and is asked for the same cases.
fn rows_of(card: &Card) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let rows = folder.path().join("rows.csv");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args().skip(1).filter(|arg| arg != "--record"));
    command.args(["--gpu", card.name, "--rows"]).arg(&rows);
    command.env("PTX_EMU_DEVICE", card.name);
    command.env("PTX_EMU_COUNTERS", folder.path().join("counters.jsonl"));
    println!();
    let status = command.status().context("roofline: cannot start itself")?;
    ensure!(status.success(), "roofline: no estimates for {} (hint: see above)", card.name);
    fs::read_to_string(&rows).with_context(|| format!("{}: cannot read", rows.display()))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("{}: cannot write", file.display()))
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let selection = Selection::default();
    let mut options = Options { selection, card: None, list: false, record: false, rows: None };
    while let Some(flag) = args.next() {
        if options.selection.take(&flag, &mut args)? {
            continue;
        }
        let mut value =
            || args.next().with_context(|| format!("{flag}: expected a value, got none"));
        match flag.as_str() {
            "--gpu" => {
                let name = value()?;
                let names: Vec<_> = CARDS.iter().map(|card| card.name).collect();
                let card = CARDS.iter().find(|card| card.name == name).with_context(|| {
                    format!("--gpu: no card `{name}` (hint: one of {})", names.join(", "))
                })?;
                options.card = Some(card);
            }
            "--list" => options.list = true,
            "--record" => options.record = true,
            "--rows" => options.rows = Some(value()?.into()),
            _ => {
                bail!("roofline: no option `{flag}` (hint: --op, --shape, --gpu, --list, --record)")
            }
        }
    }
    Ok(options)
}
