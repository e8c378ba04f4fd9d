//! Which family a model folder holds, and what to do with one of another.

use std::path::Path;

use anyhow::{Context as _, bail};
use model_zoo::{ModelKind, Tokenizer};

/// The family of `dir`, which must be one of `expected`.
///
/// # Errors
///
/// Names the folder, both families, and the command that takes the one that is there; also when
/// the folder is no model folder.
pub(crate) fn expect_kind(dir: &Path, expected: &[ModelKind]) -> anyhow::Result<ModelKind> {
    let found = ModelKind::detect(dir)?;
    if expected.contains(&found) {
        return Ok(found);
    }
    let names: Vec<&str> = expected.iter().map(|&kind| name(kind)).collect();
    bail!(
        "{}: folder holds a {} model, expected {} (hint: {})",
        dir.display(),
        name(found),
        names.join(" or "),
        match found {
            ModelKind::Whisper => "`transcribe` and `encode` take this one",
            ModelKind::Llama => "`generate` and `encode` take this one",
            ModelKind::Bert | ModelKind::Hubert | ModelKind::Wav2Vec2 => "`encode` takes this one",
        }
    )
}

/// The tokenizer of `dir`, whose ids must all be below the model's `vocab_size`.
pub(crate) fn open_tokenizer(dir: &Path, vocab_size: usize) -> anyhow::Result<Tokenizer> {
    let tokenizer = Tokenizer::open(dir)?;
    let place = || dir.join("tokenizer.json").display().to_string();
    tokenizer.expect_within(vocab_size).with_context(place)?;
    Ok(tokenizer)
}

fn name(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Whisper => "Whisper",
        ModelKind::Bert => "BERT",
        ModelKind::Llama => "LLaMA",
        ModelKind::Hubert => "HuBERT",
        ModelKind::Wav2Vec2 => "wav2vec 2.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_family_is_named_with_the_command_that_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for (model_type, said) in [
            (
                "whisper",
                "a Whisper model, expected LLaMA or BERT (hint: `transcribe` and `encode` take this one)",
            ),
            ("hubert", "a HuBERT model, expected LLaMA or BERT (hint: `encode` takes this one)"),
        ] {
            let config = format!("{{\"model_type\": \"{model_type}\"}}");
            std::fs::write(dir.join("config.json"), config).unwrap();
            let error = expect_kind(dir, &[ModelKind::Llama, ModelKind::Bert]).unwrap_err();
            assert_eq!(error.to_string(), format!("{}: folder holds {said}", dir.display()));
            assert!(expect_kind(dir, &[ModelKind::Whisper, ModelKind::Hubert]).is_ok());
        }
    }
}
