//! Corpora, the clips that are timed, and a long recording made of utterances.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use audio_frontend::{LoadOptions, SAMPLE_RATE, load};
use serde_json::Value;
use tempfile::TempDir;

/// Silence between joined utterances, in seconds.
const PAUSE_S: f64 = 0.6;
/// The one clip of the timed ones that fills a window is at most so long, in seconds.
const FULL_WINDOW_S: f64 = 29.0;

/// Corpora of the tables, and which split of each; `None` is all.
pub(super) const CORPORA: [(&str, Option<&str>); 3] =
    [("an4", Some("test")), ("kathleen", None), ("microworld", Some("test"))];

/// Something that somebody said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Utterance {
    pub(super) id: String,
    pub(super) audio: PathBuf,
    pub(super) text: String,
}

/// The utterances of a corpus in the order of its manifest.
pub(super) fn corpus(
    data: &Path,
    name: &str,
    split: Option<&str>,
) -> anyhow::Result<Vec<Utterance>> {
    let folder = data.join("corpora").join(name);
    let manifest = folder.join("manifest.jsonl");
    let place = || manifest.display().to_string();
    let lines = std::fs::read_to_string(&manifest).with_context(place)?;
    let mut found = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).with_context(place)?;
        let field = |key: &str| line[key].as_str().map(str::to_owned);
        if split.is_some_and(|split| line["split"] != split) {
            continue;
        }
        let (id, audio, text) = (field("id"), field("audio"), field("text"));
        let (Some(id), Some(audio), Some(text)) = (id, audio, text) else {
            anyhow::bail!("{}: expected id, audio and text in each line", place());
        };
        found.push(Utterance { id, audio: folder.join(audio), text });
    }
    ensure!(!found.is_empty(), "{}: no utterance of the split", place());
    Ok(found)
}

/// Sound in a form that every side reads in no time: f32 samples at 16 kHz, little-endian.
pub(super) struct Clip {
    pub(super) path: PathBuf,
    pub(super) seconds: f64,
    pub(super) text: String,
}

impl Clip {
    fn write(folder: &TempDir, name: &str, samples: &[f32], text: String) -> anyhow::Result<Self> {
        let path = folder.path().join(format!("{name}.f32"));
        let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(&path, bytes)
            .with_context(|| format!("{}: cannot write", path.display()))?;
        Ok(Self { path, seconds: seconds(samples.len()), text })
    }

    /// An utterance as it is.
    pub(super) fn of(folder: &TempDir, name: &str, utterance: &Utterance) -> anyhow::Result<Self> {
        Self::write(folder, name, &samples_of(utterance)?, utterance.text.clone())
    }

    /// The first utterances, with silence between, as long as they last at most `most_s` together.
    pub(super) fn joined(
        folder: &TempDir,
        name: &str,
        utterances: &[Utterance],
        most_s: f64,
    ) -> anyhow::Result<Self> {
        let (mut samples, mut texts) = (Vec::new(), Vec::new());
        for utterance in utterances {
            let next = samples_of(utterance)?;
            if seconds(samples.len() + next.len()) + PAUSE_S > most_s {
                break;
            }
            samples.extend(next);
            samples.resize(samples.len() + (PAUSE_S * f64::from(SAMPLE_RATE)) as usize, 0.0);
            texts.push(utterance.text.as_str());
        }
        Self::write(folder, name, &samples, texts.join(" "))
    }
}

/// `n` clips: every other one of people who spell and count, and of sentences that are read, and
/// one that fills a window.
pub(super) fn timed_clips(data: &Path, n: usize, folder: &TempDir) -> anyhow::Result<Vec<Clip>> {
    let spelled = corpus(data, "an4", Some("test"))?;
    let read = corpus(data, "kathleen", None)?;
    let mut clips = Vec::new();
    for k in 0..n.saturating_sub(1) {
        let from = if k % 2 == 0 { &read } else { &spelled };
        let utterance = &from[k * from.len() / n];
        clips.push(Clip::of(folder, &format!("clip{k}"), utterance)?);
    }
    clips.push(Clip::joined(folder, "full", &read, FULL_WINDOW_S)?);
    Ok(clips)
}

/// The samples of a file that [`Clip`] wrote.
pub(super) fn read_samples(path: &str) -> anyhow::Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("{path}: cannot read"))?;
    let (samples, rest) = bytes.as_chunks::<4>();
    ensure!(rest.is_empty(), "{path}: {} bytes, expected a multiple of 4", bytes.len());
    Ok(samples.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

fn samples_of(utterance: &Utterance) -> anyhow::Result<Vec<f32>> {
    let options = LoadOptions { sample_rate: SAMPLE_RATE, offset_s: 0.0, duration_s: None };
    Ok(load(&utterance.audio, &options)?.samples)
}

fn seconds(n_samples: usize) -> f64 {
    n_samples as f64 / f64::from(SAMPLE_RATE)
}
