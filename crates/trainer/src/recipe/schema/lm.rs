//! `[lm]`: the documents of a language model.

use serde::{Deserialize, Serialize};

/// `[lm]`: the documents that `lm` learns to write, several of each manifest line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lm {
    /// One document a line and template: text with `{field}` where fields of the line go, and with
    /// the special tokens of the tokenizer. The start token comes before it by itself.
    pub templates: Vec<String>,
    /// Text after which the answer of a document begins: test gives the model all up to there and
    /// compares what it writes with the rest; "" compares nothing.
    pub answer_after: String,
}
