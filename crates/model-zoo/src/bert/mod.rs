//! BERT: a bidirectional text encoder and the heads that are trained on it.
//!
//! Devlin et al. 2018, arXiv:1810.04805; arithmetic and names follow `BertModel`,
//! `BertForMaskedLM` and `BertForSequenceClassification` of `transformers`.

mod config;
mod embeddings;
mod encoder_layer;
mod heads;
mod io;
mod masked_lm;
mod model;
mod names;
mod sequence_classifier;

pub use config::BertConfig;
pub use heads::Pooler;
pub use io::{BertInput, BertOutput};
pub use masked_lm::MaskedLm;
pub use model::Bert;
pub use sequence_classifier::SequenceClassifier;
