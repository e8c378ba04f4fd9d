//! What was asked on the command line.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};

use crate::kernels::record;

const FLAGS: [&str; 13] = [
    "--data",
    "--models",
    "--beams",
    "--clips",
    "--turns",
    "--threads",
    "--only",
    "--texts",
    "--python",
    "--converted",
    "--note",
    // These take no value.
    "--record",
    "--help",
];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Speed of Whisper on clips.
    Transcribe,
    /// Speed of a LLaMA model.
    Generate,
    /// Word error rates of corpora, and where texts differ from those of `transformers`.
    Wer,
    /// A recording of ten minutes.
    Long,
}

impl What {
    fn of(name: &str) -> anyhow::Result<Self> {
        match name {
            "transcribe" => Ok(Self::Transcribe),
            "generate" => Ok(Self::Generate),
            "wer" => Ok(Self::Wer),
            "long" => Ok(Self::Long),
            _ => bail!(
                "bench-models: no measurement `{name}`, expected transcribe, generate, wer or long"
            ),
        }
    }

    /// Name of its records.
    fn name(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::Generate => "generate",
            Self::Wer => "wer",
            Self::Long => "long-form",
        }
    }
}

/// A parsed command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is measured.
    pub what: What,
    /// Folder of `models/` and `corpora/`.
    pub data: PathBuf,
    /// Folders of `models/` that take part.
    pub models: Vec<String>,
    /// Beams; 1 is greedy.
    pub beams: Vec<usize>,
    /// Clips that are timed, or of each corpus; 0 is all.
    pub clips: usize,
    /// Turns of everybody.
    pub turns: usize,
    /// Threads of everybody.
    pub threads: usize,
    /// Only sides whose name begins so; empty is all.
    pub only: Vec<String>,
    /// Where the texts of peers are kept from run to run.
    pub texts: Option<PathBuf>,
    /// Interpreter that has the peers; without one, ours run alone.
    pub python: Option<String>,
    /// Where weights that a peer wants in another file format are kept.
    pub converted: PathBuf,
    /// Where to write the record.
    pub record: Option<PathBuf>,
    /// What each record says about the machine.
    pub note: String,
}

impl Options {
    /// Reads arguments and refuses what cannot work, before anything is timed.
    ///
    /// # Errors
    ///
    /// For an unknown option or measurement, a value that is none, data that is not there, and a
    /// record that cannot be.
    pub fn parse(args: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut args = args.into_iter();
        let what = What::of(&args.next().unwrap_or_default())?;
        let models: &[&str] = match what {
            What::Generate => &["smollm2-135m"],
            _ => &["whisper-tiny", "whisper-base.en"],
        };
        let mut options = Self {
            what,
            data: std::env::var_os("CONSONANCE_DATA").unwrap_or_default().into(),
            models: models.iter().map(|&name| name.to_owned()).collect(),
            beams: if what == What::Long { vec![1] } else { vec![1, 5] },
            clips: if what == What::Transcribe { 20 } else { 0 },
            turns: 3,
            threads: 2,
            only: Vec::new(),
            texts: None,
            python: None,
            converted: "target/bench-models".into(),
            record: None,
            note: String::new(),
        };
        let mut wants_record = false;
        while let Some(flag) = args.next() {
            ensure!(
                FLAGS.contains(&flag.as_str()),
                "bench-models: no option `{flag}`, expected one of {}",
                FLAGS.join(", ")
            );
            match flag.as_str() {
                "--record" => wants_record = true,
                "--help" => bail!("options: {}", FLAGS.join(", ")),
                _ => {
                    let value = args
                        .next()
                        .with_context(|| format!("{flag}: expected a value, got none"))?;
                    options.set(&flag, value)?;
                }
            }
        }
        let corpora = options.data.join("models");
        ensure!(
            corpora.is_dir(),
            "{}: no such folder (hint: --data DIR or CONSONANCE_DATA names the folder of models and \
             corpora)",
            corpora.display()
        );
        if wants_record {
            let path = record::fresh(&record::folder(), what.name(), what.extension());
            record::expect_new(&path)?;
            options.record = Some(path);
        }
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: String) -> anyhow::Result<()> {
        let number = |text: &str, least: usize| match text.parse() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(anyhow!("{flag}: expected a number from {least}, got `{text}`")),
        };
        let list = |value: &str| value.split(',').map(str::to_owned).collect();
        match flag {
            "--data" => self.data = value.into(),
            "--models" => self.models = list(&value),
            "--beams" => {
                self.beams =
                    value.split(',').map(|n| number(n, 1)).collect::<anyhow::Result<_>>()?;
            }
            "--clips" => self.clips = number(&value, 0)?,
            "--turns" => self.turns = number(&value, 1)?,
            "--threads" => self.threads = number(&value, 1)?,
            "--only" => self.only = list(&value),
            "--texts" => self.texts = Some(value.into()),
            "--python" => self.python = Some(value),
            "--converted" => self.converted = value.into(),
            _ => self.note = value,
        }
        Ok(())
    }
}

impl What {
    /// Kind of file of its records.
    fn extension(self) -> &'static str {
        match self {
            Self::Transcribe | Self::Generate => "csv",
            Self::Wer | Self::Long => "json",
        }
    }
}
