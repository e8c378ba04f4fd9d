//! Answers to questions about recordings: how likely the wanted ones are, and what is said.

use anyhow::ensure;
use model_zoo::decoding::{GenerateOptions, Strategy};
use model_zoo::llama::{LlamaInput, PaddingSide, PromptPart};
use model_zoo::projector::Projected;
use tensor_core::{Context, CrossEntropyOptions, Device, Tensor, cross_entropy};

use super::conversation::Conversation;
use super::model::SpeechLlm;

/// Vectors `(T, D)` with the tokens that are to be foretold.
pub struct Sequence {
    pub vectors: Tensor,
    /// Positions from 1 on, and the token at each.
    pub labels: Vec<(usize, u32)>,
}

impl SpeechLlm {
    /// Cross-entropy of the labelled tokens, each foretold at the position before it, summed.
    ///
    /// # Errors
    ///
    /// When a sequence is longer than the model allows.
    pub fn next_token_loss(&self, ctx: &Context, sequences: &[Sequence]) -> anyhow::Result<Tensor> {
        let lengths = || sequences.iter().map(|sequence| sequence.vectors.shape()[0]);
        let longest = lengths().max().unwrap_or(0);
        ensure!(
            longest <= self.longest,
            "a sequence has {longest} tokens and vectors, expected at most {} (hint: \
             llm.max_length, or shorter clips by data.max_duration_s)",
            self.longest
        );
        let (mut positions, mut labels) = (Vec::new(), Vec::new());
        for (b, sequence) in sequences.iter().enumerate() {
            for &(at, token) in &sequence.labels {
                positions.push(b * longest + at - 1);
                labels.push(i64::from(token));
            }
        }
        let rows: Vec<Tensor> = sequences.iter().map(|sequence| sequence.vectors.clone()).collect();
        let input = LlamaInput::from_embeds(&rows, PaddingSide::Right)?;
        let output = self.llm.forward(ctx, &input)?;
        let logits = self.llm.logits_at(ctx, &output.last_hidden_state, &positions)?;
        let count = labels.len();
        let labels = Tensor::from_vec(labels, &[count], Device::Cpu)?;
        Ok(cross_entropy(&logits, &labels, CrossEntropyOptions::default())?)
    }

    /// Cross-entropy of the answers of `conversations`, item by item about `speech`, summed.
    pub fn answer_loss(
        &self,
        ctx: &Context,
        speech: &Projected,
        conversations: &[Conversation],
    ) -> anyhow::Result<Tensor> {
        let sequences = conversations
            .iter()
            .enumerate()
            .map(|(b, conversation)| {
                let speech = speech.item(b)?;
                let Conversation { before, question, answer } = conversation;
                let start = before.len() + speech.shape()[0] + question.len();
                let parts = [
                    PromptPart::Tokens(before.clone()),
                    PromptPart::Vectors(speech),
                    PromptPart::Tokens([&question[..], answer].concat()),
                ];
                Ok(Sequence {
                    vectors: self.llm.embed_prompt(ctx, &parts)?,
                    labels: (start..).zip(answer.iter().copied()).collect(),
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.next_token_loss(ctx, &sequences)
    }

    /// What the model says to the questions of `conversations`, greedily, up to a line break.
    pub fn answers(
        &self,
        speech: &Projected,
        conversations: &[&Conversation],
        max_new_tokens: usize,
    ) -> anyhow::Result<Vec<String>> {
        let ctx = Context::eval();
        let rows = conversations
            .iter()
            .enumerate()
            .map(|(b, conversation)| {
                let parts = [
                    PromptPart::Tokens(conversation.before.clone()),
                    PromptPart::Vectors(speech.item(b)?),
                    PromptPart::Tokens(conversation.question.clone()),
                ];
                Ok(self.llm.embed_prompt(&ctx, &parts)?)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let prompts = LlamaInput::from_embeds(&rows, PaddingSide::Left)?;
        let mut eos_token_ids = self.llm.generation.eos_token_ids().to_vec();
        if !eos_token_ids.contains(&self.chat.end) {
            eos_token_ids.push(self.chat.end);
        }
        let options = GenerateOptions { strategy: Strategy::Greedy, max_new_tokens, eos_token_ids };
        let found = self.llm.generate(&ctx, &prompts, &[], &options)?;
        found
            .iter()
            .map(|best| {
                let ids = best.first().map_or(&[][..], |best| best.ids.as_slice());
                let text = self.chat.tokenizer.decode(ids, true)?;
                let text = text.trim_start();
                Ok(text.lines().next().unwrap_or("").trim_end().to_owned())
            })
            .collect()
    }
}
