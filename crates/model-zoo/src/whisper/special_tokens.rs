//! Whisper's special tokens, looked up by name.

use crate::error::{ErrorKind, Result, ZooError};
use crate::tokenizer::Tokenizer;

/// Seconds between two timestamp tokens, which is one position of the encoder: two frames.
pub const SECONDS_PER_TIMESTAMP: f64 = 0.02;

/// What a vocabulary has beside text. Small vocabularies lack some; nothing is assumed about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `<|startoftranscript|>`.
    pub sot: u32,
    /// `<|endoftext|>`.
    pub eot: u32,
    /// `<|translate|>`.
    pub translate: Option<u32>,
    /// `<|transcribe|>`.
    pub transcribe: Option<u32>,
    /// `<|startoflm|>`.
    pub sot_lm: Option<u32>,
    /// `<|startofprev|>`: earlier text follows.
    pub sot_prev: Option<u32>,
    /// `<|nospeech|>`, in older vocabularies `<|nocaptions|>`.
    pub no_speech: Option<u32>,
    /// `<|notimestamps|>`; `<|0.00|>` is the next one.
    pub no_timestamps: Option<u32>,
    /// Codes of the languages, such as `en`, with their tokens, ascending.
    pub languages: Vec<(String, u32)>,
    /// Special tokens as the tokenizer lists them, ascending.
    special: Vec<u32>,
}

impl SpecialTokens {
    /// Those of `tokenizer`.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when it has no `<|startoftranscript|>` or no
    /// `<|endoftext|>`.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        let id = |name: &str| tokenizer.token_to_id(&format!("<|{name}|>"));
        let needed = |name: &str| {
            id(name).ok_or_else(|| {
                let detail =
                    format!("vocabulary has no `<|{name}|>`, expected that of a Whisper model");
                ZooError::new(ErrorKind::Tokenizer, "whisper", detail)
                    .hint("does tokenizer.json belong to this folder")
            })
        };
        let (sot, eot, translate) =
            (needed("startoftranscript")?, needed("endoftext")?, id("translate"));
        // Languages stand between the start and the tasks.
        let languages = (sot + 1..translate.unwrap_or(sot))
            .filter_map(|id| {
                let name = tokenizer.id_to_token(id)?;
                let code = name.strip_prefix("<|")?.strip_suffix("|>")?;
                (code != "transcribe").then(|| (code.to_owned(), id))
            })
            .collect();
        Ok(Self {
            sot,
            eot,
            translate,
            transcribe: id("transcribe"),
            sot_lm: id("startoflm"),
            sot_prev: id("startofprev"),
            no_speech: id("nospeech").or_else(|| id("nocaptions")),
            no_timestamps: id("notimestamps"),
            languages,
            special: tokenizer.special_ids(),
        })
    }

    /// `<|0.00|>`.
    pub fn timestamp_begin(&self) -> Option<u32> {
        self.no_timestamps.map(|id| id + 1)
    }

    /// Number of the timestamp that `id` is, in steps of [`SECONDS_PER_TIMESTAMP`].
    pub fn timestamp(&self, id: u32) -> Option<usize> {
        id.checked_sub(self.timestamp_begin()?).map(|steps| steps as usize)
    }

    /// Whether `id` is part of the text.
    pub fn is_text(&self, id: u32) -> bool {
        self.timestamp(id).is_none() && self.special.binary_search(&id).is_err()
    }

    /// The tokens of `ids` that are text.
    pub fn text_of(&self, ids: &[u32]) -> Vec<u32> {
        ids.iter().copied().filter(|&id| self.is_text(id)).collect()
    }

    /// Tokens that steer decoding and are never part of a transcript, as openai-whisper forbids
    /// them whatever else is.
    pub(super) fn steering(&self) -> Vec<u32> {
        let all = [
            Some(self.sot),
            self.translate,
            self.transcribe,
            self.sot_lm,
            self.sot_prev,
            self.no_speech,
        ];
        all.into_iter().flatten().collect()
    }
}
