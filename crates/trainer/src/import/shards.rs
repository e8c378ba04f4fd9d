//! Tar shards: consecutive entries of one key are an utterance.
//!
//! ```text
//! a/0001.flac  a/0001.json  a/0002.flac  a/0002.txt  ...      corpus-000.tar, corpus-001.tar.gz
//! ```
//!
//! The key is an entry's path up to the first dot of its file name, as WebDataset has it. `KEY.json`
//! is an object whose scalars become fields; `KEY.txt` is the transcript. With both, the text file
//! wins. Shards may also hold sound alone beside a manifest of all of them, whose `audio_filepath`
//! names the entry, as NeMo's tarred data sets do.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

use super::folder::parts;
use super::line::Line;
use super::output::Output;
use super::shard_manifest::ShardManifest;
use super::{ImportOptions, TEXT_NAMES, sound};

/// Reads all shards, in the order of their names.
pub(super) fn import(
    source: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let mut told = options.manifest.as_deref().map(ShardManifest::read).transpose()?;
    for shard in parts(source, &[".tar", ".tar.gz", ".tgz"])? {
        read_shard(&shard, options, told.as_mut(), output)?;
    }
    if let Some(told) = told {
        (0..told.n_left()).for_each(|_| output.leave_out("no sound in these shards"));
    }
    Ok(())
}

/// Entries of one key.
#[derive(Default)]
struct Sample {
    key: String,
    /// Extension and bytes of the sound.
    sound: Option<(&'static str, Vec<u8>)>,
    fields: Option<Map<String, Value>>,
    text: Option<String>,
}

fn read_shard(
    path: &Path,
    options: &ImportOptions,
    mut told: Option<&mut ShardManifest>,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let place = path.display();
    let cut = |what: String| {
        move |error: std::io::Error| {
            anyhow::anyhow!("{what}: {error} (hint: is the shard cut short, or no tar file)")
        }
    };
    let file = File::open(path).with_context(|| format!("{place}: cannot read"))?;
    let mut bytes = BufReader::new(file);
    let mut magic = [0; 2];
    let n = bytes.read(&mut magic).map_err(cut(place.to_string()))?;
    let head = std::io::Cursor::new(magic[..n].to_vec());
    let whole = head.chain(bytes);
    let reader: Box<dyn Read> = match magic == [0x1f, 0x8b] {
        true => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        false => Box::new(whole),
    };
    let mut archive = tar::Archive::new(reader);
    let mut sample = Sample::default();
    for entry in archive.entries().map_err(cut(place.to_string()))? {
        let mut entry = entry.map_err(cut(place.to_string()))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let here = format!("{place}: entry `{name}`");
        let (key, ending) = split_name(&name);
        if key != sample.key {
            finish(std::mem::take(&mut sample), path, options, output)?;
            sample.key = key.to_owned();
        }
        let mut content = Vec::new();
        let mut read = || entry.read_to_end(&mut content).map_err(cut(here.clone()));
        let ending = ending.to_lowercase();
        let again = format!("{here}: a second one of its kind, expected one of each a key");
        if sound::EXTENSIONS.contains(&ending.as_str()) {
            read()?;
            ensure!(sample.sound.is_none(), again);
            if let Some(told) = &mut told {
                sample.fields = Some(told.take(&name).with_context(|| here.clone())?);
            }
            let kind = sound::extension_of(&content, &name).context(here)?;
            sample.sound = Some((kind, content));
        } else if told.is_some() {
            // The manifest says all that there is to say.
        } else if ending == "json" {
            read()?;
            ensure!(sample.fields.is_none(), again);
            let fields = serde_json::from_slice(&content);
            sample.fields = Some(fields.with_context(|| format!("{here}: not a JSON object"))?);
        } else if ending == "txt" {
            read()?;
            ensure!(sample.text.is_none(), again);
            let text = String::from_utf8(content);
            let text = text.ok().with_context(|| format!("{here}: not UTF-8 text"))?;
            sample.text = Some(text.trim().to_owned());
        }
    }
    finish(sample, path, options, output)
}

/// Key and extension of an entry: all up to the first dot of its file name, and what follows.
fn split_name(name: &str) -> (&str, &str) {
    let start = name.rfind('/').map_or(0, |at| at + 1);
    match name[start..].find('.') {
        Some(dot) => (&name[..start + dot], &name[start + dot + 1..]),
        None => (name, ""),
    }
}

/// Writes what the entries of a key come to.
fn finish(
    sample: Sample,
    path: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let Sample { key, sound, fields, text } = sample;
    let place = format!("{}: key `{key}`", path.display());
    let (kind, bytes) = match (sound, fields.is_some() || text.is_some()) {
        (None, false) => return Ok(()),
        (None, true) => bail!(
            "{place}: text without sound, expected {key}.{} beside it (hint: entries of a key \
             stand one after the other)",
            sound::EXTENSIONS.join(" or .")
        ),
        (Some(_), false) => {
            bail!(
                "{place}: sound without text, expected {key}.json or {key}.txt beside it (hint: \
                 --manifest names one of all shards)"
            )
        }
        (Some(sound), true) => sound,
    };
    let mut line = Line { id: key.clone(), ..Line::default() };
    let mut fields = fields.unwrap_or_default();
    line.text = match text {
        Some(text) => text,
        None => {
            let known: Vec<&str> = match &options.text_column {
                Some(name) => vec![name.as_str()],
                None => TEXT_NAMES.to_vec(),
            };
            let name = known.iter().find(|&&name| fields.get(name).is_some_and(Value::is_string));
            let text = name.and_then(|&name| fields.shift_remove(name));
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            match text {
                Some(Value::String(text)) => text.trim().to_owned(),
                _ => bail!(
                    "{place}: no text beside its sound, expected {} among [{}] (hint: --text-column)",
                    known.join(" or "),
                    names.join(", ")
                ),
            }
        }
    };
    for (name, value) in fields {
        // What is measured here, and what a list or an object of a line would not be used for.
        if name != "duration" && (value.is_string() || value.is_number() || value.is_boolean()) {
            line.set(&name, value);
        }
    }
    line.audio = output.save_sound(&key, kind, &bytes).context(place.clone())?;
    line.duration_s = Some(sound::duration(&line.audio).context(place.clone())?);
    output.push(&place, &line)
}

#[cfg(test)]
mod tests {
    use super::split_name;

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_file_name() {
        for (name, expected) in [
            ("a.b/0001.flac", ("a.b/0001", "flac")),
            ("0001.seg.json", ("0001", "seg.json")),
            ("./x.wav", ("./x", "wav")),
            ("README", ("README", "")),
        ] {
            assert_eq!(split_name(name), expected);
        }
    }
}
