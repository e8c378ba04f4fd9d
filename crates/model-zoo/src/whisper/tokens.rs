//! Whisper's prompt tokens, and how labels become decoder inputs.

use crate::error::{ErrorKind, Result, ZooError};
use crate::tokenizer::Tokenizer;

/// What the decoder is told before it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// Language code, such as `en`.
    pub language: &'a str,
    /// `transcribe`, or `translate` into English.
    pub task: &'a str,
    /// Whether the transcript may hold timestamps.
    pub timestamps: bool,
}

impl Default for Prompt<'_> {
    /// English transcription without timestamps.
    fn default() -> Self {
        Self { language: "en", task: "transcribe", timestamps: false }
    }
}

/// Id of `<|startoftranscript|>` in the published English-only vocabularies, one below its
/// multilingual id.
const ENGLISH_ONLY_START: u32 = 50_257;

/// Ids of `<|startoftranscript|><|LANGUAGE|><|TASK|><|notimestamps|>`, looked up by name.
///
/// Small vocabularies lack the later tokens; those that exist are used. A vocabulary that has
/// languages must have the one asked for. The published English-only vocabularies have language
/// and task tokens too, but their models never saw one: they are given neither.
///
/// # Errors
///
/// [`Tokenizer`](ErrorKind::Tokenizer) when there is no `<|startoftranscript|>`, the vocabulary
/// has language tokens but not this one, or it is English-only and something else than English
/// transcription is asked for.
///
/// # Source
///
/// `get_tokenizer` and `get_encoding` in `whisper/tokenizer.py` of openai/whisper, commit 0efe52a.
pub fn prompt_ids(tokenizer: &Tokenizer, prompt: Prompt<'_>) -> Result<Vec<u32>> {
    let id = |name: &str| tokenizer.token_to_id(&format!("<|{name}|>"));
    let refuse = |detail: String| ZooError::new(ErrorKind::Tokenizer, "whisper prompt", detail);
    let Some(start) = id("startoftranscript") else {
        let detail = "vocabulary has no `<|startoftranscript|>`, expected that of a Whisper model";
        return Err(refuse(detail.into()).hint("does tokenizer.json belong to this folder"));
    };
    let quiet = if prompt.timestamps { None } else { id("notimestamps") };
    if start == ENGLISH_ONLY_START {
        if (prompt.language, prompt.task) != ("en", "transcribe") {
            let Prompt { language, task, .. } = prompt;
            return Err(refuse(format!(
                "vocabulary is English-only, expected `en` and `transcribe`, got `{language}` \
                 and `{task}`"
            ))
            .hint("a model whose name does not end in .en knows other languages"));
        }
        return Ok([Some(start), quiet].into_iter().flatten().collect());
    }
    let language = id(prompt.language);
    // Every multilingual vocabulary has English; without it there is no language to choose.
    if language.is_none() && id("en").is_some() {
        let detail = format!(
            "language is `{0}`, expected a code that the vocabulary has as `<|{0}|>`",
            prompt.language
        );
        return Err(refuse(detail).hint("codes are those of ISO 639-1, such as `en` and `de`"));
    }
    Ok([Some(start), language, id(prompt.task), quiet].into_iter().flatten().collect())
}

/// Decoder inputs for `labels`: one row shifted right by one place.
///
/// `start` comes first, the last label goes, and negative labels (not scored) become `pad`.
pub fn shift_tokens_right(labels: &[i64], pad: u32, start: u32) -> Vec<i64> {
    let before = &labels[..labels.len().saturating_sub(1)];
    let mut inputs = Vec::with_capacity(labels.len());
    if !labels.is_empty() {
        inputs.push(i64::from(start));
    }
    inputs.extend(before.iter().map(|&id| if id < 0 { i64::from(pad) } else { id }));
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_the_labels_one_place_later() {
        assert_eq!(shift_tokens_right(&[5, 6, 7, -100, -100], 1, 3), [3, 5, 6, 7, 1]);
        assert_eq!(shift_tokens_right(&[5], 1, 3), [3]);
        assert!(shift_tokens_right(&[], 1, 3).is_empty());
    }
}
