//! Small corpora, written here, as manifests.

mod gigaspeech;
mod must_c;
#[cfg(feature = "parquet")]
mod parquet;
mod shards;
mod spoken_squad;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::sound::wav;
use super::{Corpus, ImportOptions, Summary, import};
use crate::manifest::{Utterance, read};

/// A folder to make a corpus in.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A sound file of so many samples at 16 kHz, all of them `value`.
    fn sound(&self, name: &str, n: usize, value: f32) -> PathBuf {
        self.write(name, wav(&vec![value; n], 16_000))
    }

    fn import(
        &self,
        corpus: Corpus,
        source: &str,
        options: &ImportOptions,
        out: &str,
    ) -> anyhow::Result<Summary> {
        import(corpus, &self.path(source), options, &self.path(out))
    }

    /// The error of an import, folders left out, that must leave nothing behind.
    #[track_caller]
    fn refusal(&self, corpus: Corpus, source: &str, options: &ImportOptions, out: &str) -> String {
        let before = self.entries();
        let error = self.import(corpus, source, options, out).unwrap_err();
        assert_eq!(self.entries(), before, "something was left behind");
        format!("{error:#}").replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// Names in the corpus's folder.
    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    /// The manifest as the rest of the program reads it.
    fn read(&self, name: &str) -> Vec<Utterance> {
        read(&self.path(name).display().to_string()).unwrap()
    }

    /// Lines of the manifest, as written.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn samples(path: &Path) -> Vec<f32> {
    audio_frontend::load(path, &audio_frontend::LoadOptions::default()).unwrap().samples
}

#[test]
fn options_of_another_corpus_are_refused() {
    let world = World::new();
    let options = ImportOptions { subsets: vec!["M".into()], ..ImportOptions::default() };
    let error = world.refusal(Corpus::MustC, "x", &options, "o.jsonl");
    assert_eq!(error, "--subset: not an option of must-c, expected with gigaspeech");
    let none = ImportOptions::default();
    let error = world.refusal(Corpus::Shards, "x", &none, "o.jsonl");
    assert!(error.starts_with("o.jsonl: a manifest, expected a folder (hint: the sound of shards"));
    fs::create_dir(world.path("there")).unwrap();
    let error = world.refusal(Corpus::Shards, "x", &none, "there");
    assert!(error.starts_with("there: is there already, expected a new folder"), "{error}");
}
