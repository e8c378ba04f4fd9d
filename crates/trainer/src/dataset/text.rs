//! Transcripts as token ids.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use model_zoo::Tokenizer;

use crate::manifest::Utterance;
use crate::recipe::{Data, Model, resolve_path};

/// Opens the tokenizer a recipe names: `model.tokenizer`, else the one in `model.dir`.
pub fn open_tokenizer(model: &Model) -> anyhow::Result<(Tokenizer, PathBuf)> {
    let written = if model.tokenizer.is_empty() { &model.dir } else { &model.tokenizer };
    ensure!(
        !written.is_empty(),
        "recipe: model.tokenizer is empty and so is model.dir (hint: name a folder with a \
         tokenizer.json)"
    );
    let path = resolve_path(written);
    let folder = match path.file_name() {
        Some(name) if name == "tokenizer.json" => path.parent().unwrap_or(Path::new(".")).into(),
        _ => path,
    };
    Ok((Tokenizer::open(&folder)?, folder))
}

/// The text of an utterance as the recipe wants it.
///
/// # Errors
///
/// Names the manifest line when it has no such field.
pub fn text_of<'a>(utterance: &'a Utterance, data: &Data) -> anyhow::Result<Cow<'a, str>> {
    let text = utterance.field(&data.text_field).with_context(|| {
        format!(
            "{}: no field `{}` (hint: data.text_field names the field that holds the text)",
            utterance.place, data.text_field
        )
    })?;
    Ok(if data.lowercase { Cow::Owned(text.to_lowercase()) } else { text })
}
