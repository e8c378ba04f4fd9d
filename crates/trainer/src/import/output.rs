//! Where an import writes: a manifest, or a folder with a manifest and sound.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::line::{Line, file_name};
use crate::atomic;

/// Name of the manifest in a folder.
const MANIFEST: &str = "manifest.jsonl";
/// Name of the folder of sound beside it.
const AUDIO: &str = "audio";

/// What came of an import; its `Display` is the line that `data import` prints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Lines written.
    pub n_utterances: usize,
    /// Their sound of known duration, in seconds.
    pub seconds: f64,
    /// How many were left out, by reason.
    pub left_out: BTreeMap<String, usize>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} utterances, {:.2} h, ", self.n_utterances, self.seconds / 3600.0)?;
        if self.left_out.is_empty() {
            return f.write_str("none left out");
        }
        let reasons: Vec<String> =
            self.left_out.iter().map(|(reason, n)| format!("{n} ({reason})")).collect();
        write!(f, "left out: {}", reasons.join(", "))
    }
}

/// Takes the lines of an import, in order.
pub(super) struct Output<'a> {
    writer: &'a mut dyn Write,
    /// Folder from which the paths of sound files count.
    base: PathBuf,
    /// Folder that sound may be written to, under its present and its final name.
    folder: Option<(PathBuf, PathBuf)>,
    /// Hash of each id, of which there may be millions, to the line that has it.
    ids: HashMap<u128, usize>,
    /// Sound files known to be there.
    found: HashMap<PathBuf, bool>,
    summary: Summary,
}

