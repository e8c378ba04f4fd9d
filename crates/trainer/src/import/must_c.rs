//! MuST-C: English talks with their translations.
//!
//! ```text
//! en-XX/data/SPLIT/txt/SPLIT.yaml   - {duration, offset, rW, uW, speaker_id, wav}, one an utterance
//!                      SPLIT.en     its transcript, the same line
//!                      SPLIT.XX     its translation
//!                  wav/             talks
//! ```
//!
//! Pairs of languages are joined where talk, offset and transcript are the same: one line with a
//! field `text_XX` for each. An utterance that another pair cuts or spells otherwise is a line of
//! its own.
//!
//! # Source
//!
//! Di Gangi et al. 2019, "MuST-C: a Multilingual Speech Translation Corpus"; the layout is that of
//! release 1.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::line::Line;
use super::output::Output;
use super::yaml::read_records;
use super::{ImportOptions, text};

/// Reads every pair and split that is asked for.
pub(super) fn import(
    source: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let pairs = pairs(source, &options.languages)?;
    let splits = match options.splits.is_empty() {
        true => all_splits(&pairs)?,
        false => options.splits.clone(),
    };
    for split in &splits {
        for (place, line) in read_split(&pairs, split, options, output)? {
            output.push(&place, &line)?;
        }
    }
    Ok(())
}

/// A pair's target language and its folder, `.../en-XX/data`.
type Pair = (String, PathBuf);

fn pairs(source: &Path, languages: &[String]) -> anyhow::Result<Vec<Pair>> {
    let language_of = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("en-").map(str::to_owned)
    };
    let mut found: Vec<Pair> = match language_of(source) {
        Some(language) => vec![(language, source.join("data"))],
        None => {
            let entries = fs::read_dir(source)
                .with_context(|| format!("{}: cannot read folder", source.display()))?;
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            paths.filter_map(|path| Some((language_of(&path)?, path.join("data")))).collect()
        }
    };
    found.sort();
    let names: Vec<&str> = found.iter().map(|(language, _)| language.as_str()).collect();
    ensure!(
        !found.is_empty(),
        "{}: no folder en-XX there, expected MuST-C (hint: name the folder that holds en-de)",
        source.display()
    );
    if languages.is_empty() {
        return Ok(found);
    }
    let pair = |language: &String| {
        found.iter().find(|(known, _)| known == language).cloned().with_context(|| {
            format!(
                "{}: no en-{language}, expected one of {} (hint: --language)",
                source.display(),
                names.join(", ")
            )
        })
    };
    languages.iter().map(pair).collect()
}

/// The splits that a pair has, the training set first.
fn all_splits(pairs: &[Pair]) -> anyhow::Result<Vec<String>> {
    let mut splits: Vec<String> = Vec::new();
    for (_, folder) in pairs {
        let entries = fs::read_dir(folder)
            .with_context(|| format!("{}: cannot read folder", folder.display()))?;
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let has_list = folder.join(&name).join("txt").join(format!("{name}.yaml")).is_file();
            if has_list && !splits.contains(&name) {
                splits.push(name);
            }
        }
    }
    splits.sort_by_key(|name| (name != "train", name != "dev", name.clone()));
    let folder = &pairs[0].1;
    ensure!(
        !splits.is_empty(),
        "{}: no split there, expected train/txt/train.yaml",
        folder.display()
    );
    Ok(splits)
}

/// One split of all pairs, joined; utterances in the order of the first pair that has them.
fn read_split(
    pairs: &[Pair],
    split: &str,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<Vec<(String, Line)>> {
    let mut lines: Vec<(String, Line)> = Vec::new();
    // Talk and offset in microseconds to the line that has them.
    let mut at: HashMap<(String, u64), usize> = HashMap::new();
    for (language, folder) in pairs {
        let folder = folder.join(split);
        let text_file = |ending: &str| folder.join("txt").join(format!("{split}.{ending}"));
        let list = text_file("yaml");
        let records = read_records(&list)?;
        let transcripts = read_lines(&text_file("en"), records.len(), &list)?;
        let translations = read_lines(&text_file(language), records.len(), &list)?;
        let field = format!("text_{language}");
        for (record, (text, translation)) in
            records.iter().zip(transcripts.into_iter().zip(translations))
        {
            let place = format!("{}:{}", list.display(), record.line);
            let wav = record.text(&list, "wav")?;
            let (offset_s, duration_s) =
                (record.number(&list, "offset")?, record.number(&list, "duration")?);
            let mut audio = folder.join("wav").join(wav);
            if let Some(extension) = &options.extension {
                audio.set_extension(extension);
            }
            if duration_s == 0.0 {
                output.leave_out("lasts 0 s");
                continue;
            }
            if text.trim().is_empty() {
                output.leave_out("no transcript");
                continue;
            }
            if !output.has(&audio) {
                ensure!(
                    options.skip_missing,
                    "{place}: wav is `{wav}`, no such file at {} (hint: --skip-missing leaves out \
                     what is not there)",
                    audio.display()
                );
                output.leave_out("no sound file");
                continue;
            }
            let stem = Path::new(wav).file_stem().unwrap_or_default().to_string_lossy();
            let mut id = format!("{stem}@{offset_s}");
            let key = (wav.to_owned(), (offset_s * 1e6).round() as u64);
            match at.entry(key) {
                Entry::Occupied(known) => {
                    let (_, first) = &mut lines[*known.get()];
                    if first.text == text && !first.fields.contains_key(&field) {
                        first.set(&field, translation);
                        continue;
                    }
                    id = format!("{id}:{language}");
                }
                Entry::Vacant(free) => {
                    free.insert(lines.len());
                }
            }
            let mut line = Line {
                id,
                audio,
                offset_s: Some(offset_s),
                duration_s: Some(duration_s),
                text,
                ..Line::default()
            };
            line.set(&field, translation);
            line.set("speaker", record.text(&list, "speaker_id")?);
            line.set("split", split);
            lines.push((place, line));
        }
    }
    Ok(lines)
}

/// The lines of a text file, of which there must be one for each of `n` entries of `list`.
fn read_lines(path: &Path, n: usize, list: &Path) -> anyhow::Result<Vec<String>> {
    let text = text::read(path)?;
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    ensure!(
        lines.len() == n,
        "{}: {} lines, expected {n}, one for each entry of {}",
        path.display(),
        lines.len(),
        list.display()
    );
    Ok(lines)
}
