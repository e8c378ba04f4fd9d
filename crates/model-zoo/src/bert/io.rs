//! What goes into BERT and what comes out.

use std::iter::repeat_n;

use tensor_core::{Device, Tensor};

use crate::error::{Result, ZooError};

/// What BERT reads.
#[derive(Debug, Clone)]
pub struct BertInput {
    /// Tokens `(B, T)`, I64, `1 <= T <= max_position_embeddings`.
    pub input_ids: Tensor,
    /// `(B, T)`, I64, nonzero where a token may be attended to; `None`: everywhere.
    pub attention_mask: Option<Tensor>,
    /// Segments `(B, T)`, I64; `None`: all of the first.
    pub token_type_ids: Option<Tensor>,
    /// Whether to return the embedding and the state after every layer too.
    pub output_hidden_states: bool,
}

impl BertInput {
    /// Texts of unequal lengths, padded on the right with `pad` and masked there.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is no text or one is empty.
    pub fn from_ids(rows: &[Vec<u32>], pad: u32, device: Device) -> Result<Self> {
        if let Some(k) = rows.iter().position(Vec::is_empty) {
            let detail = format!("text {k} has no tokens, expected at least 1");
            return Err(ZooError::shape("bert input", detail));
        }
        let Some(longest) = rows.iter().map(Vec::len).max() else {
            return Err(ZooError::shape("bert input", "0 texts, expected at least 1"));
        };
        let shape = [rows.len(), longest];
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for row in rows {
            let padding = longest - row.len();
            ids.extend(row.iter().map(|&id| i64::from(id)));
            ids.extend(repeat_n(i64::from(pad), padding));
            mask.extend(repeat_n(1i64, row.len()).chain(repeat_n(0, padding)));
        }
        let padded = mask.contains(&0);
        Ok(Self {
            input_ids: Tensor::from_vec(ids, &shape, device)?,
            attention_mask: padded.then(|| Tensor::from_vec(mask, &shape, device)).transpose()?,
            token_type_ids: None,
            output_hidden_states: false,
        })
    }

    /// The same input, asking for all hidden states.
    pub fn with_hidden_states(mut self) -> Self {
        self.output_hidden_states = true;
        self
    }
}

/// What BERT found.
#[derive(Debug, Clone)]
pub struct BertOutput {
    /// State after the last layer, `(B, T, D)`.
    pub last_hidden_state: Tensor,
    /// On request: `L + 1` states, the embedding first.
    pub hidden_states: Vec<Tensor>,
    /// Attended tokens of each item.
    pub lengths: Vec<usize>,
}
