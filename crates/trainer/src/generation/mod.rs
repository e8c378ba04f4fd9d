//! Prompts continued by a LLaMA folder.
//!
//! ```text
//! prompt -> tokens -> prefill: one pass over all of them -> decode: one pass a token -> text
//! ```
//!
//! Each prompt is continued alone: rules see the whole of it, and no other prompt changes its
//! tokens. [`TextGenerator`] does the work and measures it; [`Delivery`] writes what came of it.

mod delivery;
mod options;
mod stream;
mod usage;

use std::time::Instant;

use anyhow::{Context as _, ensure};
use model_zoo::decoding::{GenerateOptions, Hypothesis, Request, ScoreRule, Strategy, generate};
use model_zoo::llama::{
    AUDIO, Llama, LlamaInput, LlamaSession, Message, PaddingSide, Role, chat_ids,
};
use model_zoo::{LoadOptions, ModelKind, Tokenizer};
use tensor_core::{Context, Device};

pub(crate) use self::delivery::{Delivery, Format};
pub(crate) use self::options::{Chat, Options, SampleOptions, Search};
use self::stream::{TextStream, Watched, text_after};
pub(crate) use self::usage::Usage;
use crate::model_folder::expect_kind;

/// What ends a message of a chat.
const END_OF_TURN: &str = "<|eot_id|>";

/// What came of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generated {
    /// Best first, never empty.
    pub(crate) hypotheses: Vec<Written>,
    pub(crate) usage: Usage,
}

/// One continuation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    /// What follows the prompt, without special tokens.
    pub(crate) text: String,
    pub(crate) found: Hypothesis,
}

/// A model with everything it takes to continue text.
pub(crate) struct TextGenerator<'a> {
    options: &'a Options,
    model: Llama,
    tokenizer: Tokenizer,
    rules: Vec<Box<dyn ScoreRule>>,
    generate: GenerateOptions,
    ctx: Context,
}

impl<'a> TextGenerator<'a> {
    /// Opens the folder.
    ///
    /// # Errors
    ///
    /// Names the option that is out of range, and what the folder lacks.
    pub(crate) fn open(options: &'a Options) -> anyhow::Result<Self> {
        options.check()?;
        expect_kind(&options.model, &[ModelKind::Llama])?;
        let load = LoadOptions { weights: options.weights, ..LoadOptions::default() };
        let model = Llama::open(&options.model, load)?;
        let tokenizer = model.open_tokenizer(&options.model)?;
        let mut eos_token_ids = model.generation.eos_token_ids().to_vec();
        if options.chat.is_some() {
            // Refused before the first prompt is read.
            chat_ids(&tokenizer, &[], true)
                .with_context(|| format!("{}: --chat", options.model.display()))?;
            eos_token_ids.extend(tokenizer.token_to_id(END_OF_TURN));
        }
        let generate = GenerateOptions {
            strategy: options.search.strategy(&model.generation),
            max_new_tokens: options.max_new_tokens,
            eos_token_ids,
        };
        let (rules, ctx) = (options.rules(), Context::eval());
        Ok(Self { options, model, tokenizer, rules, generate, ctx })
    }

    /// Whether text can be shown as it is made: there is one row, and what it says stays.
    pub(crate) fn streams(&self) -> bool {
        match &self.generate.strategy {
            Strategy::Greedy => true,
            Strategy::Sample(sampling) => sampling.num_return_sequences == 1,
            Strategy::Beam(_) | Strategy::PatientBeam(_) => false,
        }
    }

    /// Continues prompt number `number`, which is also that of its random streams. `tell` gets the
    /// text piece by piece where it [`streams`](Self::streams), else nothing.
    ///
    /// # Errors
    ///
    /// When the prompt has no tokens or leaves no room for another; those of `tell` and the model.
    pub(crate) fn generate(
        &self,
        number: u64,
        prompt: &str,
        tell: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Generated> {
        let prompt_ids = self.prompt_ids(prompt)?;
        let longest = self.model.config.longest_input();
        ensure!(
            !prompt_ids.is_empty(),
            "prompt is empty, expected at least 1 token (hint: this tokenizer puts none before a \
             text)"
        );
        ensure!(
            prompt_ids.len() < longest,
            "prompt has {} tokens, expected fewer than {longest}, the positions of the model (hint: \
             shorten it; max_position_embeddings of config.json bounds prompt and text together)",
            prompt_ids.len()
        );
        // The last token is never fed, and yet it is kept within the positions, as `transformers`
        // keeps it.
        let options = GenerateOptions {
            max_new_tokens: self.generate.max_new_tokens.min(longest - prompt_ids.len()),
            ..self.generate.clone()
        };
        let input = LlamaInput::from_ids(
            std::slice::from_ref(&prompt_ids),
            PaddingSide::Left,
            Device::Cpu,
        )?;
        let began = Instant::now();
        let session = LlamaSession::prompted(&self.ctx, &self.model, &input)?;
        let prefill_s = began.elapsed().as_secs_f64();

        let mut stream = TextStream::new(&self.tokenizer, &prompt_ids, tell);
        let streams = self.streams();
        let mut watched = Watched::new(session, |ids: &[Vec<u32>]| match ids {
            [row] if streams => stream.push(row),
            _ => Ok(()),
        });
        let requests = [Request { prompt_ids: prompt_ids.clone(), stream: number }];
        let began = Instant::now();
        let lists = generate(&self.ctx, &mut watched, &requests, &self.rules, &options)?;
        let decode_s = began.elapsed().as_secs_f64();
        let new_tokens = watched.tokens();
        let usage = Usage { prompt_tokens: prompt_ids.len(), prefill_s, new_tokens, decode_s };

        let mut hypotheses = lists.into_iter().next().unwrap_or_default();
        hypotheses.truncate(self.options.search.num_return_sequences());
        let written = hypotheses.into_iter().map(|found| {
            let text = text_after(&self.tokenizer, &prompt_ids, &found.ids)?;
            Ok(Written { text, found })
        });
        let hypotheses = written.collect::<anyhow::Result<Vec<_>>>()?;
        if let (true, [only]) = (streams, hypotheses.as_slice()) {
            stream.finish(&only.text)?;
        }
        Ok(Generated { hypotheses, usage })
    }

    fn prompt_ids(&self, prompt: &str) -> anyhow::Result<Vec<u32>> {
        let Some(chat) = &self.options.chat else {
            return Ok(self.tokenizer.encode(prompt, true)?);
        };
        ensure!(
            !prompt.contains(AUDIO),
            "prompt has a place for speech, `{AUDIO}`, expected text alone (hint: leave it out)"
        );
        let system = chat.system.as_ref().map(|text| Message::new(Role::System, text));
        let user = Message::new(Role::User, prompt);
        let messages: Vec<Message> = system.into_iter().chain([user]).collect();
        Ok(chat_ids(&self.tokenizer, &messages, true)?.input_ids)
    }
}
