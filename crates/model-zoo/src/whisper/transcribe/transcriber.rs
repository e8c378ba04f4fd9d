//! A model, its tokenizer and how they are used.

use super::options::DecodeOptions;
use crate::decoding::{ScoreRule, SuppressTokens, SuppressTokensAtBegin};
use crate::error::{Result, ZooError};
use crate::tokenizer::Tokenizer;
use crate::whisper::{
    Prompt, SECONDS_PER_TIMESTAMP, SpecialTokens, TimestampRules, Whisper, prompt_ids,
};

/// Decodes speech with one set of options.
#[derive(Debug, Clone)]
pub struct Transcriber<'a> {
    pub(super) model: &'a Whisper,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) tokens: SpecialTokens,
    pub(super) options: DecodeOptions,
}

impl<'a> Transcriber<'a> {
    /// `tokenizer` is the model's.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when options are out of range or contradict each
    /// other; [`Tokenizer`](crate::ErrorKind::Tokenizer) when the vocabulary has no start or end
    /// token, or lacks the language or the task.
    pub fn new(
        model: &'a Whisper,
        tokenizer: &'a Tokenizer,
        options: DecodeOptions,
    ) -> Result<Self> {
        options.check()?;
        let tokens = SpecialTokens::of(tokenizer)?;
        let transcriber = Self { model, tokenizer, tokens, options };
        if let Some(language) = &transcriber.options.language {
            transcriber.initial_tokens(language, &[])?;
        }
        Ok(transcriber)
    }

    /// The model's special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.tokens
    }

    /// The options it was made with.
    pub fn options(&self) -> &DecodeOptions {
        &self.options
    }

    /// Whether transcripts hold timestamps.
    pub fn has_timestamps(&self) -> bool {
        let within = |begin: u32| (begin as usize) < self.model.config.vocab_size;
        !self.options.without_timestamps && self.tokens.timestamp_begin().is_some_and(within)
    }

    /// Text of `ids` without special tokens and timestamps, white space kept.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](crate::ErrorKind::Tokenizer) when the decoder of `tokenizer.json` fails.
    pub fn text(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(&self.tokens.text_of(ids), true)
    }

    /// What a window's decoding begins with: the end of the text before it, behind
    /// `<|startofprev|>`, and the prompt. At most half of the decoder's positions are the past.
    pub(super) fn initial_tokens(&self, language: &str, previous: &[u32]) -> Result<Vec<u32>> {
        let task = self.options.task.as_str();
        let prompt = Prompt { language, task, timestamps: self.has_timestamps() };
        let prompt = prompt_ids(self.tokenizer, prompt)?;
        let mut ids = Vec::new();
        if let Some(sot_prev) = self.tokens.sot_prev.filter(|_| !previous.is_empty()) {
            ids.push(sot_prev);
            ids.extend(&previous[previous.len().saturating_sub(self.longest_past())..]);
        }
        ids.extend(prompt);
        let longest = self.model.config.max_target_positions;
        if ids.len() > longest {
            let detail = format!("prompt has {} tokens, expected at most {longest}", ids.len());
            return Err(ZooError::option("whisper decoding", detail));
        }
        Ok(ids)
    }

    /// Tokens of earlier text that a window is told, at most.
    pub(super) fn longest_past(&self) -> usize {
        (self.model.config.max_target_positions / 2).saturating_sub(1)
    }

    /// The rules of a window, in openai-whisper's order.
    pub(super) fn rules(&self) -> Vec<Box<dyn ScoreRule>> {
        let (options, generation) = (&self.options, &self.model.generation);
        let mut rules: Vec<Box<dyn ScoreRule>> = Vec::new();
        if options.suppress_blank {
            rules.push(Box::new(SuppressTokensAtBegin(generation.begin_suppressed())));
        }
        if !options.suppress_tokens.is_empty() {
            let mut ids = self.tokens.steering();
            for &id in &options.suppress_tokens {
                match u32::try_from(id) {
                    Ok(id) => ids.push(id),
                    Err(_) => ids.extend(generation.suppressed()),
                }
            }
            rules.push(Box::new(SuppressTokens(ids)));
        }
        if let Some(no_timestamps) = self.tokens.no_timestamps.filter(|_| self.has_timestamps()) {
            let index = |seconds: f64| (seconds / SECONDS_PER_TIMESTAMP).round() as usize;
            rules.push(Box::new(TimestampRules {
                eot: self.tokens.eot,
                no_timestamps,
                max_initial_timestamp_index: options.max_initial_timestamp.map(index),
            }));
        }
        rules
    }
}