/// Runs `fill` and puts what it wrote under `out`, or nothing where it failed.
pub(super) fn write(
    out: &Path,
    is_manifest: bool,
    fill: impl FnOnce(&mut Output<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let base = match is_manifest {
        true => out.parent().unwrap_or(Path::new("")).to_path_buf(),
        false => out.to_path_buf(),
    };
    let base = std::path::absolute(match base.as_os_str().is_empty() {
        true => Path::new("."),
        false => &base,
    })?;
    if !is_manifest {
        return write_folder(out, base, fill);
    }
    // What went wrong while reading is not an error of saving, which `atomic` would call it.
    let mut filled = None;
    let saved = atomic::write(out, |writer| {
        let mut output = Output::new(writer, base, None);
        let result = fill(&mut output).and_then(|()| output.finish());
        let failed = result.is_err();
        filled = Some(result);
        ensure!(!failed, "nothing to save");
        Ok(())
    });
    match filled {
        Some(Err(error)) => Err(error),
        Some(Ok(summary)) => saved.map(|()| summary),
        None => Err(saved.err().with_context(|| format!("{}: not written", out.display()))?),
    }
}

fn write_folder(
    out: &Path,
    base: PathBuf,
    fill: impl FnOnce(&mut Output<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    ensure!(
        !out.exists(),
        "{}: is there already, expected a new folder (hint: remove it, or name another)",
        out.display()
    );
    let temporary = Unfinished::create(&base)?;
    let path = temporary.path.join(MANIFEST);
    let cannot = |path: &Path| format!("{}: cannot write", path.display());
    let mut writer = BufWriter::new(File::create(&path).with_context(|| cannot(&path))?);
    let folder = (temporary.path.join(AUDIO), base.join(AUDIO));
    let mut output = Output::new(&mut writer, base.clone(), Some(folder));
    fill(&mut output)?;
    let summary = output.finish()?;
    writer.flush().and_then(|()| writer.get_ref().sync_all()).with_context(|| cannot(&path))?;
    drop(writer);
    // Stays where there is sound in it.
    let _ = fs::remove_dir(temporary.path.join(AUDIO));
    fs::rename(&temporary.path, &base).with_context(|| cannot(out))?;
    atomic::sync_folder(base.parent().unwrap_or(Path::new("")))?;
    Ok(summary)
}

/// A folder under a hidden name, removed when dropped before it got its own.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn create(target: &Path) -> anyhow::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        fs::create_dir(&path)
            .with_context(|| format!("{}: cannot make a folder", path.display()))?;
        let made = Self { path };
        fs::create_dir(made.path.join(AUDIO))
            .with_context(|| format!("{}: cannot make a folder", made.path.display()))?;
        Ok(made)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has gone where it was renamed; what cannot be removed stays hidden.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl<'a> Output<'a> {
    fn new(writer: &'a mut dyn Write, base: PathBuf, folder: Option<(PathBuf, PathBuf)>) -> Self {
        let (ids, found) = (HashMap::new(), HashMap::new());
        Self { writer, base, folder, ids, found, summary: Summary::default() }
    }

    /// Writes a line that came from `place`.
    ///
    /// # Errors
    ///
    /// When its id was there before.
    pub(super) fn push(&mut self, place: &dyn fmt::Display, line: &Line) -> anyhow::Result<()> {
        let id = &line.id;
        ensure!(!id.is_empty(), "{place}: id is empty, expected a unique name");
        let hash = blake3::hash(id.as_bytes());
        let key = u128::from_le_bytes(std::array::from_fn(|k| hash.as_bytes()[k]));
        let line_number = self.summary.n_utterances + 1;
        if let Some(first) = self.ids.insert(key, line_number) {
            bail!("{place}: id is `{id}`, expected a new one, line {first} of the manifest has it");
        }
        let audio = self.written_path(&line.audio)?;
        serde_json::to_writer(&mut *self.writer, &line.to_json(&audio))?;
        self.writer.write_all(b"\n")?;
        self.summary.n_utterances += 1;
        self.summary.seconds += line.duration_s.unwrap_or(0.0);
        Ok(())
    }

    /// Counts an utterance that is not written.
    pub(super) fn leave_out(&mut self, reason: &str) {
        *self.summary.left_out.entry(reason.to_owned()).or_default() += 1;
    }

    /// Whether a sound file is there; asked of the disk once.
    pub(super) fn has(&mut self, audio: &Path) -> bool {
        if let Some(&known) = self.found.get(audio) {
            return known;
        }
        let is_file = audio.is_file();
        self.found.insert(audio.to_path_buf(), is_file);
        is_file
    }

    /// Writes sound of an utterance as `NAME.EXTENSION`; where it is, for [`Line::audio`].
    ///
    /// # Errors
    ///
    /// When another utterance's sound has the name, or it cannot be written.
    pub(super) fn save_sound(
        &mut self,
        name: &str,
        extension: &str,
        bytes: &[u8],
    ) -> anyhow::Result<PathBuf> {
        let Some((folder, _)) = &self.folder else {
            bail!("sound `{name}`: nowhere to write it, expected a folder");
        };
        let path = folder.join(format!("{}.{extension}", file_name(name)));
        let mut file = match File::create_new(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => bail!(
                "sound `{name}`: another one has this name, expected a new one (hint: import parts \
                 that name their sound alike one at a time)"
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("{}: cannot write", path.display()));
            }
        };
        file.write_all(bytes).with_context(|| format!("{}: cannot write", path.display()))?;
        Ok(path)
    }

    /// A sound file as the manifest names it: relative where it lies below the manifest's folder.
    fn written_path(&self, audio: &Path) -> anyhow::Result<String> {
        let mut path = std::path::absolute(audio)?;
        if let Some((now, then)) = &self.folder
            && let Ok(rest) = path.strip_prefix(now)
        {
            path = then.join(rest);
        }
        let path = path.strip_prefix(&self.base).unwrap_or(&path);
        match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => bail!("{}: not UTF-8, which a manifest cannot hold", path.display()),
        }
    }

    fn finish(self) -> anyhow::Result<Summary> {
        let left_out: usize = self.summary.left_out.values().sum();
        ensure!(
            self.summary.n_utterances > 0,
            "import: no utterance is left of {left_out}, expected at least one ({})",
            self.summary
        );
        Ok(self.summary)
    }
}
