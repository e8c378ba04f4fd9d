//! `data import`: a published corpus as a manifest.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::import::{Corpus, ImportOptions, import};

/// Arguments of `data import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// What the corpus comes as
    #[arg(long = "from", value_enum)]
    pub from: Corpus,
    /// The corpus: a folder or a file
    pub source: PathBuf,
    /// Manifest to write (FILE.jsonl), or a new folder for manifest.jsonl and the sound beside it
    #[arg(long)]
    pub out: PathBuf,
    /// Split of MuST-C; may be given more than once. Default: all
    #[arg(long = "split")]
    pub splits: Vec<String>,
    /// Target language of MuST-C, such as `de`; may be given more than once, and pairs are joined.
    /// Default: all
    #[arg(long = "language")]
    pub languages: Vec<String>,
    /// Subset of GigaSpeech, such as `M`; may be given more than once. Default: all
    #[arg(long = "subset")]
    pub subsets: Vec<String>,
    /// Where the sound is: the folder that GigaSpeech's paths count from, the sentences of
    /// Spoken-SQuAD, or what speaker descriptions are joined with, a folder of MLS or parquet
    #[arg(long)]
    pub audio: Option<PathBuf>,
    /// Extension that sound files were converted to, such as `flac`
    #[arg(long)]
    pub extension: Option<String>,
    /// Column of parquet that holds the sound. Default: audio
    #[arg(long)]
    pub audio_column: Option<String>,
    /// Column or field that holds the transcript. Default: text, sentence, transcription,
    /// transcript, normalized_text or raw_text, the first that is there
    #[arg(long)]
    pub text_column: Option<String>,
    /// Manifest of shards that hold sound alone, whose `audio_filepath` names an entry, as NeMo's
    /// tarred data sets have it
    #[arg(long)]
    pub manifest: Option<PathBuf>,
    /// Leave out what has no sound file, and count it
    #[arg(long)]
    pub skip_missing: bool,
}

/// Runs `data import`.
pub(super) fn run(args: &ImportArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let options = ImportOptions {
        splits: args.splits.clone(),
        languages: args.languages.clone(),
        subsets: args.subsets.clone(),
        audio: args.audio.clone(),
        extension: args.extension.clone(),
        audio_column: args.audio_column.clone(),
        text_column: args.text_column.clone(),
        manifest: args.manifest.clone(),
        skip_missing: args.skip_missing,
    };
    let summary = import(args.from, &args.source, &options, &args.out)?;
    writeln!(out, "{}: {summary}", args.out.display())?;
    Ok(())
}
