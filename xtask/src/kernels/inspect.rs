//! Assembles every kernel and holds what it takes against the budget. Prints nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::assemble::{self, Assembled, Job};
use super::assembler::{Assembler, indented};
use super::budget::{self, Budget, DOUBLES, KEYS, LOCAL, Limits, SPILLS};
use super::fault::Fault;
use super::listing::{Message, Usage};
use super::source::{Facts, Placed, Source, Sources, TARGETS, Target};

/// A file that can be assembled.
#[derive(Debug)]
pub struct Kernels<'a> {
    /// Path from the root.
    pub path: &'a str,
    /// Lines and names of its entries, as the text gives them.
    pub entries: Vec<Placed<String>>,
    /// What it is assembled for.
    pub target: &'static Target,
}

/// The files in order, and what is wrong with those that are not among them.
pub fn plan(sources: &Sources) -> (Vec<Kernels<'_>>, Vec<Fault>) {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    let mut homes: BTreeMap<String, &str> = BTreeMap::new();
    for source in &sources.files {
        match planned(source) {
            Ok(file) => {
                for (_, entry) in &file.entries {
                    if let Some(home) = homes.insert(entry.clone(), &source.path) {
                        let what = format!("entry {entry} stands in {home} already");
                        let hint = "budgets and launchers know kernels by name; rename one";
                        faults.push(Fault::new(&source.path, what, hint));
                    }
                }
                files.push(file);
            }
            Err(fault) => faults.push(fault),
        }
    }
    (files, faults)
}

fn planned(source: &Source) -> Result<Kernels<'_>, Fault> {
    let facts = Facts::of(&source.text);
    let target = facts.known_target().ok_or_else(|| {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        let (line, got) = facts.target.as_ref().map_or((1, "none"), |(at, name)| (*at, name));
        let place = format!("{}:{line}", source.path);
        let what = format!(".target, expected one of {}, got {got}", known.join(", "));
        Fault::new(place, what, "a new one is a row of TARGETS in xtask/src/kernels/source.rs")
    })?;
    if facts.entries.is_empty() {
        let hint = "an entry is declared as `.visible .entry NAME(`";
        return Err(Fault::new(&source.path, "no entry function", hint));
    }
    Ok(Kernels { path: &source.path, entries: facts.entries, target })
}

impl Kernels<'_> {
    fn has(&self, kernel: &str) -> bool {
        self.entries.iter().any(|(_, entry)| entry == kernel)
    }

    /// The entry that a line lies in; one above them all is given to the first.
    fn entry_at(&self, line: usize) -> &str {
        let mut above = self.entries.iter().rev().filter(|(start, _)| *start <= line);
        above.next().or(self.entries.first()).map_or("", |(_, entry)| entry)
    }
}

/// One entry on one architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the entry.
    pub kernel: String,
    /// What it was assembled for.
    pub architecture: &'static str,
    /// What it takes.
    pub usage: Usage,
}

impl Row {
    /// Places in [`KEYS`] of what is beyond the limits; spilled registers count as spilled and not
    /// once more as the local memory they lie in.
    pub fn over(&self, limits: &Limits) -> Vec<usize> {
        let got = budget::measured(&self.usage);
        let is_over = |&key: &usize| got[key] > limits[key] && (key != LOCAL || got[SPILLS] == 0);
        (0..KEYS.len()).filter(is_over).collect()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Every entry that was compiled, in order of file and architecture.
    pub rows: Vec<Row>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Number of runs of the assembler.
    pub runs: usize,
}

impl Report {
    /// The measured limits of every row, for the budget to be written from.
    pub fn measured(&self) -> Vec<(&str, &str, Limits)> {
        let limits = |row: &'_ Row| budget::measured(&row.usage);
        self.rows.iter().map(|row| (row.kernel.as_str(), row.architecture, limits(row))).collect()
    }
}

/// Where things are, and what is to be held against what.
pub struct Inspection<'a> {
    /// The root of the workspace, where the assembler runs.
    pub root: &'a Path,
    /// The folder for what it makes.
    pub objects: &'a Path,
    /// The assembler.
    pub assembler: &'a Assembler,
    /// What the kernels may take.
    pub budget: &'a Budget,
    /// Whether the budget is about to be rewritten, so that growth is no fault. A spill is one all
    /// the same, and so is local memory that nobody planned.
    pub rewriting: bool,
}

