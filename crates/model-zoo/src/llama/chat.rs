//! The chat format of Llama-3.1-Instruct, with a place for speech.
//!
//! ```text
//! <|begin_of_text|>
//! <|start_header_id|>ROLE<|end_header_id|> \n\n TEXT <|eot_id|>        for each message
//! <|start_header_id|>assistant<|end_header_id|> \n\n                   when an answer is wanted
//! ```
//!
//! Nothing is added to a system message, as *Contrastive Learning for Task-Independent
//! SpeechLLM-Pretraining* (arXiv:2412.15712) trains; the template that Meta publishes also writes
//! dates into it. A user's `<audio>` moves to the front of the message, on a line of its own, and
//! is no token: vectors are put in its place.

use std::ops::Range;

use tensor_core::Tensor;

use super::prompt::PromptPart;
use crate::error::{ErrorKind, Result, ZooError};
use crate::tokenizer::Tokenizer;

/// What stands for speech in the text of a message.
pub const AUDIO: &str = "<audio>";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sets the scene.
    System,
    /// Asks.
    User,
    /// Answers.
    Assistant,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; white space around it is dropped.
    pub content: String,
}

impl Message {
    /// `content` said by `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// A chat as tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatIds {
    /// All tokens, from `<|begin_of_text|>` on.
    pub input_ids: Vec<u32>,
    /// Where speech belongs: before the token of that index, ascending.
    pub audio_positions: Vec<usize>,
    /// The tokens of each answer, `<|eot_id|>` included: what a model is trained to say.
    pub answers: Vec<Range<usize>>,
}

/// The tokens of `messages`; with `add_generation_prompt` an answer is to follow.
///
/// # Errors
///
/// [`Tokenizer`](ErrorKind::Tokenizer) when the tokenizer lacks a token of the format.
///
/// # Examples
///
/// ```no_run
/// use model_zoo::Tokenizer;
/// use model_zoo::llama::{Message, Role, chat_ids};
///
/// let tokenizer = Tokenizer::open("models/llama-3.1-8b-instruct".as_ref())?;
/// let question = Message::new(Role::User, "<audio>\nCan you transcribe this audio?");
/// let chat = chat_ids(&tokenizer, &[question], true)?;
/// assert_eq!(chat.audio_positions.len(), 1);
/// # Ok::<(), model_zoo::ZooError>(())
/// ```
pub fn chat_ids(
    tokenizer: &Tokenizer,
    messages: &[Message],
    add_generation_prompt: bool,
) -> Result<ChatIds> {
    let format = Format::new(tokenizer)?;
    let mut chat = ChatIds { input_ids: vec![format.begin_of_text], ..ChatIds::default() };
    for Message { role, content } in messages {
        format.open(&mut chat, *role)?;
        let said = chat.input_ids.len();
        let n_audio = content.matches(AUDIO).count();
        chat.audio_positions.extend(std::iter::repeat_n(said, n_audio));
        let text = content.replace(AUDIO, "");
        let line_break = if n_audio > 0 { "\n" } else { "" };
        let text = format!("{line_break}{}", text.trim());
        chat.input_ids.extend(tokenizer.encode(&text, false)?);
        chat.input_ids.push(format.eot);
        if *role == Role::Assistant {
            chat.answers.push(said..chat.input_ids.len());
        }
    }
    if add_generation_prompt {
        format.open(&mut chat, Role::Assistant)?;
    }
    Ok(chat)
}

impl ChatIds {
    /// The chat as a prompt, with `audio` `(N, D)` in its places, in order.
    ///
    /// # Errors
    ///
    /// [`Shape`](ErrorKind::Shape) when there are more or fewer of them than places.
    pub fn parts(&self, audio: &[Tensor]) -> Result<Vec<PromptPart>> {
        if audio.len() != self.audio_positions.len() {
            let (got, places) = (audio.len(), self.audio_positions.len());
            let detail = format!("{got} recordings, expected {places} as places for them");
            return Err(ZooError::shape("chat", detail).hint("write <audio> where speech belongs"));
        }
        let mut parts = Vec::new();
        let mut start = 0;
        for (&at, vectors) in self.audio_positions.iter().zip(audio) {
            parts.push(PromptPart::Tokens(self.input_ids[start..at].to_vec()));
            parts.push(PromptPart::Vectors(vectors.clone()));
            start = at;
        }
        parts.push(PromptPart::Tokens(self.input_ids[start..].to_vec()));
        Ok(parts)
    }
}

/// The tokens that hold a chat together.
struct Format<'a> {
    tokenizer: &'a Tokenizer,
    begin_of_text: u32,
    start_header: u32,
    end_header: u32,
    eot: u32,
}

impl<'a> Format<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Result<Self> {
        let id = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| {
                let detail = format!("no token `{token}`, expected one for the chat format");
                let hint = "the format is that of Llama-3.1-Instruct";
                ZooError::new(ErrorKind::Tokenizer, "chat", detail).hint(hint)
            })
        };
        Ok(Self {
            begin_of_text: id("<|begin_of_text|>")?,
            start_header: id("<|start_header_id|>")?,
            end_header: id("<|end_header_id|>")?,
            eot: id("<|eot_id|>")?,
            tokenizer,
        })
    }

    /// Begins a message. Its text never begins with white space, so that the line breaks are the
    /// same tokens with it and alone.
    fn open(&self, chat: &mut ChatIds, role: Role) -> Result<()> {
        chat.input_ids.push(self.start_header);
        chat.input_ids.extend(self.tokenizer.encode(role.name(), false)?);
        chat.input_ids.push(self.end_header);
        chat.input_ids.extend(self.tokenizer.encode("\n\n", false)?);
        Ok(())
    }
}
