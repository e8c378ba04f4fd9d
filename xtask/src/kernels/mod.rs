//! `kernels check`: every PTX file is assembled for every target, with warnings as errors, and
//! takes no more registers, shared and local memory than `kernels/budget.toml` grants it.
//!
//! Needs no GPU and no driver. It says nothing about answers or addresses: the assembler checks
//! syntax and types, not alignment, races or barriers.

mod assemble;
mod assembler;
mod budget;
mod fault;
mod inspect;
mod listing;
pub mod source;
mod table;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use self::assembler::Lack;
use self::budget::{Budget, KEYS, Limits};
use self::inspect::{Inspection, Kernels, Report};
use self::source::Sources;
use crate::{Result, cli, workspace};

const FLAGS: &[&str] = &["--list", "--ptxas", "--write-budget", "--help"];

/// What `--help` says.
pub const OPTIONS: &str = "\
check assembles kernels/*/*.ptx for every target and holds registers, shared and local memory to
kernels/budget.toml. The assembler is a pinned package: the first time, pip of python3 (or of the
interpreter that PYTHON names) downloads it into target/cuda-tools/. The objects stay in
target/cuda-tools/objects/ for a disassembler.

options
  --list           name the kernels, their targets and budgets; assemble nothing
  --ptxas PATH     use this assembler; another release may need other registers
  --write-budget   rewrite the budget from what was measured; a spill is an error all the same
";

/// What was asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Options {
    /// The assembler to use; the pinned one when `None`.
    pub ptxas: Option<PathBuf>,
    /// Whether the budget is rewritten from what was measured.
    pub write_budget: bool,
    /// Whether to list only.
    pub list: bool,
}

/// How a check ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every kernel keeps its budget.
    Passed,
    /// Some kernel does not; what is wrong was printed.
    Failed,
    /// Nothing was checked, since this machine cannot get the assembler, and why.
    NoAssembler(String),
}

/// Runs the command.
pub fn run(args: &[String]) -> Result {
    let options = parse(args)?;
    match check(&workspace::root(), &options)? {
        Outcome::Passed => Ok(ExitCode::SUCCESS),
        Outcome::Failed => Ok(ExitCode::FAILURE),
        Outcome::NoAssembler(reason) => Err(reason.into()),
    }
}

fn parse(args: &[String]) -> std::result::Result<Options, String> {
    let Some((verb, rest)) = args.split_first() else {
        return Err("kernels: expected `check` (hint: cargo xtask kernels check)".into());
    };
    if verb != "check" {
        return Err(cli::unknown("kernels: no verb", verb, &["check"]));
    }
    let mut options = Options::default();
    let mut rest = rest.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--list" => options.list = true,
            "--write-budget" => options.write_budget = true,
            "--ptxas" => match rest.next() {
                Some(path) => options.ptxas = Some(path.into()),
                None => return Err("kernels check: `--ptxas` needs a path".into()),
            },
            word => return Err(cli::unknown("kernels check: no option", word, FLAGS)),
        }
    }
    if options.list && options.write_budget {
        return Err("kernels check: --list measures nothing, so --write-budget cannot go with it \
                    (hint: leave --list out)"
            .into());
    }
    Ok(options)
}

