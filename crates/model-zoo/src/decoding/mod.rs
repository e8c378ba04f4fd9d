//! Decoding: what continues a row of tokens, for any model that scores the next one.
//!
//! A model is a [`TokenModel`]: it is fed the tokens that each row has gained and gives the logits of
//! what follows. [`generate`] does the rest, and knows nothing of speech or of layers.
//!
//! | item                          | what it is                                              |
//! |-------------------------------|---------------------------------------------------------|
//! | [`generate`]                  | continues items until they end: n-best lists            |
//! | [`Strategy`]                  | greedy, [`Sampling`], [`BeamSearch`], [`PatientBeamSearch`] |
//! | [`ScoreRule`]                 | forbids or discourages tokens                           |
//! | [`Hypothesis`]                | a continuation with its scores                          |
//!
//! Items never see each other: an item gives what it gives alone, and its rows leave the batch
//! when they end. Each sampled row reads a random stream of its own.

mod beam;
mod candidates;
mod generate;
mod hypothesis;
mod patience;
mod rules;
mod sampling;
mod search;
mod token_model;
mod trajectories;

pub use beam::{BeamSearch, EarlyStopping};
pub use generate::{GenerateOptions, Strategy, generate};
pub use hypothesis::Hypothesis;
pub use patience::PatientBeamSearch;
pub use rules::{
    NoRepeatNgram, Prefix, RepetitionPenalty, ScoreRule, SuppressTokens, SuppressTokensAtBegin,
};
pub use sampling::Sampling;
pub use search::Request;
pub use token_model::{Logits, TokenModel};
