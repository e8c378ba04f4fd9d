//! Published corpora as manifests.
//!
//! ```text
//! MuST-C, GigaSpeech, Spoken-SQuAD, MLS, parquet, tar shards  --import-->  manifest.jsonl (+ audio/)
//! ```
//!
//! A corpus whose sound lies in files stays where it is, and the manifest points there; sound that
//! lies in parquet files or shards is unpacked beside the manifest. Every reader streams: a line
//! is written as soon as it is known. What is written has its name only when all of it is there.

mod folder;
mod gigaspeech;
mod line;
mod must_c;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod shard_manifest;
mod shards;
mod sound;
mod spoken_squad;
mod text;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::ValueEnum;

pub use self::output::Summary;

/// What the field of the transcript goes by, in the order they are tried.
const TEXT_NAMES: &[&str] =
    &["text", "sentence", "transcription", "transcript", "normalized_text", "raw_text"];

/// What a corpus comes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Corpus {
    /// Folder of `en-XX` folders with `data/SPLIT/{txt,wav}`
    MustC,
    /// GigaSpeech.json
    Gigaspeech,
    /// JSON of SQuAD v1.1's form, with a sound file a sentence
    SpokenSquad,
    /// Parquet of parler-tts/mls-eng-speaker-descriptions, joined with the sound of MLS
    MlsSpeakerDescriptions,
    /// Parquet with a column of sound, as Hugging Face datasets have it
    Parquet,
    /// Tar files of `KEY.flac` beside `KEY.json` or `KEY.txt`, as WebDataset has them
    Shards,
}

/// Which part of a corpus is taken, and where its parts are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// Splits of MuST-C; none takes all.
    pub splits: Vec<String>,
    /// Target languages of MuST-C, such as `de`; none takes all.
    pub languages: Vec<String>,
    /// Subsets of GigaSpeech, such as `M`; none takes all.
    pub subsets: Vec<String>,
    /// Where the sound is, when it is not beside the source.
    pub audio: Option<PathBuf>,
    /// Extension that sound files have now, when they were converted.
    pub extension: Option<String>,
    /// Column that holds the sound; none takes `audio`.
    pub audio_column: Option<String>,
    /// Column or field that holds the transcript; none takes the first known name.
    pub text_column: Option<String>,
    /// Manifest of shards that hold sound alone.
    pub manifest: Option<PathBuf>,
    /// Leave out what has no sound file instead of refusing the corpus.
    pub skip_missing: bool,
}

/// Reads the corpus at `source` and writes it as a manifest.
///
/// `out` ending in `.jsonl` is the manifest itself; any other `out` is a folder, which must not be
/// there yet, with `manifest.jsonl` in it. Sound that is unpacked needs the folder.
///
/// # Errors
///
/// Names the file and the line, row or entry that is not as the corpus has it; nothing is left
/// under `out` then.
pub fn import(
    corpus: Corpus,
    source: &Path,
    options: &ImportOptions,
    out: &Path,
) -> anyhow::Result<Summary> {
    options.check(corpus)?;
    let is_manifest = out.extension().is_some_and(|extension| extension == "jsonl");
    if corpus.holds_sound(options) && is_manifest {
        bail!(
            "{}: a manifest, expected a folder (hint: the sound of {corpus} is written beside the \
             manifest)",
            out.display()
        );
    }
    output::write(out, is_manifest, |output| match corpus {
        Corpus::MustC => must_c::import(source, options, output),
        Corpus::Gigaspeech => gigaspeech::import(source, options, output),
        Corpus::SpokenSquad => spoken_squad::import(source, options, output),
        #[cfg(feature = "parquet")]
        Corpus::MlsSpeakerDescriptions => parquet::import_descriptions(source, options, output),
        #[cfg(feature = "parquet")]
        Corpus::Parquet => parquet::import(source, options, output),
        #[cfg(not(feature = "parquet"))]
        Corpus::MlsSpeakerDescriptions | Corpus::Parquet => bail!(
            "{corpus}: this program was built without parquet (hint: cargo build --features parquet)"
        ),
        Corpus::Shards => shards::import(source, options, output),
    })
}

impl Corpus {
    /// Whether sound is unpacked or joined, and so written.
    fn holds_sound(self, options: &ImportOptions) -> bool {
        match self {
            Self::MustC | Self::Gigaspeech => false,
            Self::SpokenSquad | Self::Parquet | Self::Shards => true,
            // A folder of MLS has its sound in files.
            Self::MlsSpeakerDescriptions => {
                !options.audio.as_deref().is_some_and(|audio| audio.join("segments.txt").is_file())
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::MustC => "must-c",
            Self::Gigaspeech => "gigaspeech",
            Self::SpokenSquad => "spoken-squad",
            Self::MlsSpeakerDescriptions => "mls-speaker-descriptions",
            Self::Parquet => "parquet",
            Self::Shards => "shards",
        }
    }
}

impl std::fmt::Display for Corpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl ImportOptions {
    /// Refuses an option that says nothing about `corpus`.
    fn check(&self, corpus: Corpus) -> anyhow::Result<()> {
        use Corpus::{Gigaspeech, MlsSpeakerDescriptions, MustC, Parquet, Shards, SpokenSquad};
        let given: [(&str, bool, &[Corpus]); 9] = [
            ("--split", !self.splits.is_empty(), &[MustC]),
            ("--language", !self.languages.is_empty(), &[MustC]),
            ("--subset", !self.subsets.is_empty(), &[Gigaspeech]),
            ("--audio", self.audio.is_some(), &[Gigaspeech, SpokenSquad, MlsSpeakerDescriptions]),
            ("--manifest", self.manifest.is_some(), &[Shards]),
            ("--extension", self.extension.is_some(), &[MustC, Gigaspeech]),
            ("--audio-column", self.audio_column.is_some(), &[Parquet, MlsSpeakerDescriptions]),
            (
                "--text-column",
                self.text_column.is_some(),
                &[Parquet, MlsSpeakerDescriptions, Shards],
            ),
            (
                "--skip-missing",
                self.skip_missing,
                &[MustC, Gigaspeech, SpokenSquad, MlsSpeakerDescriptions],
            ),
        ];
        for (option, is_given, takers) in given {
            if is_given && !takers.contains(&corpus) {
                let names: Vec<&str> = takers.iter().map(|taker| taker.name()).collect();
                bail!("{option}: not an option of {corpus}, expected with {}", names.join(", "));
            }
        }
        Ok(())
    }
}