/// Checks the kernels below `root` and prints what was found.
pub fn check(root: &Path, options: &Options) -> Result<Outcome> {
    let start = Instant::now();
    let sources = Sources::read(root)?;
    for folder in &sources.empty {
        println!("{folder}: no .ptx yet");
    }
    let budget = read_budget(root)?;
    let (files, unfit) = inspect::plan(&sources);
    if options.list {
        print!("{}", listed(&files, &budget));
        return Ok(outcome(&unfit));
    }
    let mut report = Report::default();
    let mut version = String::new();
    let objects = workspace::target_dir(root).join("cuda-tools").join("objects");
    if files.is_empty() {
        println!("kernels: nothing to assemble");
    } else {
        let found = match &options.ptxas {
            Some(path) => assembler::given(path),
            None => assembler::pinned(root),
        };
        let assembler = match found {
            Ok(assembler) => assembler,
            Err(Lack::Missing(reason)) => return Ok(Outcome::NoAssembler(reason)),
            Err(Lack::Wrong(reason)) => return Err(reason.into()),
        };
        if assembler::pinned_version(root).is_ok_and(|pinned| pinned != assembler.version) {
            println!(
                "note: the budget is for another release than this ptxas {}",
                assembler.version
            );
        }
        fs::create_dir_all(&objects).map_err(|error| format!("{}: {error}", objects.display()))?;
        let inspection = Inspection {
            root,
            objects: &objects,
            assembler: &assembler,
            budget: &budget,
            rewriting: options.write_budget,
        };
        report = inspection.run(&files)?;
        version = format!(" of ptxas {}", assembler.version);
    }
    report.faults.splice(..0, unfit);
    let mut granted = budget;
    if options.write_budget && report.faults.is_empty() {
        granted = write_budget(root, &granted, &report)?;
    }
    show(&report, &granted);
    if options.write_budget && !report.faults.is_empty() {
        println!("{}: not written, since there are faults", budget::FILE);
    }
    println!(
        "kernels: {} files, {} runs{version}, {} faults, {:.2} s",
        sources.files.len(),
        report.runs,
        report.faults.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(outcome(&report.faults))
}

fn outcome(faults: &[fault::Fault]) -> Outcome {
    if faults.is_empty() { Outcome::Passed } else { Outcome::Failed }
}

/// The budget; a file that is not there grants nothing.
fn read_budget(root: &Path) -> Result<Budget> {
    match fs::read_to_string(root.join(budget::FILE)) {
        Ok(text) => Ok(Budget::parse(&text)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Budget::default()),
        Err(error) => Err(format!("{}: {error}", budget::FILE).into()),
    }
}

fn write_budget(root: &Path, old: &Budget, report: &Report) -> Result<Budget> {
    let new = old.rewritten(&report.measured());
    let (before, after) = (old.text(), new.text());
    if before == after {
        println!("{}: unchanged", budget::FILE);
    } else {
        fs::write(root.join(budget::FILE), after)
            .map_err(|error| format!("{}: {error}", budget::FILE))?;
        println!("{}: written", budget::FILE);
    }
    Ok(new)
}

/// Prints the table, what could be tightened, and the faults.
fn show(report: &Report, budget: &Budget) {
    let titles = [&["kernel", "target"][..], &KEYS, &["barriers", "budget"]].concat();
    let mut below = 0;
    let rows = report.rows.iter().map(|row| {
        let got = budget::measured(&row.usage);
        let limits = budget.limits(&row.kernel, row.architecture);
        let mut cells = vec![row.kernel.clone(), row.architecture.to_owned()];
        cells.extend(got.iter().map(u32::to_string));
        cells.push(row.usage.barriers.to_string());
        cells.push(match &limits {
            None => "none".into(),
            Some(limits) if row.over(limits).is_empty() => granted(limits),
            Some(limits) => format!("{}: OVER", granted(limits)),
        });
        below +=
            usize::from(limits.is_some_and(|limits| got != limits && row.over(&limits).is_empty()));
        cells
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        print!("{}", table::render(&titles, &rows));
    }
    if below > 0 {
        println!("note: {below} below their budget; --write-budget tightens it");
    }
    for fault in &report.faults {
        println!("{fault}");
    }
}

/// The limits in words; memory that is not granted is left out.
fn granted(limits: &Limits) -> String {
    let words = KEYS.iter().zip(limits).enumerate();
    let words = words.filter(|(key, (_, limit))| *key == 0 || **limit > 0);
    words.map(|(_, (key, limit))| format!("{key} {limit}")).collect::<Vec<_>>().join(", ")
}

/// A row for each kernel and what it is granted on each target.
fn listed(files: &[Kernels], budget: &Budget) -> String {
    let mut rows = Vec::new();
    for file in files {
        for (_, entry) in &file.entries {
            for architecture in file.target.architectures {
                let limits = budget.limits(entry, architecture);
                rows.push(vec![
                    entry.clone(),
                    (*architecture).to_owned(),
                    limits.map_or("none".into(), |limits| granted(&limits)),
                    file.path.to_owned(),
                ]);
            }
        }
    }
    if rows.is_empty() {
        return "kernels: none yet\n".into();
    }
    table::render(&["kernel", "target", "budget", "file"], &rows)
}
