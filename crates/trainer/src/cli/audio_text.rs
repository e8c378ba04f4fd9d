//! What `encode` and `transcribe` read: sound files, manifests, or text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;

use crate::manifest::{Place, Utterance, read};

/// Utterances of a JSONL manifest, or one for a sound file.
pub(super) fn utterances(input: &str) -> anyhow::Result<Vec<Utterance>> {
    let path = Path::new(input.split('#').next().unwrap_or(input));
    ensure!(path.exists(), "{}: no such file", path.display());
    let is_manifest = path.extension().is_some_and(|extension| {
        ["jsonl", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    if is_manifest {
        return read(input);
    }
    Ok(vec![Utterance {
        id: path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        audio: Some(PathBuf::from(input)),
        offset_s: 0.0,
        duration_s: None,
        text: String::new(),
        extra: serde_json::Map::new(),
        place: Place { file: Arc::from(Path::new(input)), line: 1 },
    }])
}
