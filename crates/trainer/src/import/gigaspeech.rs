//! GigaSpeech: one JSON file of gigabytes, read recording by recording.
//!
//! ```text
//! {"audios": [{"aid", "path", "source", "category", "speaker",
//!              "segments": [{"sid", "begin_time", "end_time", "text_tn", "subsets": ["{M}", ..]}]}]}
//! ```
//!
//! Punctuation is written as `<COMMA>`, `<PERIOD>`, `<QUESTIONMARK>` and `<EXCLAMATIONPOINT>`, and
//! what is no speech as `<SIL>`, `<MUSIC>`, `<NOISE>` and `<OTHER>`.
//!
//! # Source
//!
//! Chen et al. 2021, "GigaSpeech: an evolving, multi-domain ASR corpus", release 1.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::line::Line;
use super::output::Output;
use super::{ImportOptions, text};

/// Name of the file in the corpus's folder.
const FILE: &str = "GigaSpeech.json";

/// Tags of text and what is written for them.
const PUNCTUATION: &[(&str, &str)] =
    &[("<COMMA>", ","), ("<PERIOD>", "."), ("<QUESTIONMARK>", "?"), ("<EXCLAMATIONPOINT>", "!")];
/// Tags of what is no speech.
const NO_SPEECH: &[&str] = &["<SIL>", "<MUSIC>", "<NOISE>", "<OTHER>"];

#[derive(Deserialize)]
struct Recording {
    path: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    speaker: String,
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    sid: String,
    begin_time: f64,
    end_time: f64,
    text_tn: String,
    #[serde(default)]
    subsets: Vec<String>,
    #[serde(default)]
    speaker: String,
}

/// Reads the segments of the subsets that are asked for.
pub(super) fn import(
    source: &Path,
    options: &ImportOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let path = if source.is_dir() { source.join(FILE) } else { source.to_path_buf() };
    let file = File::open(&path).with_context(|| format!("{}: cannot read", path.display()))?;
    let root = options.audio.as_deref().or(path.parent()).unwrap_or(Path::new(""));
    let subsets = options.subsets.iter().map(|name| format!("{{{}}}", bare(name))).collect();
    let mut reader = Reader { path: &path, root, subsets, options, output };
    let mut failure = None;
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 20, file));
    let seed = Corpus { reader: &mut reader, failure: &mut failure };
    let read = seed.deserialize(&mut json).and_then(|()| json.end());
    match (failure, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(text::json_error(&path, &error, "GigaSpeech")),
    }
}

/// A subset's name without its braces.
fn bare(name: &str) -> &str {
    name.trim_start_matches('{').trim_end_matches('}')
}

/// What becomes of each recording.
struct Reader<'a, 'b> {
    path: &'a Path,
    /// Folder that the paths of sound files count from.
    root: &'a Path,
    subsets: Vec<String>,
    options: &'a ImportOptions,
    output: &'a mut Output<'b>,
}

impl Reader<'_, '_> {
    fn take(&mut self, recording: Recording) -> anyhow::Result<()> {
        let mut audio: PathBuf = self.root.join(&recording.path);
        if let Some(extension) = &self.options.extension {
            audio.set_extension(extension);
        }
        for segment in recording.segments {
            let wanted = |subset: &String| self.subsets.contains(subset);
            if !self.subsets.is_empty() && !segment.subsets.iter().any(wanted) {
                self.output.leave_out("in other subsets");
                continue;
            }
            let place = format!("{}: segment {}", self.path.display(), segment.sid);
            let text = spoken_text(&segment.text_tn);
            if text.is_empty() {
                self.output.leave_out("no speech");
                continue;
            }
            let (begin, end) = (segment.begin_time, segment.end_time);
            ensure!(
                begin >= 0.0 && end > begin,
                "{place}: from {begin} s to {end} s, expected an end after its begin"
            );
            if !self.output.has(&audio) {
                ensure!(
                    self.options.skip_missing,
                    "{place}: path is `{}`, no such file at {} (hint: --audio DIR names the folder \
                     it counts from, --extension wav what the Opus files were converted to, and \
                     --skip-missing leaves out what is not there)",
                    recording.path,
                    audio.display()
                );
                self.output.leave_out("no sound file");
                continue;
            }
            let is_opus = audio.extension().is_some_and(|ending| ending == "opus");
            ensure!(
                !is_opus,
                "{place}: {} is Opus, which is not decoded here (hint: convert the corpus, ffmpeg \
                 -i IN.opus -ar 16000 OUT.flac, and give --extension flac)",
                audio.display()
            );
            let mut line = Line {
                id: segment.sid,
                audio: audio.clone(),
                offset_s: Some(begin),
                // To the microsecond, which the difference of two decimals is not.
                duration_s: Some(((end - begin) * 1e6).round() / 1e6),
                text,
                ..Line::default()
            };
            let speaker = [segment.speaker, recording.speaker.clone()];
            if let Some(speaker) = speaker.into_iter().find(|name| known(name)) {
                line.set("speaker", speaker);
            }
            for (name, value) in [("domain", &recording.source), ("category", &recording.category)]
            {
                if known(value) {
                    line.set(name, value.as_str());
                }
            }
            self.output.push(&place, &line)?;
        }
        Ok(())
    }
}

fn known(value: &str) -> bool {
    !matches!(value, "" | "N/A")
}

/// The text with its tags as punctuation; empty where nothing is said.
fn spoken_text(tagged: &str) -> String {
    let mut text = String::new();
    for word in tagged.split_whitespace().filter(|word| !NO_SPEECH.contains(word)) {
        match PUNCTUATION.iter().find(|(tag, _)| *tag == word) {
            Some((_, mark)) => text.push_str(mark),
            None => {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(word);
            }
        }
    }
    if text.contains(char::is_alphanumeric) { text } else { String::new() }
}

/// The whole file: hands its recordings on as they come.
struct Corpus<'a, 'b, 'c> {
    reader: &'a mut Reader<'b, 'c>,
    /// What a recording was refused for; the parser can carry only text.
    failure: &'a mut Option<anyhow::Error>,
}

impl<'de> DeserializeSeed<'de> for Corpus<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Corpus<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `audios`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_audios = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "audios" {
                has_audios = true;
                let (reader, failure) = (&mut *self.reader, &mut *self.failure);
                map.next_value_seed(Recordings { reader, failure })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if has_audios { Ok(()) } else { Err(A::Error::missing_field("audios")) }
    }
}

struct Recordings<'a, 'b, 'c> {
    reader: &'a mut Reader<'b, 'c>,
    failure: &'a mut Option<anyhow::Error>,
}

impl<'de> DeserializeSeed<'de> for Recordings<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Recordings<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of recordings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(recording) = list.next_element::<Recording>()? {
            if let Err(error) = self.reader.take(recording) {
                *self.failure = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::spoken_text;

    #[test]
    fn tags_become_punctuation_and_noise_becomes_nothing() {
        for (tagged, expected) in [
            ("AS THEY'RE LEAVING <COMMA> CAN I <QUESTIONMARK>", "AS THEY'RE LEAVING, CAN I?"),
            ("OH <EXCLAMATIONPOINT> NO <PERIOD>", "OH! NO."),
            ("<MUSIC>", ""),
            ("<SIL> <PERIOD>", ""),
            ("<NOISE> YES", "YES"),
        ] {
            assert_eq!(spoken_text(tagged), expected, "{tagged}");
        }
    }
}
