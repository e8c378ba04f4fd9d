//! HuBERT and wav2vec 2.0: raw speech to frames of hidden states, and a CTC head on them.
//!
//! Hsu et al. 2021, arXiv:2106.07447, and Baevski et al. 2020, arXiv:2006.11477; arithmetic and
//! names follow `HubertModel`, `HubertForCTC` and their `Wav2Vec2` twins of `transformers`. The
//! two families differ in their training, not in the encoder, so one type serves both.

mod config;
mod ctc;
mod feature_encoder;
mod io;
mod layer;
mod model;
mod names;
mod positions;
mod preprocessor;
mod spec_augment;

pub use config::{FeatExtractNorm, HubertConfig, SpeechFamily};
pub use ctc::HubertCtc;
pub use io::{HubertInput, HubertOutput};
pub use model::Hubert;
pub use preprocessor::Preprocessor;
