//! Parquet files with a column of sound, as Hugging Face datasets keep them.
//!
//! A cell of sound is a struct of `bytes`, the whole of a sound file, and `path`, its name. Bytes
//! are written as a file beside the manifest; a cell without bytes names a file below the
//! parquet's folder. The other columns of one value each become fields, `speaker_id` as `speaker`. A
//! file named `SPLIT-00000-of-00002.parquet`, as the Hub has them, says which split its rows are of.

mod descriptions;
mod rows;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use parquet::record::Field;

pub(super) use self::descriptions::import as import_descriptions;
use self::rows::{Cells, Place, Table, tables};
use super::line::Line;
use super::output::Output;
use super::{ImportOptions, TEXT_NAMES, sound};

/// Columns by their part in a line.
struct Columns {
    audio: String,
    text: String,
}

/// Reads all rows of all files.
pub(super) fn import(
    source: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    for table in tables(source)? {
        let columns = Columns::of(&table, options)?;
        for row in table.rows(None)? {
            let (place, cells) = row?;
            let line = columns.line(place, cells, output).context(place.to_string())?;
            output.push(&place, &line)?;
        }
    }
    Ok(())
}

impl Columns {
    /// Which columns of `table` hold sound and text.
    fn of(table: &Table, options: &ImportOptions) -> anyhow::Result<Self> {
        let names = table.columns();
        let find = |what: &str, known: &[&str], option: &str| {
            let found = known.iter().find(|name| names.contains(*name));
            found.map(|name| (*name).to_owned()).with_context(|| {
                format!(
                    "{}: no column of {what}, expected {} among [{}] (hint: {option})",
                    table.path.display(),
                    known.join(" or "),
                    names.join(", ")
                )
            })
        };
        let audio = options.audio_column.as_deref().unwrap_or("audio");
        let text: Vec<&str> = match &options.text_column {
            Some(name) => vec![name],
            None => TEXT_NAMES.to_vec(),
        };
        Ok(Self {
            audio: find("sound", &[audio], "--audio-column")?,
            text: find("text", &text, "--text-column")?,
        })
    }

    /// The line of a row, its sound written.
    fn line(
        &self,
        place: Place<'_>,
        mut cells: Cells,
        output: &mut Output<'_>,
    ) -> anyhow::Result<Line> {
        let sound = cells.take(&self.audio).unwrap_or(Field::Null);
        let (bytes, name) = sound_of(sound)?;
        let text = cells.text(&self.text).unwrap_or_default().trim().to_owned();
        let table = place.path.file_stem().unwrap_or_default().to_string_lossy();
        let id = cells.text("id").or_else(|| name_of(&name));
        let id = id.unwrap_or_else(|| format!("{table}-{}", place.row));
        let audio = match bytes {
            Some(bytes) => {
                let kind = sound::extension_of(&bytes, &name)?;
                output.save_sound(&id, kind, &bytes)?
            }
            None => beside(place.path, &name)?,
        };
        let duration_s = Some(sound::duration(&audio)?);
        let mut line = Line { id, audio, duration_s, text, ..Line::default() };
        let has_speaker = cells.text("speaker").is_some();
        for (name, value) in cells.scalars() {
            match name {
                "id" | "duration" | "offset" => {}
                "speaker_id" if !has_speaker => line.set("speaker", value),
                name if name == self.text => {}
                name => line.set(name, value),
            }
        }
        if let (None, Some(split)) = (cells.text("split"), split_of(&table)) {
            line.set("split", split);
        }
        Ok(line)
    }
}

/// What a sound file's path calls its utterance: all of it but the extension, or the file name alone
/// of a path that begins at a root.
fn name_of(path: &str) -> Option<String> {
    let path = Path::new(path).with_extension("");
    let name = if path.has_root() { path.file_name()?.into() } else { path };
    Some(name.to_str()?.to_owned()).filter(|name| !name.is_empty())
}

/// The split in `SPLIT-00000-of-00002`.
fn split_of(table: &str) -> Option<&str> {
    let (rest, n) = table.rsplit_once("-of-")?;
    let (split, k) = rest.rsplit_once('-')?;
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(n) && is_number(k) && !split.is_empty()).then_some(split)
}

/// Bytes and name of a cell of sound.
fn sound_of(cell: Field) -> anyhow::Result<(Option<Vec<u8>>, String)> {
    let (mut bytes, mut name) = (None, String::new());
    match cell {
        Field::Bytes(found) => bytes = Some(found.data().to_vec()),
        Field::Group(row) => {
            for (column, field) in row.into_columns() {
                match (column.as_str(), field) {
                    ("bytes", Field::Bytes(found)) => bytes = Some(found.data().to_vec()),
                    ("path", Field::Str(found)) => name = found,
                    _ => {}
                }
            }
        }
        Field::Null => bail!("sound is null, expected {{bytes, path}}"),
        other => bail!("sound is {other}, expected {{bytes, path}} or bytes"),
    }
    ensure!(bytes.is_some() || !name.is_empty(), "sound has neither bytes nor a path");
    Ok((bytes.filter(|bytes| !bytes.is_empty()), name))
}

/// A sound file that a cell names instead of holding it.
fn beside(table: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = table.parent().unwrap_or(Path::new("")).join(name);
    ensure!(
        path.is_file(),
        "sound has no bytes and its path is `{name}`, no such file at {}",
        path.display()
    );
    Ok(path)
}
