//! Which language is spoken.

use tensor_core::Context;

use super::transcriber::Transcriber;
use crate::decoding::TokenModel;
use crate::error::Result;
use crate::whisper::{EncoderOutput, WhisperRows};

impl Transcriber<'_> {
    /// For each item of `memory`, all languages with their probabilities, likeliest first.
    ///
    /// The probabilities are those of the tokens that may follow `<|startoftranscript|>`, among
    /// the languages. English-only models know English alone.
    ///
    /// # Errors
    ///
    /// Errors of the model.
    ///
    /// # Source
    ///
    /// `detect_language` in `whisper/decoding.py` of openai-whisper 20250625.
    pub fn detect_language(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
    ) -> Result<Vec<Vec<(String, f64)>>> {
        let mut rows = WhisperRows::new(self.model, ctx, memory)?;
        self.languages_after_start(ctx, &mut rows, memory.last_hidden_state.shape()[0])
    }

    /// As [`detect_language`](Self::detect_language), for rows without tokens.
    pub(super) fn languages_after_start(
        &self,
        ctx: &Context,
        rows: &mut WhisperRows<'_>,
        n_rows: usize,
    ) -> Result<Vec<Vec<(String, f64)>>> {
        let languages = self.spoken_languages();
        if languages.is_empty() {
            return Ok(vec![vec![("en".to_owned(), 1.0)]; n_rows]);
        }
        let logits = rows.next(ctx, &vec![vec![self.tokens.sot]; n_rows])?;
        Ok((0..n_rows)
            .map(|row| {
                let score = |id: u32| f64::from(logits.row(row)[id as usize]);
                let top = languages.iter().map(|&(_, id)| score(id)).fold(f64::MIN, f64::max);
                let weights = languages.iter().map(|&(_, id)| (score(id) - top).exp());
                let sum: f64 = weights.clone().sum();
                let mut all: Vec<(String, f64)> = languages
                    .iter()
                    .zip(weights)
                    .map(|((code, _), weight)| (code.clone(), weight / sum))
                    .collect();
                all.sort_by(|a, b| b.1.total_cmp(&a.1));
                all
            })
            .collect())
    }

    /// The languages that the model was trained to tell apart.
    fn spoken_languages(&self) -> &[(String, u32)] {
        // English-only vocabularies have the tokens, but their models never saw one.
        let multilingual = self
            .initial_tokens("en", &[])
            .is_ok_and(|ids| self.tokens.languages.iter().any(|(_, id)| ids.contains(id)));
        if multilingual { &self.tokens.languages } else { &[] }
    }
}