impl Inspection<'_> {
    /// Assembles the files and judges what comes out; fails only when the assembler cannot run.
    pub fn run(&self, files: &[Kernels]) -> Result<Report, String> {
        let jobs: Vec<(&Kernels, Job)> = files
            .iter()
            .flat_map(|file| {
                let architectures = file.target.architectures.iter();
                architectures.map(move |architecture| (file, self.job(file, architecture)))
            })
            .collect();
        let bare: Vec<Job> = jobs.iter().map(|(_, job)| *job).collect();
        let results = assemble::run(self.assembler, self.root, self.objects, &bare)?;
        let mut report = Report { runs: jobs.len(), ..Report::default() };
        for ((file, job), assembled) in jobs.iter().zip(&results) {
            self.judge(file, job, assembled, &mut report);
        }
        if !self.rewriting {
            report.faults.extend(self.bookkeeping(files));
        }
        Ok(report)
    }

    fn job<'a>(&self, file: &Kernels<'a>, architecture: &'static str) -> Job<'a> {
        let plans =
            |key| file.entries.iter().any(|(_, entry)| self.granted(entry, architecture)[key] > 0);
        Job {
            path: file.path,
            architecture,
            may_use_local: plans(LOCAL),
            may_use_doubles: plans(DOUBLES),
        }
    }

    /// What the budget grants; nothing, where it does not know the kernel.
    fn granted(&self, kernel: &str, architecture: &str) -> Limits {
        self.budget.limits(kernel, architecture).unwrap_or_default()
    }

    /// What the kernel may take for there to be no fault.
    fn limits(&self, kernel: &str, architecture: &str, got: &Limits) -> Limits {
        let known = self.budget.limits(kernel, architecture);
        if let Some(limits) = known.filter(|_| !self.rewriting) {
            return limits;
        }
        // A kernel without a budget is told of once, by the books. What must be planned must be
        // planned here too.
        let granted = self.granted(kernel, architecture);
        let mut limits = *got;
        limits[SPILLS] = 0;
        for key in [LOCAL, DOUBLES] {
            if granted[key] == 0 {
                limits[key] = 0;
            }
        }
        limits
    }

    /// Adds the rows and the faults of one run of the assembler.
    fn judge(&self, file: &Kernels, job: &Job, assembled: &Assembled, report: &mut Report) {
        let place = format!("{}: {}", file.path, job.architecture);
        let known_faults = report.faults.len();
        let mut doubles: BTreeMap<&str, u32> = BTreeMap::new();
        for message in assembled.listing.messages.iter().filter(|message| message.is_double()) {
            *doubles.entry(file.entry_at(message.line.unwrap_or(0))).or_default() += 1;
        }
        for (kernel, usage) in &assembled.listing.entries {
            let usage = Usage { doubles: doubles.remove(&**kernel).unwrap_or(0), ..*usage };
            let row = Row { kernel: kernel.clone(), architecture: job.architecture, usage };
            let got = budget::measured(&usage);
            let limits = self.limits(kernel, job.architecture, &got);
            for key in row.over(&limits) {
                report.faults.push(Fault::growth(&place, kernel, key, &limits, &got));
            }
            report.rows.push(row);
        }
        // As errors they end the run before there are resources.
        for (kernel, count) in doubles {
            let got = budget::measured(&Usage { doubles: count, ..Usage::default() });
            let limits = self.granted(kernel, job.architecture);
            report.faults.push(Fault::growth(&place, kernel, DOUBLES, &limits, &got));
        }
        report.faults.extend(said(file, job, assembled));
        let is_explained = report.faults.len() > known_faults;
        if !assembled.accepted && !is_explained {
            let what = format!("refused by the assembler{}", indented(&assembled.output));
            report.faults.push(Fault::new(&place, what, "its own words are above"));
        }
        let is_listed =
            |entry: &str| assembled.listing.entries.iter().any(|(kernel, _)| kernel == entry);
        for (_, entry) in file.entries.iter().filter(|(_, entry)| !is_listed(entry)) {
            if assembled.accepted {
                let what = format!("{entry}: no resources in what the assembler printed");
                let hint = format!(
                    "ptxas {} may print another form than xtask/src/kernels/listing.rs reads",
                    self.assembler.version
                );
                report.faults.push(Fault::new(&place, what, hint));
            }
        }
    }

    /// Kernels without a budget, and budgets without a kernel.
    fn bookkeeping(&self, files: &[Kernels]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for file in files {
            let first = file.target.architectures.first().copied().unwrap_or_default();
            let is_unknown = |entry: &&str| self.budget.limits(entry, first).is_none();
            let entries = file.entries.iter().map(|(_, entry)| entry.as_str());
            for entry in entries.filter(is_unknown) {
                let place = format!("{}: {}", file.path, file.target.architectures.join(", "));
                let what = format!("{entry}: no budget, expected [{entry}] in {}", budget::FILE);
                let hint = "cargo xtask kernels check --write-budget adds what was measured";
                faults.push(Fault::new(place, what, hint));
            }
        }
        let is_known = |kernel: &str, architecture: Option<&str>| {
            files.iter().filter(|file| file.has(kernel)).any(|file| {
                architecture.is_none_or(|name| file.target.architectures.contains(&name))
            })
        };
        for (line, table) in self.budget.strangers(is_known) {
            let hint = "delete it, or cargo xtask kernels check --write-budget does";
            let what = format!("[{table}] is no kernel, or not assembled for that target");
            faults.push(Fault::new(format!("{}:{line}", budget::FILE), what, hint));
        }
        faults
    }
}

/// Faults from messages whose matter is not told with numbers: spills, local memory and f64 of
/// entries are, and the last line of a failed run adds nothing to the others.
fn said(file: &Kernels, job: &Job, assembled: &Assembled) -> Vec<Fault> {
    let is_told = |text: &str| {
        let starts = ["Registers are spilled", "Local memory used"];
        let mut entries = assembled.listing.entries.iter();
        starts.iter().any(|start| text.starts_with(start))
            && entries.any(|(kernel, _)| text.contains(&format!("function '{kernel}'")))
    };
    let messages = assembled.listing.messages.iter().filter(|message| {
        !message.is_double()
            && !is_told(&message.text)
            && message.text != "Ptx assembly aborted due to errors"
    });
    let fault = |message: &Message| {
        let line = message.line.map(|line| format!(":{line}")).unwrap_or_default();
        Fault::said(&format!("{}{line}: {}", file.path, job.architecture), &message.text)
    };
    messages.map(fault).collect()
}
