//! Where transcripts go.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::Heard;
use super::subtitles::{Format, n_best_json, segments_json};
use crate::atomic;
use crate::manifest::Utterance;

/// Where and in what form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// A JSON line each: id and hypothesis; with `times`, segments too.
    Lines { times: bool },
    /// The text of a file each.
    Printed(Format),
    /// A file each, named by the id.
    Folder(Format, PathBuf),
}

/// Writes what was heard, to `out` or into files.
pub(crate) struct Delivery<'a> {
    target: Target,
    out: &'a mut dyn Write,
}

impl<'a> Delivery<'a> {
    /// Makes the folder where files are asked for.
    ///
    /// # Errors
    ///
    /// When two utterances would share a file, the folder cannot be made, or formats of which
    /// each file holds one recording would be printed one after the other.
    pub(crate) fn new(
        target: Target,
        utterances: &[Utterance],
        out: &'a mut dyn Write,
    ) -> anyhow::Result<Self> {
        match &target {
            Target::Lines { .. } => {}
            Target::Printed(format) => ensure!(
                !format.is_timed() || utterances.len() == 1,
                "--format {}: {} recordings cannot share one (hint: --out DIR writes a file each)",
                format.extension(),
                utterances.len()
            ),
            Target::Folder(_, dir) => {
                let mut names = BTreeSet::new();
                for utterance in utterances {
                    ensure!(
                        names.insert(file_stem(&utterance.id)),
                        "--out: two recordings are called `{}`, expected different names \
                         (hint: transcribe them into two folders)",
                        utterance.id
                    );
                }
                std::fs::create_dir_all(dir)
                    .with_context(|| format!("{}: cannot make the folder", dir.display()))?;
            }
        }
        Ok(Self { target, out })
    }

    /// Writes one transcript.
    pub(crate) fn write(&mut self, utterance: &Utterance, heard: &Heard) -> anyhow::Result<()> {
        match &self.target {
            Target::Lines { times } => writeln!(self.out, "{}", line(utterance, heard, *times))?,
            Target::Printed(format) => self.out.write_all(format.text(heard).as_bytes())?,
            Target::Folder(format, dir) => {
                let stem = file_stem(&utterance.id);
                let path = dir.join(format!("{stem}.{}", format.extension()));
                atomic::write(&path, |file| Ok(file.write_all(format.text(heard).as_bytes())?))?;
            }
        }
        Ok(())
    }
}

/// An id as a file name: it must not lead into another folder.
fn file_stem(id: &str) -> String {
    id.replace(['/', '\\'], "_")
}

fn line(utterance: &Utterance, heard: &Heard, times: bool) -> serde_json::Value {
    let mut line = json!({ "id": utterance.id, "hypothesis": heard.text() });
    if times {
        line["segments"] = segments_json(&heard.transcript.segments);
    }
    if !heard.n_best.is_empty() {
        line["n_best"] = n_best_json(&heard.n_best);
    }
    line
}
