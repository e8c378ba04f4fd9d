//! Continuing prompts by any strategy of [`decoding`](crate::decoding).

use tensor_core::Context;

use super::cache::LlamaCache;
use super::io::{Layout, LlamaInput, LlamaTokens};
use super::model::Llama;
use super::session::LlamaSession;
use crate::decoding::{GenerateOptions, Hypothesis, Request, ScoreRule, generate};
use crate::error::Result;

/// Stands for a prompt of vectors where tokens are asked for: no rule knows it.
const NO_TOKEN: u32 = u32::MAX;

impl Llama {
    /// Continues every row of `prompts`, which may be padded on either side.
    ///
    /// Returns an n-best list for each row, best first. The model's positions bound the length
    /// too. Random streams are numbered as the rows. Of prompts of unequal length `rules` see as
    /// many last tokens as the shortest has, of vectors nothing.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward) and [`generate`](crate::decoding::generate).
    pub fn generate(
        &self,
        ctx: &Context,
        prompts: &LlamaInput,
        rules: &[Box<dyn ScoreRule>],
        options: &GenerateOptions,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        self.generate_from(ctx, LlamaCache::new(), prompts, rules, options)
    }

    /// As [`generate`](Self::generate), from a cache that has seen no text.
    pub(crate) fn generate_from(
        &self,
        ctx: &Context,
        cache: LlamaCache,
        prompts: &LlamaInput,
        rules: &[Box<dyn ScoreRule>],
        options: &GenerateOptions,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let layout = Layout::new(prompts, &self.config, &cache)?;
        let lengths = layout.lengths();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let room = self.config.longest_input().saturating_sub(longest);
        let options =
            GenerateOptions { max_new_tokens: options.max_new_tokens.min(room), ..options.clone() };
        let shown = lengths.iter().copied().min().unwrap_or(0).max(1);
        let requests = match &prompts.tokens {
            LlamaTokens::InputIds(ids) => {
                let ids = ids.to_vec::<i64>()?;
                let rows = ids.chunks(layout.tokens).zip(&layout.attended);
                rows.map(|(row, attended)| {
                    let seen = row.iter().zip(attended).filter(|(_, seen)| **seen);
                    let seen: Vec<u32> = seen.map(|(&id, _)| id as u32).collect();
                    match seen.is_empty() {
                        true => vec![NO_TOKEN; shown],
                        false => seen[seen.len() - shown..].to_vec(),
                    }
                })
                .collect()
            }
            LlamaTokens::InputsEmbeds(_) => vec![vec![NO_TOKEN]; layout.attended.len()],
        };
        let requests: Vec<Request> = (0..)
            .zip(requests)
            .map(|(stream, prompt_ids)| Request { prompt_ids, stream })
            .collect();
        let mut session = LlamaSession::with_cache(self, cache).having_read(ctx, prompts)?;
        generate(ctx, &mut session, &requests, rules, &options)
    }
}
