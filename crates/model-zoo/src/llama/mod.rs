//! LLaMA: a causal language model, of which all generations have one form.
//!
//! Touvron et al. 2023, arXiv:2302.13971 and arXiv:2307.09288; Grattafiori et al. 2024,
//! arXiv:2407.21783. Arithmetic and names follow `LlamaForCausalLM` of `transformers`. Prompts may
//! hold vectors among their tokens, such as those of speech.

mod cache;
mod chat;
mod config;
mod generate;
mod generation_config;
mod io;
mod layer;
mod model;
mod names;
mod prompt;
mod rope;
mod rope_parameters;
mod session;

pub use cache::LlamaCache;
pub use chat::{AUDIO, ChatIds, Message, Role, chat_ids};
pub use config::LlamaConfig;
pub use generation_config::LlamaGenerationConfig;
pub use io::{LlamaInput, LlamaOutput, LlamaTokens, PaddingSide};
pub use model::Llama;
pub use prompt::PromptPart;
pub use rope_parameters::RopeParameters;
pub use session::LlamaSession;
