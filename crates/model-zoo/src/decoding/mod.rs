//! Decoding: what continues a row of tokens, for any model that scores the next one.
//!
//! A model is a [`TokenModel`]: it is fed the tokens that each row has gained and gives the logits of
//! what follows. Everything else is here, and knows nothing of speech or of layers.

mod token_model;

pub use token_model::{Logits, TokenModel};
