//! What was asked on the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use speech_metrics::edit::distance;

use super::definitions::{CASES, Case};
use super::record;

const FLAGS: [&str; 12] = [
    "--op",
    "--shape",
    "--device",
    "--threads",
    "--rounds",
    "--seconds",
    "--python",
    "--json",
    "--note",
    // These two take no value.
    "--record",
    "--list",
    "--help",
];

/// A parsed command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only this operation.
    pub op: Option<String>,
    /// Only this shape.
    pub shape: Option<String>,
    /// Threads of both sides.
    pub threads: usize,
    /// Turns of everybody.
    pub rounds: usize,
    /// After which a peer takes no further turn, a case.
    pub seconds: Duration,
    /// Interpreter that has the peers; without one, ours run alone.
    pub python: Option<String>,
    /// Where to write the results for programs.
    pub json: Option<PathBuf>,
    /// Where to write the record.
    pub record: Option<PathBuf>,
    /// What each line of the record says about the machine.
    pub note: String,
    /// Whether to say what there is, and time nothing.
    pub list: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            op: None,
            shape: None,
            threads: 2,
            rounds: 5,
            seconds: Duration::from_secs(30),
            python: None,
            json: None,
            record: None,
            note: String::new(),
            list: false,
        }
    }
}

impl Options {
    /// Reads arguments and refuses what cannot work, before anything is timed.
    ///
    /// # Errors
    ///
    /// For an unknown option, operation, shape or device, a value that is none, a record that
    /// cannot be, and a README without a place for the table.
    pub fn parse(args: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut wants_record = false;
        let mut args = args.into_iter();
        while let Some(flag) = args.next() {
            if !FLAGS.contains(&flag.as_str()) {
                return Err(unknown("option", &flag, &FLAGS));
            }
            match flag.as_str() {
                "--record" => wants_record = true,
                "--list" => options.list = true,
                "--help" => bail!("options: {}", FLAGS.join(", ")),
                _ => {
                    let value = args
                        .next()
                        .with_context(|| format!("{flag}: expected a value, got none"))?;
                    options.set(&flag, value)?;
                }
            }
        }
        ensure!(
            !options.cases().is_empty(),
            "bench-kernels: no case of `{}` has shape `{}` (hint: --list)",
            options.op.as_deref().unwrap_or_default(),
            options.shape.as_deref().unwrap_or_default()
        );
        if wants_record {
            let path = record::fresh(&record::folder(), "kernels", "csv");
            record::expect_new(&path)?;
            options.record = Some(path);
            if options.fills_readme() {
                record::readme_with("")?;
            }
        }
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: String) -> anyhow::Result<()> {
        let number = |least: usize| match value.parse() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(anyhow!("{flag}: expected a number from {least}, got `{value}`")),
        };
        match flag {
            "--op" => self.op = Some(known("operation", value, |case| case.op)?),
            "--shape" => self.shape = Some(known("shape", value, |case| case.shape)?),
            "--device" => ensure!(
                value == "cpu",
                "--device: expected cpu, got `{value}` (hint: emu alone counts, through cargo xtask)"
            ),
            "--threads" => self.threads = number(1)?,
            "--rounds" => self.rounds = number(3)?,
            "--seconds" => self.seconds = Duration::from_secs(number(1)? as u64),
            "--python" => self.python = Some(value),
            "--json" => self.json = Some(value.into()),
            _ => self.note = value,
        }
        Ok(())
    }

    /// The cases that were asked for.
    pub fn cases(&self) -> Vec<&'static Case> {
        let fits = |asked: &Option<String>, name| asked.as_deref().is_none_or(|op| op == name);
        CASES.iter().filter(|c| fits(&self.op, c.op) && fits(&self.shape, c.shape)).collect()
    }

    /// Whether a record of these cases may replace the table in README: a part must not.
    pub fn fills_readme(&self) -> bool {
        self.record.is_some() && self.python.is_some() && self.op.is_none() && self.shape.is_none()
    }
}

/// A name that some case has, as it is spelled there.
fn known(what: &str, name: String, of: fn(&Case) -> &'static str) -> anyhow::Result<String> {
    let mut names: Vec<&str> = CASES.iter().map(of).collect();
    names.sort_unstable();
    names.dedup();
    if names.contains(&name.as_str()) { Ok(name) } else { Err(unknown(what, &name, &names)) }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> anyhow::Error {
    let least = known.iter().map(|other| edits(name, other)).min().unwrap_or_default();
    let near: Vec<&str> =
        known.iter().copied().filter(|other| edits(name, other) == least).collect();
    let hint = if least <= name.len() / 2 {
        format!("did you mean {}", near.join(" or "))
    } else {
        format!("one of {}", known.join(", "))
    };
    anyhow!("bench-kernels: no {what} `{name}` (hint: {hint})")
}

/// Edits from one name to another, whatever the case of letters.
fn edits(a: &str, b: &str) -> usize {
    let letters = |text: &str| -> Vec<char> { text.to_lowercase().chars().collect() };
    distance(&letters(a), &letters(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[track_caller]
    fn refused(line: &str, text: &str) {
        assert_eq!(parsed(line).unwrap_err().to_string(), text, "{line}");
    }

    #[test]
    fn filters_choose_cases() {
        assert_eq!(parsed("").unwrap().cases().len(), CASES.len());
        let options = parsed("--op sinkhorn --shape single --threads 4 --device cpu").unwrap();
        assert!(options.cases().iter().all(|c| c.op == "sinkhorn" && c.shape == "single"));
        assert_eq!((options.cases().len(), options.threads), (2, 4));
        // One name may be a shape of two operations.
        assert_eq!(parsed("--shape n4096").unwrap().cases().len(), 2);
    }

    #[test]
    fn unknown_names_are_answered_by_the_nearest() {
        refused(
            "--op sinkhron",
            "bench-kernels: no operation `sinkhron` (hint: did you mean sinkhorn)",
        );
        refused("--shape s1", "bench-kernels: no shape `s1` (hint: did you mean S1)");
        refused("--ops mmd", "bench-kernels: no option `--ops` (hint: did you mean --op)");
        refused(
            "--op zzzzzzzz",
            "bench-kernels: no operation `zzzzzzzz` (hint: one of crd, info-nce, mmd, nst, sinkhorn, wasserstein-info-nce)",
        );
        refused(
            "--op mmd --shape S1",
            "bench-kernels: no case of `mmd` has shape `S1` (hint: --list)",
        );
    }

    #[test]
    fn values_are_checked_before_anything_is_timed() {
        refused(
            "--device cuda",
            "--device: expected cpu, got `cuda` (hint: emu alone counts, through cargo xtask)",
        );
        refused("--threads 0", "--threads: expected a number from 1, got `0`");
        refused("--rounds 2", "--rounds: expected a number from 3, got `2`");
        refused("--note", "--note: expected a value, got none");
    }

    #[test]
    fn a_part_of_the_cases_does_not_replace_the_table() {
        let record = Some(PathBuf::from("a.csv"));
        let whole = Options { record, python: Some("python3".into()), ..Options::default() };
        assert!(whole.fills_readme());
        assert!(!Options { shape: Some("S1".into()), ..whole.clone() }.fills_readme());
        assert!(!Options { python: None, ..whole.clone() }.fills_readme());
        assert!(!Options { record: None, ..whole }.fills_readme());
    }
}
