//! What `encode` and `transcribe` read: sound files, manifests, or text.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;

use crate::manifest::{ManifestSpec, Place, Utterance, read};

/// Utterances of a JSONL manifest, or one for a sound file.
///
/// Paths are resolved as in a recipe, see [`crate::recipe::resolve_path`].
pub(super) fn utterances(input: &str) -> anyhow::Result<Vec<Utterance>> {
    let path = ManifestSpec::parse(input)?.path;
    ensure!(path.exists(), "{}: no such file", path.display());
    let is_manifest = path.extension().is_some_and(|extension| {
        ["jsonl", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    if is_manifest {
        return read(input);
    }
    Ok(vec![Utterance {
        id: path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        audio: Some(path),
        offset_s: 0.0,
        duration_s: None,
        text: String::new(),
        extra: serde_json::Map::new(),
        place: Place { file: Arc::from(Path::new(input)), line: 1 },
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_file_may_have_a_hash_in_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("take #2.wav");
        std::fs::write(&path, b"").unwrap();
        let found = utterances(path.to_str().unwrap()).unwrap();
        assert_eq!(found[0].id, "take #2");
        assert_eq!(found[0].audio.as_deref(), Some(path.as_path()));
    }

    #[test]
    fn an_input_that_is_not_there_is_named() {
        let error = utterances("absent.wav").unwrap_err().to_string();
        assert_eq!(error, "absent.wav: no such file");
    }
}
