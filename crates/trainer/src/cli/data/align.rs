//! `data align`: when each word of a manifest's utterances ends.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value};

use crate::manifest::ManifestSpec;
use crate::systems;

/// Arguments of `data align`.
#[derive(Debug, Clone, Args)]
pub struct AlignArgs {
    /// Hugging Face folder of a HuBERT or wav2vec 2.0 model with a CTC head, or a run folder of the
    /// task `ctc`, or of `asr` with a `loss.ctc_weight`
    #[arg(value_name = "FOLDER_OR_RUN")]
    pub model: PathBuf,
    /// Manifest; with `file.jsonl#split=train` the lines of one split get times
    #[arg(long)]
    pub manifest: String,
    /// Manifest to write: all lines, with `word_ends` in seconds
    #[arg(long)]
    pub out: PathBuf,
}

/// Runs `data align`.
pub(super) fn run(args: &AlignArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let spec = ManifestSpec::parse(&args.manifest)?;
    anyhow::ensure!(
        spec.path.parent() == args.out.parent(),
        "{}: another folder than that of {}, expected the same (hint: paths of sound files count from it)",
        args.out.display(),
        spec.path.display()
    );
    let aligned = systems::align(&args.model, &args.manifest)?;
    let mut ends: HashMap<usize, Option<Vec<f64>>> =
        aligned.into_iter().map(|(utterance, ends)| (utterance.place.line, ends)).collect();
    let text = std::fs::read_to_string(&spec.path)
        .with_context(|| format!("{}: cannot read manifest", spec.path.display()))?;
    let (mut lines, mut with, mut without) = (String::new(), 0, 0);
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let Some(ends) = ends.remove(&(index + 1)) else {
            lines.push_str(line);
            lines.push('\n');
            continue;
        };
        let mut fields: Map<String, Value> = serde_json::from_str(line)?;
        match ends {
            // To 10 ms, the step of the features.
            Some(ends) => {
                let ends = ends.iter().map(|seconds| (seconds * 100.0).round() / 100.0);
                fields.insert("word_ends".into(), ends.collect::<Vec<f64>>().into());
                with += 1;
            }
            None => without += 1,
        }
        lines.push_str(&serde_json::to_string(&fields)?);
        lines.push('\n');
    }
    crate::atomic::write(&args.out, |file| Ok(file.write_all(lines.as_bytes())?))?;
    writeln!(
        out,
        "{}: {with} lines aligned, {without} whose text does not fit",
        args.out.display()
    )?;
    Ok(())
}
