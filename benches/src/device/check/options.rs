//! The command line of `gpu-check`.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use crate::device::Selection;
use crate::device::timing::Clock;

/// What `--help` says.
pub const HELP: &str = "gpu-check [OPTIONS]: tests, times and counters of the kernels on the GPU of this machine
  --minutes N      stop after so long, most important first (default: 8)
  --out DIR        write the record into this folder
  --records DIR    write it into a folder of the card's name in this one (default: the present folder)
  --python NAME    interpreter for the other libraries; without them, ours alone (default: python3)
  --stage NAME     only this one: kernels, tests, times, peers, counters; may be repeated
  --op, --shape    only cases of these names
  --bundle DIR     where programs and scripts lie (default: above the folder of this program)
  --emulate        rehearse on the interpreter; every row says that nothing was measured
  --dry-run        say what would be done, and do nothing
gpu-check call --op NAME --shape NAME --variant NAME
                   the part of one case that the interpreter bears, once: for profilers
";

/// Names for `--stage`.
const STAGES: [&str; 5] = ["kernels", "tests", "times", "peers", "counters"];

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// For how long.
    pub minutes: f64,
    /// Folder of the record.
    pub out: Option<PathBuf>,
    /// Folder of records, where each card has its own.
    pub records: PathBuf,
    /// Interpreter of the peers.
    pub python: String,
    /// Only these stages; all where empty.
    pub stages: Vec<String>,
    /// Only these cases.
    pub selection: Selection,
    /// Whether the device is the interpreter.
    pub emulate: bool,
    /// Whether to say what would be done alone.
    pub dry_run: bool,
    /// Folder of the programs; found from our own where it is not given.
    pub bundle: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// For what is unknown or has no value.
    pub fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            minutes: 8.0,
            out: None,
            records: ".".into(),
            python: "python3".into(),
            stages: Vec::new(),
            selection: Selection::default(),
            emulate: false,
            dry_run: false,
            bundle: None,
        };
        while let Some(flag) = args.next() {
            if options.selection.take(&flag, &mut args)? {
                continue;
            }
            let mut value =
                || args.next().with_context(|| format!("{flag}: expected a value, got none"));
            match flag.as_str() {
                "--minutes" => {
                    let text = value()?;
                    let minutes =
                        text.parse().ok().filter(|minutes| (0.1..=600.0).contains(minutes));
                    options.minutes = minutes.with_context(|| {
                        format!("--minutes: expected a number of 0.1 to 600, got `{text}`")
                    })?;
                }
                "--out" => options.out = Some(value()?.into()),
                "--records" => options.records = value()?.into(),
                "--python" => options.python = value()?,
                "--bundle" => options.bundle = Some(value()?.into()),
                "--stage" => {
                    let name = value()?;
                    ensure!(
                        STAGES.contains(&name.as_str()),
                        "--stage: no stage `{name}` (hint: one of {})",
                        STAGES.join(", ")
                    );
                    options.stages.push(name);
                }
                "--emulate" => options.emulate = true,
                "--dry-run" => options.dry_run = true,
                _ => bail!("gpu-check: no option `{flag}` (hint: --help)"),
            }
        }
        Ok(options)
    }

    /// Whether a stage was asked for.
    pub fn wants(&self, stage: &str) -> bool {
        self.stages.is_empty() || self.stages.iter().any(|asked| asked == stage)
    }

    /// What times mean.
    pub fn clock(&self) -> Clock {
        if self.emulate { Clock::Rehearsal } else { Clock::Gpu }
    }

    /// The first field of every row.
    pub fn source(&self) -> &'static str {
        match self.clock() {
            Clock::Gpu => "measured",
            Clock::Rehearsal => "interpreted, not a measurement",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Options> {
        Options::parse(text.split_whitespace().map(String::from))
    }

    #[test]
    fn defaults_fit_a_lease_of_ten_minutes() {
        let options = parse("").unwrap();
        assert_eq!((options.minutes, options.source()), (8.0, "measured"));
        assert!(options.wants("tests") && options.wants("peers"));
    }

    #[test]
    fn stages_and_rehearsals_are_chosen() {
        let options = parse("--emulate --stage times --stage peers --minutes 0.5").unwrap();
        assert!(options.wants("times") && !options.wants("tests"));
        assert_eq!(options.source(), "interpreted, not a measurement");
    }

    #[test]
    fn wrong_words_are_refused_by_name() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(
            error("--minutes soon"),
            "--minutes: expected a number of 0.1 to 600, got `soon`"
        );
        assert!(error("--stage all").contains("one of kernels, tests, times, peers, counters"));
        assert_eq!(error("--fast"), "gpu-check: no option `--fast` (hint: --help)");
        assert_eq!(error("--out"), "--out: expected a value, got none");
    }
}
