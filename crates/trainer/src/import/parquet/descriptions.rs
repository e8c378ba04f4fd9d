//! Descriptions of speakers of MLS: gender, pitch, speaking rate, and a sentence about them.
//!
//! A row names its utterance by the recording it was cut from and by when: `original_path`,
//! `begin_time`, `end_time`. The sound is joined by these, from a folder of MLS
//! (`segments.txt`, `transcripts.txt`, `audio/SPEAKER/BOOK/ID.flac`) or from parquet with a column of
//! sound and the same three columns.
//!
//! # Source
//!
//! The data sets parler-tts/mls-eng-speaker-descriptions and parler-tts/mls_eng; MLS is Pratap et
//! al. 2020, arXiv:2012.03411.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

use super::rows::{Cells, Place, tables};
use super::{Columns, ImportOptions};
use crate::import::line::Line;
use crate::import::output::Output;
use crate::import::{sound, text};

/// Columns that name an utterance.
const KEY: [&str; 3] = ["original_path", "begin_time", "end_time"];

/// A recording, and when an utterance begins and ends in it, in milliseconds.
type Key = (String, i64, i64);

/// Reads the rows of `source` whose sound is there.
pub(in crate::import) fn import(
    source: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let Some(audio) = &options.audio else {
        bail!(
            "{}: descriptions without sound, expected --audio, a folder of MLS or parquet with a \
             column of sound",
            source.display()
        );
    };
    match audio.join("segments.txt").is_file() {
        true => from_folder(source, audio, options, output),
        false => from_parquet(source, audio, options, output),
    }
}

fn from_folder(
    source: &Path,
    mls: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let ids = segments(&mls.join("segments.txt"))?;
    let transcripts = transcripts(&mls.join("transcripts.txt"))?;
    for table in tables(source)? {
        for row in table.rows(None)? {
            let (place, cells) = row?;
            let key = key_of(place, &cells)?;
            let found = ids.get(&key).map(|id| (id, mls_sound(mls, id)));
            let Some((id, audio)) = found else {
                missing(place, &key, options, output)?;
                continue;
            };
            let Some(audio) = audio else {
                missing(place, &key, options, output)?;
                continue;
            };
            let text = transcripts.get(id).with_context(|| {
                format!("{}: no line of {id}", mls.join("transcripts.txt").display())
            })?;
            let duration_s = Some(sound::duration(&audio).context(place.to_string())?);
            let mut line =
                Line { id: id.clone(), audio, duration_s, text: text.clone(), ..Line::default() };
            for (name, value) in fields(&cells) {
                line.set(&name, value);
            }
            // SPEAKER_BOOK_NUMBER
            if let Some((speaker, _)) = id.split_once('_') {
                line.set("speaker", speaker);
            }
            output.push(&place, &line)?;
        }
    }
    Ok(())
}

fn from_parquet(
    source: &Path,
    audio: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let sounds = tables(audio)?;
    // Descriptions are many times those that have their sound here, so these are asked for first.
    let mut wanted = HashSet::new();
    for table in &sounds {
        for row in table.rows(Some(&KEY))? {
            let (place, cells) = row?;
            wanted.insert(key_of(place, &cells)?);
        }
    }
    let mut described: HashMap<Key, Map<String, Value>> = HashMap::new();
    for table in tables(source)? {
        for row in table.rows(None)? {
            let (place, cells) = row?;
            let key = key_of(place, &cells)?;
            if !wanted.contains(&key) {
                missing(place, &key, options, output)?;
                continue;
            }
            let again = format!("{place}: describes {}, which a row before it does", shown(&key));
            ensure!(described.insert(key, fields(&cells)).is_none(), again);
        }
    }
    for table in &sounds {
        let columns = Columns::of(table, options)?;
        for row in table.rows(None)? {
            let (place, cells) = row?;
            let Some(description) = described.get(&key_of(place, &cells)?) else {
                output.leave_out("no description");
                continue;
            };
            let mut line = columns.line(place, cells, output).context(place.to_string())?;
            for name in KEY {
                line.fields.shift_remove(name);
            }
            for (name, value) in description {
                if !line.fields.contains_key(name) {
                    line.set(name, value.clone());
                }
            }
            output.push(&place, &line)?;
        }
    }
    Ok(())
}

fn key_of(place: Place<'_>, cells: &Cells) -> anyhow::Result<Key> {
    let [path, begin, end] = KEY;
    let time = |name: &str| {
        let seconds = cells.number(name);
        let seconds = seconds.with_context(|| format!("{place}: no number in column `{name}`"))?;
        anyhow::Ok((seconds * 1e3).round() as i64)
    };
    let path = cells.text(path).with_context(|| {
        format!(
            "{place}: no text in column `{path}`, expected the recording an utterance is cut from"
        )
    })?;
    Ok((path, time(begin)?, time(end)?))
}

fn shown((path, begin, end): &Key) -> String {
    format!("{path} from {} s to {} s", *begin as f64 / 1e3, *end as f64 / 1e3)
}

fn missing(
    place: Place<'_>,
    key: &Key,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    ensure!(
        options.skip_missing,
        "{place}: no sound of {} (hint: --skip-missing leaves out what is not there)",
        shown(key)
    );
    output.leave_out("no sound file");
    Ok(())
}

/// What a row says of its utterance, without what names it.
fn fields(cells: &Cells) -> Map<String, Value> {
    let is_named = |name: &str| KEY.contains(&name) || matches!(name, "id" | "duration" | "offset");
    let scalars = cells.scalars().filter(|(name, _)| !is_named(name));
    scalars.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn mls_sound(mls: &Path, id: &str) -> Option<std::path::PathBuf> {
    let mut parts = id.split('_');
    let folder = mls.join("audio").join(parts.next()?).join(parts.next()?);
    let path = |ending: &&str| folder.join(format!("{id}.{ending}"));
    sound::EXTENSIONS.iter().map(path).find(|path| path.is_file())
}

/// Lines `id TAB recording TAB begin TAB end`.
fn segments(path: &Path) -> anyhow::Result<HashMap<Key, String>> {
    let read = text::read(path)?;
    let mut ids = HashMap::new();
    for (index, line) in read.lines().enumerate() {
        let parts: Vec<&str> = line.split('\t').map(str::trim).collect();
        let time = |text: &str| Some((text.parse::<f64>().ok()? * 1e3).round() as i64);
        let (id, key) = match parts[..] {
            [id, recording, begin, end] => match (time(begin), time(end)) {
                (Some(begin), Some(end)) => (id, (recording.to_owned(), begin, end)),
                _ => (id, (String::new(), -1, -1)),
            },
            _ => ("", (String::new(), -1, -1)),
        };
        ensure!(
            !id.is_empty() && key.1 >= 0,
            "{}:{}: expected id, recording, begin and end with tabs between them",
            path.display(),
            index + 1
        );
        ids.insert(key, id.to_owned());
    }
    Ok(ids)
}

/// Lines `id TAB transcript`.
fn transcripts(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let read = text::read(path)?;
    let lines = read.lines().enumerate().map(|(index, line)| {
        let (id, text) = line.split_once('\t').with_context(|| {
            format!(
                "{}:{}: expected id and transcript with a tab between",
                path.display(),
                index + 1
            )
        })?;
        Ok((id.to_owned(), text.trim().to_owned()))
    });
    lines.collect()
}
