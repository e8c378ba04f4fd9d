//! Model folders: which family one holds, what to do with one of another, what decides its states,
//! and a language model with an adapter beside it.

use std::path::Path;

use anyhow::{Context as _, bail};
use model_zoo::llama::Llama;
use model_zoo::lora::{LoraAdapter, LoraConfig};
use model_zoo::{LoadOptions, ModelKind, Tokenizer, WeightForm};

use crate::recipe::{Lora, resolve_path};

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

/// A hash of what decides the states of a model: settings and weights, in shards or whole.
///
/// # Errors
///
/// When the folder or a file of it cannot be read.
pub(crate) fn content_hash(dir: &Path) -> anyhow::Result<String> {
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("{}: cannot list the model", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let decides = ["config.json", "preprocessor_config.json"].contains(&name.as_str())
            || name.ends_with(".safetensors");
        names.extend(decides.then_some(name));
    }
    names.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for name in names {
        let path = dir.join(name);
        std::fs::File::open(&path)
            .and_then(|file| hasher.update_reader(file).map(|_| ()))
            .with_context(|| format!("{}: cannot read", path.display()))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The language model of `dir`, whose weights stay as they are stored, with a fresh adapter beside it
/// unless `lora.r` is 0.
pub(crate) fn open_llama_beside(
    dir: &str,
    lora: &Lora,
    seed: u64,
) -> anyhow::Result<(Llama, Option<LoraAdapter>)> {
    let options = LoadOptions { weights: WeightForm::AsStored, seed, ..LoadOptions::default() };
    let path = resolve_path(dir);
    if lora.r == 0 {
        return Ok((Llama::open(&path, options)?, None));
    }
    let config = LoraConfig {
        base_model_name_or_path: Some(dir.to_owned()),
        target_modules: lora.target_modules.clone(),
        r: lora.r,
        lora_alpha: lora.lora_alpha,
        lora_dropout: lora.lora_dropout,
        ..LoraConfig::default()
    };
    let (model, adapter) = Llama::open_with_lora(&path, options, &config)?;
    Ok((model, Some(adapter)))
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
    fn the_hash_sees_every_shard_and_setting() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for name in ["config.json", "a.safetensors", "b.safetensors", "README.md"] {
            std::fs::write(dir.join(name), name).unwrap();
        }
        let mut seen = vec![content_hash(dir).unwrap()];
        std::fs::write(dir.join("README.md"), "other").unwrap();
        assert_eq!(content_hash(dir).unwrap(), seen[0]);
        for name in ["config.json", "a.safetensors", "b.safetensors"] {
            std::fs::write(dir.join(name), "other").unwrap();
            let hash = content_hash(dir).unwrap();
            assert!(!seen.contains(&hash), "{name}");
            seen.push(hash);
        }
    }

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
