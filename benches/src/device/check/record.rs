//! Rows and files: `DATE_gpu-check_times.csv`, `..._counters.csv`, `..._tests.log`, `..._summary.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::machine::Machine;
use super::options::Options;
use crate::kernels::record::{quoted, today};

/// One number of one implementation at one case.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    /// The case.
    pub(super) op: String,
    pub(super) shape: String,
    pub(super) variant: String,
    pub(super) extents: String,
    /// `ours`, or the library's form.
    pub(super) who: String,
    /// `call, warm L2`, `call, cold L2`, `all kernels`, or a kernel's name.
    pub(super) what: String,
    /// 20th, 50th and 80th percentile, in microseconds; of a kernel the median alone.
    pub(super) us: [f64; 3],
    /// How many were timed.
    pub(super) samples: usize,
    /// Launches of a call, of kernels alone.
    pub(super) launches: Option<usize>,
    /// The least that the operation can take on this card, where we know its rates.
    pub(super) floor_us: Option<f64>,
    /// What the design expects on this card.
    pub(super) expected: String,
    /// How it was timed, and by which version.
    pub(super) note: String,
}

/// Names of the columns.
const HEADER: &str = "source,op,shape,variant,extents,who,what,p20_us,p50_us,p80_us,samples,launches,\
    floor_us,fraction_of_floor,expected,note,gpu,driver,commit,date";

/// The files of one check.
#[derive(Debug)]
pub(super) struct Record {
    folder: PathBuf,
    stem: String,
    source: &'static str,
}

impl Record {
    /// A stem that no file has yet: a record is never overwritten.
    pub(super) fn open(options: &Options, machine: &Machine) -> anyhow::Result<Self> {
        let folder = match &options.out {
            Some(folder) => folder.clone(),
            None => options.records.join(machine.folder()),
        };
        fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        let kind = if options.emulate { "interpreted-gpu-check" } else { "gpu-check" };
        let letters = std::iter::once(String::new()).chain(('b'..='z').map(String::from));
        let mut stems = letters.map(|letter| format!("{}{letter}_{kind}", today()));
        let free = |stem: &String| !folder.join(format!("{stem}_summary.md")).exists();
        let stem = stems.find(free);
        ensure!(stem.is_some(), "{}: 26 records of today, expected fewer", folder.display());
        Ok(Self { stem: stem.unwrap_or_default(), source: options.source(), folder })
    }

    /// Folder and beginning of every file's name.
    pub(super) fn stem(&self) -> PathBuf {
        self.folder.join(&self.stem)
    }

    /// A file of the record.
    pub(super) fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}_{ending}", self.stem))
    }

    /// Writes all rows anew.
    pub(super) fn write_rows(&self, rows: &[Row], machine: &Machine) -> anyhow::Result<()> {
        let mut text = format!("{HEADER}\n");
        for row in rows {
            let words = [&row.op, &row.shape, &row.variant, &row.extents, &row.who, &row.what];
            let words: Vec<String> = words.into_iter().map(|word| quoted(word)).collect();
            let [p20, p50, p80] = row.us;
            let optional = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.4}"));
            let tail =
                [&row.expected, &row.note, &machine.product, &machine.driver, &machine.commit];
            let tail: Vec<String> = tail.into_iter().map(|word| quoted(word)).collect();
            let _ = writeln!(
                text,
                "{},{},{p20:.3},{p50:.3},{p80:.3},{},{},{},{},{},{}",
                quoted(self.source),
                words.join(","),
                row.samples,
                row.launches.map_or(String::new(), |launches| launches.to_string()),
                optional(row.floor_us),
                optional(row.floor_us.map(|floor| floor / p50)),
                tail.join(","),
                today(),
            );
        }
        write(&self.file("times.csv"), &text)
    }

    /// Writes the page anew.
    pub(super) fn write_summary(&self, page: &str) -> anyhow::Result<()> {
        write(&self.file("summary.md"), page)
    }

    /// Writes a table of another stage.
    pub(super) fn write(&self, ending: &str, text: &str) -> anyhow::Result<()> {
        write(&self.file(ending), text)
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{}: cannot write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            product: "NVIDIA H200".into(),
            card: None,
            driver: "580, CUDA 13.0".into(),
            commit: "abc".into(),
            facts: Vec::new(),
        }
    }

    fn options(folder: &Path, more: &str) -> Options {
        let mut options = Options::parse(more.split_whitespace().map(String::from)).unwrap();
        options.records = folder.into();
        options
    }

    #[test]
    fn a_row_has_all_columns_and_the_fraction_of_the_floor() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::open(&options(folder.path(), ""), &machine()).unwrap();
        let row = Row { us: [1.0, 2.0, 3.0], floor_us: Some(1.0), ..Row::default() };
        record.write_rows(&[row], &machine()).unwrap();
        let path = folder.path().join(format!("nvidia-h200/{}_gpu-check_times.csv", today()));
        let text = fs::read_to_string(path).unwrap();
        let row = text.lines().nth(1).unwrap();
        let commas: usize = row.split('"').step_by(2).map(|part| part.matches(',').count()).sum();
        assert_eq!(commas, HEADER.matches(',').count(), "{row}");
        assert!(row.starts_with("\"measured\",") && row.contains(",1.0000,0.5000,"), "{row}");
    }

    #[test]
    fn records_are_not_overwritten_and_rehearsals_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let stem = |more| {
            let record = Record::open(&options(folder.path(), more), &machine()).unwrap();
            record.write_summary("").unwrap();
            record.stem
        };
        assert_eq!(stem(""), format!("{}_gpu-check", today()));
        assert_eq!(stem(""), format!("{}b_gpu-check", today()));
        assert_eq!(stem("--emulate"), format!("{}_interpreted-gpu-check", today()));
    }
}
