//! One prompt, continued for every item of a batch, with Whisper's suppress lists.

use tensor_core::Context;

use super::encoder::EncoderOutput;
use super::model::Whisper;
use super::rows::WhisperRows;
use crate::decoding::{
    GenerateOptions, Hypothesis, Request, ScoreRule, Strategy, SuppressTokens,
    SuppressTokensAtBegin, generate,
};
use crate::error::{Result, ZooError};

/// How to continue a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct WhisperGenerateOptions {
    /// How tokens are chosen.
    pub strategy: Strategy,
    /// Tokens each transcript begins with; at least one.
    pub prompt_ids: Vec<u32>,
    /// Most tokens to add to the prompt, the end token included. The decoder's positions bound
    /// it too.
    pub max_new_tokens: usize,
    /// Tokens never generated.
    pub suppress_tokens: Vec<u32>,
    /// Tokens never generated right after the prompt.
    pub begin_suppress_tokens: Vec<u32>,
    /// Tokens that end a transcript.
    pub eos_token_ids: Vec<u32>,
}

impl Whisper {
    /// Continues the same prompt for every item of `memory`: an n-best list each, best first.
    ///
    /// An item's list does not depend on the batch it is in. Random streams are numbered as the items.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when the prompt is empty or too long, options of the
    /// strategy are out of range, or no token has a finite score.
    pub fn generate(
        &self,
        ctx: &Context,
        memory: &EncoderOutput,
        options: &WhisperGenerateOptions,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let longest = self.config.max_target_positions;
        let prompt_ids = &options.prompt_ids;
        if prompt_ids.is_empty() || prompt_ids.len() > longest {
            let detail =
                format!("prompt_ids has {} tokens, expected 1 to {longest}", prompt_ids.len());
            return Err(ZooError::option("whisper generate", detail));
        }
        let rules: [Box<dyn ScoreRule>; 2] = [
            Box::new(SuppressTokens(options.suppress_tokens.clone())),
            Box::new(SuppressTokensAtBegin(options.begin_suppress_tokens.clone())),
        ];
        let items = memory.last_hidden_state.shape()[0] as u64;
        let requests: Vec<Request> =
            (0..items).map(|stream| Request { prompt_ids: prompt_ids.clone(), stream }).collect();
        let options = GenerateOptions {
            strategy: options.strategy.clone(),
            max_new_tokens: options.max_new_tokens.min(longest - prompt_ids.len()),
            eos_token_ids: options.eos_token_ids.clone(),
        };
        let mut rows = WhisperRows::new(self, ctx, memory)?;
        generate(ctx, &mut rows, &requests, &rules, &options)
    }

    /// Options for [`generate`](Self::generate) as the folder states them: greedy decoding with
    /// the suppress lists, end tokens and longest transcript of `generation_config.json`, else of
    /// `config.json`.
    pub fn generate_options(&self, prompt_ids: Vec<u32>) -> WhisperGenerateOptions {
        let (generation, config) = (&self.generation, &self.config);
        let max_length = generation.max_length.unwrap_or(config.max_target_positions);
        WhisperGenerateOptions {
            strategy: Strategy::Greedy,
            max_new_tokens: max_length.saturating_sub(prompt_ids.len()),
            prompt_ids,
            suppress_tokens: generation.suppressed(),
            begin_suppress_tokens: generation.begin_suppressed(),
            eos_token_ids: generation
                .eos_token_id
                .as_ref()
                .map_or_else(|| vec![config.eos_token_id], |ids| ids.as_slice().to_vec()),
        }
    }
}
