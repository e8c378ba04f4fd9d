//! Questions about recordings and their answers, in the chat format of a language model.
//!
//! ```text
//! BEFORE  speech  QUESTION  ANSWER END
//! ```
//!
//! Speech is at the front of the user's turn, as arXiv 2412.15712 trains; the loss is on the answer
//! and its end alone.

use anyhow::{Context as _, ensure};
use model_zoo::Tokenizer;
use model_zoo::llama::{Llama, Message, Role, chat_ids};

/// A question about a recording and its answer, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Before the speech, from the start token on.
    pub before: Vec<u32>,
    /// Between the speech and the answer.
    pub question: Vec<u32>,
    /// The answer and its end.
    pub answer: Vec<u32>,
}

impl Conversation {
    /// Positions beside those of the speech.
    pub fn tokens(&self) -> usize {
        self.before.len() + self.question.len() + self.answer.len()
    }
}

/// How turns are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// That of Llama 3.1.
    Headers,
    /// `<|im_start|>ROLE`, as SmolLM2 has it.
    ChatMl,
    /// A line each, for models that were never taught to chat. The end of a line ends an answer: all
    /// of them know it, and some were never shown an end of text.
    Lines,
}

/// The tokenizer and chat format of a language model.
pub struct ChatFormat {
    pub tokenizer: Tokenizer,
    form: Form,
    /// Begins sequences that are no chat.
    pub start: u32,
    /// Ends an answer.
    pub end: u32,
    system: String,
}

impl ChatFormat {
    /// What the tokens of `tokenizer` allow; `system` is said before each question unless empty.
    ///
    /// # Errors
    ///
    /// When the model has no token that ends an answer.
    pub fn new(tokenizer: Tokenizer, llm: &Llama, system: &str) -> anyhow::Result<Self> {
        let has = |token: &str| tokenizer.token_to_id(token);
        let first = |ids: &[u32]| ids.first().copied();
        let config = &llm.config;
        let start = config.bos_token_id.as_ref().and_then(|ids| first(ids.as_slice()));
        let (form, end) = if has("<|start_header_id|>").is_some() {
            (Form::Headers, has("<|eot_id|>"))
        } else if has("<|im_start|>").is_some() {
            (Form::ChatMl, has("<|im_end|>"))
        } else {
            let eos = config.eos_token_id.as_ref().and_then(|ids| first(ids.as_slice()));
            (Form::Lines, line_end(&tokenizer)?.or(eos))
        };
        let end =
            end.context("llm.dir: no token ends a text, expected eos_token_id in its config")?;
        // A model without a start token begins as it goes on after an end.
        let start = start.unwrap_or(end);
        Ok(Self { tokenizer, form, start, end, system: system.trim().to_owned() })
    }

    /// Tokens of a text by itself, without a start or an end.
    pub fn text(&self, text: &str) -> anyhow::Result<Vec<u32>> {
        Ok(self.tokenizer.encode(text, false)?)
    }

    /// `question` about a recording, and `answer`.
    ///
    /// # Errors
    ///
    /// When the tokenizer lacks a token of the format.
    pub fn conversation(&self, question: &str, answer: &str) -> anyhow::Result<Conversation> {
        let (question, answer) = (question.trim(), answer.trim());
        ensure!(!answer.is_empty(), "answer is empty, expected a text");
        let mut said = self.text(answer)?;
        said.push(self.end);
        let (before, question) = match self.form {
            Form::Headers => self.headers(question)?,
            Form::ChatMl => self.chat_ml(question)?,
            Form::Lines => self.lines(question)?,
        };
        Ok(Conversation { before, question, answer: said })
    }

    fn headers(&self, question: &str) -> anyhow::Result<(Vec<u32>, Vec<u32>)> {
        let mut messages = Vec::new();
        if !self.system.is_empty() {
            messages.push(Message::new(Role::System, self.system.clone()));
        }
        messages.push(Message::new(Role::User, format!("<audio>\n{question}")));
        let chat = chat_ids(&self.tokenizer, &messages, true)?;
        let at = *chat.audio_positions.first().context("a question without a place for speech")?;
        Ok((chat.input_ids[..at].to_vec(), chat.input_ids[at..].to_vec()))
    }

    fn chat_ml(&self, question: &str) -> anyhow::Result<(Vec<u32>, Vec<u32>)> {
        let marks = |token: &str| {
            self.tokenizer
                .token_to_id(token)
                .with_context(|| format!("tokenizer: no token `{token}`, expected one for a chat"))
        };
        let (open, close) = (marks("<|im_start|>")?, marks("<|im_end|>")?);
        let mut before = Vec::new();
        if !self.system.is_empty() {
            before.push(open);
            before.extend(self.text(&format!("system\n{}", self.system))?);
            before.push(close);
            before.extend(self.text("\n")?);
        }
        before.push(open);
        before.extend(self.text("user\n")?);
        let mut after = self.text(&format!("\n{question}"))?;
        after.push(close);
        after.extend(self.text("\n")?);
        after.push(open);
        after.extend(self.text("assistant\n")?);
        Ok((before, after))
    }

    fn lines(&self, question: &str) -> anyhow::Result<(Vec<u32>, Vec<u32>)> {
        let mut before = vec![self.start];
        if !self.system.is_empty() {
            before.extend(self.text(&format!("{}\n", self.system))?);
        }
        Ok((before, self.text(&format!("\n{question}\n"))?))
    }
}

/// The token that ends a line, where one token does. Some tokenizers put a space before any text.
fn line_end(tokenizer: &Tokenizer) -> anyhow::Result<Option<u32>> {
    let Some(&last) = tokenizer.encode("\n", false)?.last() else { return Ok(None) };
    Ok((tokenizer.decode(&[last], false)? == "\n").then_some(last))
}
