//! Scores for speech and text models: word and character error rate, classification,
//! correlation and retrieval.
//!
//! The one idea: a score is only comparable when its rules are the published ones, so each
//! module names the library whose behaviour it matches (jiwer, sacrebleu, scikit-learn, scipy) and is
//! held to that library's own output in `tests/golden`. What those libraries leave to a
//! warning (empty references, constant inputs, absent classes, ties) is defined here.
//!
//! | module | holds | matches |
//! |---|---|---|
//! | [`edit`] | Levenshtein distance and alignment | rapidfuzz |
//! | [`error_rate`] | WER, CER, pooled and per utterance | jiwer 4 |
//! | [`normalize`] | versioned text normalisers | `RemovePunctuation` of jiwer |
//! | [`bleu`](mod@bleu), [`chrf`](mod@chrf) | scores of translations | sacrebleu 2.6 |
//! | [`question_answer`](mod@question_answer) | exact match and F1 of answers | SQuAD 1.1 |
//! | [`classification`] | accuracy, confusion, F1 | scikit-learn |
//! | [`multi_label`] | subset and per-label accuracy, F1 | scikit-learn |
//! | [`correlation`] | Pearson, Spearman | scipy |
//! | [`retrieval`] | mean and median rank, R@k, MRR | `scipy.stats.rankdata` |
//!
//! The crate depends on nothing, holds no `unsafe`, never prints and never panics on input.
//!
//! ```
//! use speech_metrics::{Normalizer, wer};
//!
//! let score = wer(&["The cat sat."], &["the cat sad"], Normalizer::Basic)?;
//! assert_eq!(score.counts.substitutions, 1);
//! assert_eq!(score.corpus, 1.0 / 3.0);
//! # Ok::<(), speech_metrics::MetricError>(())
//! ```
#![forbid(unsafe_code)]

pub mod bleu;
pub mod chrf;
pub mod classification;
pub mod correlation;
pub mod edit;
mod error;
mod error_counts;
pub mod error_rate;
pub mod multi_label;
mod ngrams;
pub mod normalize;
mod punctuation;
pub mod question_answer;
pub mod retrieval;
mod tokenize_13a;

pub use bleu::{Bleu, bleu};
pub use chrf::chrf;
pub use classification::Confusion;
pub use correlation::{pearson, spearman};
pub use error::{ErrorKind, MetricError};
pub use error_counts::ErrorCounts;
pub use error_rate::{ErrorRate, cer, wer};
pub use multi_label::MultiLabel;
pub use normalize::Normalizer;
pub use question_answer::{QuestionAnswer, question_answer};
pub use retrieval::{Retrieval, Ties};
pub use tokenize_13a::tokenize_13a;
