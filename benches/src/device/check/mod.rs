//! `gpu-check`: everything that a real card is asked, in one command and within some minutes.
//!
//! | file | stage or part |
//! |---|---|
//! | `options` | the command line |
//! | `bundle` | where programs, scripts and the interpreter lie |
//! | `budget` | who may take how long |
//! | `machine` | what the card, the driver and the commit are |
//! | `findings` | what a stage has to say beside its rows |
//! | `programs` | children with a time limit |
//! | `assembled` | what the driver's assembler makes of every kernel |
//! | `device_tests` | the device tests: a skip is a failure |
//! | `times` | every case by events |
//! | `peers` | other libraries on the same shapes |
//! | `counters` | the interpreter's counts beside the profiler's |
//! | `record` | rows and files |
//! | `summary` | the page for people |
//!
//! Stages come in the order of their worth: what is left when time is up is named, not dropped in
//! silence. A rehearsal on the interpreter goes through all of it and marks every row.

mod assembled;
mod budget;
mod bundle;
mod counters;
mod device_tests;
mod findings;
mod machine;
mod options;
mod peers;
mod programs;
mod record;
mod summary;
mod times;

use std::process::ExitCode;

use anyhow::Context;
use gpu_runtime::Device;

pub use options::{HELP, Options};

use super::timing::expect;
use budget::Budget;
use bundle::Bundle;
use findings::Findings;
use machine::Machine;
use record::Record;

/// Runs the check; fails when a test failed or was skipped, or a stage could not do its work.
///
/// # Errors
///
/// When there is no device, or the record cannot be written.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::find(options.bundle.as_deref())?;
    let cases = options.selection.cases().context("gpu-check")?;
    if options.dry_run {
        print!("{}", plan(options, &bundle)?);
        return Ok(ExitCode::SUCCESS);
    }
    let budget = Budget::start(options.minutes);
    let device = Device::cuda(0)?;
    expect(options.clock(), &device.facts().name).context("gpu-check")?;
    let machine = Machine::look(&device, &bundle);
    let record = Record::open(options, &machine)?;
    println!("{}\nwriting to {}", machine.line(), record.stem().display());

    let mut rows = Vec::new();
    let mut stages = Vec::new();
    for stage in Stage::ALL.into_iter().filter(|stage| options.wants(stage.name())) {
        let seconds = budget.grant(stage.share());
        println!("== {}: {seconds:.0} s", stage.name());
        let until = budget.until(seconds);
        let findings = match stage {
            Stage::Kernels => assembled::run(&device, &record),
            Stage::Tests => device_tests::run(&bundle, options, until, &record),
            Stage::Times => times::run(&cases, &device, options, until, &mut rows),
            Stage::Peers => peers::run(&bundle, options, until, &mut rows),
            Stage::Counters => counters::run(&cases, &device, &bundle, options, until, &record),
        };
        // A stage that breaks leaves the others theirs.
        let findings = findings.unwrap_or_else(|error| Findings {
            faults: vec![format!("{}: {error:#}", stage.name())],
            ..Findings::default()
        });
        findings.faults.iter().for_each(|fault| println!("FAULT {fault}"));
        findings.left_out.iter().for_each(|what| println!("left out: {what}"));
        // What was measured so far survives whatever ends this program later.
        record.write_rows(&rows, &machine)?;
        stages.push((stage.name(), findings));
        record.write_summary(&summary::page(options, &machine, &rows, &stages))?;
    }
    let faults: usize = stages.iter().map(|(_, findings)| findings.faults.len()).sum();
    println!("{}", summary::page(options, &machine, &rows, &stages));
    println!("== {faults} faults, {:.0} s; {}_summary.md", budget.spent(), record.stem().display());
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The parts of a check, most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Kernels,
    Tests,
    Times,
    Peers,
    Counters,
}

impl Stage {
    const ALL: [Stage; 5] =
        [Stage::Kernels, Stage::Tests, Stage::Times, Stage::Peers, Stage::Counters];

    fn name(self) -> &'static str {
        match self {
            Self::Kernels => "kernels",
            Self::Tests => "tests",
            Self::Times => "times",
            Self::Peers => "peers",
            Self::Counters => "counters",
        }
    }

    /// Share of what is left that it may take: later ones inherit what it does not need.
    fn share(self) -> f64 {
        match self {
            Self::Kernels => 0.1,
            Self::Tests => 0.45,
            Self::Times => 0.5,
            Self::Peers => 0.65,
            Self::Counters => 1.0,
        }
    }
}

/// What would be done, without a device.
fn plan(options: &Options, bundle: &Bundle) -> anyhow::Result<String> {
    use std::fmt::Write;

    let mut text = format!("bundle {}\n", bundle.root().display());
    let mut left = options.minutes * 60.0;
    for stage in Stage::ALL.into_iter().filter(|stage| options.wants(stage.name())) {
        let seconds = left * stage.share();
        left -= seconds;
        let _ =
            writeln!(text, "{}: at most {seconds:.0} s and what those before leave", stage.name());
        let what = match stage {
            Stage::Kernels => vec!["each, by the driver's assembler".to_owned()],
            Stage::Tests => bundle.tests()?.iter().map(|test| test.name.clone()).collect(),
            Stage::Times => options.selection.cases()?.iter().map(|case| case.name()).collect(),
            Stage::Peers => {
                peers::LIBRARIES.map(|library| format!("{} {library}", options.python)).to_vec()
            }
            Stage::Counters => vec!["interpreter, and ncu where it is".to_owned()],
        };
        what.iter().for_each(|what| {
            let _ = writeln!(text, "  {what}");
        });
    }
    Ok(text)
}
