//! What goes into LLaMA and what comes out.

use tensor_core::{Device, Tensor};

use super::cache::LlamaCache;
use super::config::LlamaConfig;
use crate::error::{Result, ZooError};

/// What stands at each position.
#[derive(Debug, Clone)]
pub enum LlamaTokens {
    /// Tokens `(B, T)`, I64.
    InputIds(Tensor),
    /// Vectors `(B, T, D)` in place of token embeddings, such as projected speech; see
    /// [`Llama::embed_prompt`](super::Llama::embed_prompt).
    InputsEmbeds(Tensor),
}

impl LlamaTokens {
    /// Number of rows; 0 of a tensor without dimensions.
    pub fn batch(&self) -> usize {
        let (Self::InputIds(tokens) | Self::InputsEmbeds(tokens)) = self;
        tokens.shape().first().copied().unwrap_or(0)
    }
}

/// Where shorter rows of a batch are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaddingSide {
    /// In front, so that all rows end together: for prompts that are continued.
    Left,
    /// Behind.
    Right,
}

/// What LLaMA reads.
#[derive(Debug, Clone)]
pub struct LlamaInput {
    /// `B` rows of `T` positions; with a cache only those that it has not seen.
    pub tokens: LlamaTokens,
    /// `(B, T)`, nonzero where a position may be attended to; `None`: everywhere. What stands
    /// behind a zero is never read, on whichever side it is.
    pub attention_mask: Option<Tensor>,
    /// Positions `(B, T)`, I64, for the rotation; `None`: attended positions are counted from 0,
    /// or on from where the cache ends, as `generate` of `transformers` does.
    pub position_ids: Option<Tensor>,
    /// Whether to return the embedding and the state after every layer too.
    pub output_hidden_states: bool,
}

impl LlamaInput {
    /// Tokens or vectors without padding.
    pub fn new(tokens: LlamaTokens) -> Self {
        Self { tokens, attention_mask: None, position_ids: None, output_hidden_states: false }
    }

    /// Texts of unequal lengths, padded and masked on one side.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is no text or one is empty.
    pub fn from_ids(rows: &[Vec<u32>], side: PaddingSide, device: Device) -> Result<Self> {
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let (longest, attention_mask) = padded(&lengths, side, device)?;
        let mut ids = Vec::with_capacity(rows.len() * longest);
        for row in rows {
            let text = row.iter().map(|&id| i64::from(id));
            // Which token pads is of no account: it is never read.
            let padding = std::iter::repeat_n(0, longest - row.len());
            match side {
                PaddingSide::Left => ids.extend(padding.chain(text)),
                PaddingSide::Right => ids.extend(text.chain(padding)),
            }
        }
        let ids = Tensor::from_vec(ids, &[rows.len(), longest], device)?;
        Ok(Self { attention_mask, ..Self::new(LlamaTokens::InputIds(ids)) })
    }

    /// Vectors `(T, D)` of unequal lengths, padded and masked on one side; gradients flow back to
    /// each.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is none, one is empty, or their widths differ.
    pub fn from_embeds(rows: &[Tensor], side: PaddingSide) -> Result<Self> {
        if let Some(row) = rows.iter().find(|row| row.rank() != 2) {
            let detail = format!("vectors are {:?}, expected (T, D)", row.shape());
            return Err(ZooError::shape("llama input", detail));
        }
        let lengths: Vec<usize> = rows.iter().map(|row| row.shape()[0]).collect();
        let device = rows.first().map_or(Device::Cpu, Tensor::device);
        let (longest, attention_mask) = padded(&lengths, side, device)?;
        let equal = rows
            .iter()
            .map(|row| {
                let shape = [longest - row.shape()[0], row.shape()[1]];
                let padding = Tensor::zeros(&shape, row.dtype(), device)?;
                match side {
                    _ if shape[0] == 0 => Ok(row.clone()),
                    PaddingSide::Left => Tensor::cat(&[&padding, row], 0),
                    PaddingSide::Right => Tensor::cat(&[row, &padding], 0),
                }
            })
            .collect::<tensor_core::Result<Vec<_>>>()?;
        let vectors = Tensor::stack(&equal.iter().collect::<Vec<_>>(), 0)?;
        Ok(Self { attention_mask, ..Self::new(LlamaTokens::InputsEmbeds(vectors)) })
    }

    /// The same input, asking for all hidden states.
    pub fn with_hidden_states(mut self) -> Self {
        self.output_hidden_states = true;
        self
    }
}

/// What LLaMA found.
#[derive(Debug, Clone)]
pub struct LlamaOutput {
    /// State after the final norm, `(B, T, D)`.
    pub last_hidden_state: Tensor,
    /// On request: `L + 1` states, the embedding first, `last_hidden_state` last.
    pub hidden_states: Vec<Tensor>,
    /// Attended positions of each row.
    pub lengths: Vec<usize>,
    /// Place `b * T + t` of each row's last attended position, for
    /// [`Llama::logits_at`](super::Llama::logits_at).
    pub last_positions: Vec<usize>,
}

/// The longest length, and the mask `(B, T)`, I64, unless all are equal.
fn padded(lengths: &[usize], side: PaddingSide, device: Device) -> Result<(usize, Option<Tensor>)> {
    let place = "llama input";
    if let Some(k) = lengths.iter().position(|&n| n == 0) {
        let detail = format!("row {k} has no positions, expected at least 1");
        return Err(ZooError::shape(place, detail));
    }
    let Some(&longest) = lengths.iter().max() else {
        return Err(ZooError::shape(place, "0 rows, expected at least 1"));
    };
    if lengths.iter().all(|&n| n == longest) {
        return Ok((longest, None));
    }
    let attended = |n: usize, t: usize| match side {
        PaddingSide::Left => t >= longest - n,
        PaddingSide::Right => t < n,
    };
    let mask: Vec<i64> = lengths
        .iter()
        .flat_map(|&n| (0..longest).map(move |t| i64::from(attended(n, t))))
        .collect();
    Ok((longest, Some(Tensor::from_vec(mask, &[lengths.len(), longest], device)?)))
}

/// An input's extents, mask and positions, checked.
pub(super) struct Layout {
    pub tokens: usize,
    /// Which of the new positions may be attended to.
    pub attended: Vec<Vec<bool>>,
    /// For the rotation.
    pub positions: Vec<Vec<i64>>,
}

impl Layout {
    /// Of `input`, which follows what `cache` has seen.
    pub fn new(input: &LlamaInput, config: &LlamaConfig, cache: &LlamaCache) -> Result<Self> {
        let place = "llama";
        let [batch, tokens] = extents(&input.tokens, config.hidden_size)?;
        if !cache.is_empty() && cache.batch() != batch {
            let detail =
                format!("input has {batch} rows, expected {} as in the cache", cache.batch());
            return Err(ZooError::shape(place, detail));
        }
        let attended = match &input.attention_mask {
            None => vec![vec![true; tokens]; batch],
            Some(mask) => {
                check_like("attention_mask", mask, [batch, tokens])?;
                let values = mask.to_vec_f64()?;
                let rows = values.chunks(tokens);
                rows.map(|row| row.iter().map(|&seen| seen != 0.0).collect()).collect()
            }
        };
        let longest = config.longest_input();
        for (b, row) in attended.iter().enumerate() {
            let total = cache.attended_in(b) + row.iter().filter(|&&seen| seen).count();
            if total > longest {
                let detail = format!("{total} positions, expected 1 to {longest}");
                let hint = "shorten the prompt; max_position_embeddings of config.json bounds it";
                return Err(ZooError::shape(place, detail).hint(hint));
            }
        }
        let positions = match &input.position_ids {
            Some(ids) => {
                check_like("position_ids", ids, [batch, tokens])?;
                ids.to_vec::<i64>()?.chunks(tokens).map(<[i64]>::to_vec).collect()
            }
            None => {
                let count = |(b, row): (usize, &Vec<bool>)| {
                    let mut next = cache.next_position(b);
                    let step = |&seen: &bool| {
                        next += i64::from(seen);
                        // Padding stands at 0 or where its neighbour does; nothing reads it.
                        (next - 1).max(0)
                    };
                    row.iter().map(step).collect()
                };
                attended.iter().enumerate().map(count).collect()
            }
        };
        Ok(Self { tokens, attended, positions })
    }

    /// Whether some position is padding.
    pub fn is_padded(&self) -> bool {
        self.attended.iter().flatten().any(|&seen| !seen)
    }

    /// Attended positions of each row.
    pub fn lengths(&self) -> Vec<usize> {
        self.attended.iter().map(|row| row.iter().filter(|&&seen| seen).count()).collect()
    }

    /// Place `b * T + t` of each row's last attended position; its last if it attends to none.
    pub fn last_positions(&self) -> Vec<usize> {
        let last = |row: &Vec<bool>| row.iter().rposition(|&seen| seen).unwrap_or(self.tokens - 1);
        self.attended.iter().enumerate().map(|(b, row)| b * self.tokens + last(row)).collect()
    }
}

fn extents(tokens: &LlamaTokens, hidden_size: usize) -> Result<[usize; 2]> {
    let (name, shape, expected) = match tokens {
        LlamaTokens::InputIds(ids) => ("input_ids", ids.shape(), "(B, T)".to_owned()),
        LlamaTokens::InputsEmbeds(vectors) => {
            ("inputs_embeds", vectors.shape(), format!("(B, T, {hidden_size})"))
        }
    };
    match (tokens, shape) {
        (LlamaTokens::InputIds(_), &[batch, tokens]) if batch * tokens > 0 => Ok([batch, tokens]),
        (LlamaTokens::InputsEmbeds(_), &[batch, tokens, width])
            if batch * tokens > 0 && width == hidden_size =>
        {
            Ok([batch, tokens])
        }
        _ => {
            let detail = format!("{name} is {shape:?}, expected {expected} of at least 1 by 1");
            Err(ZooError::shape("llama", detail))
        }
    }
}

fn check_like(name: &str, tensor: &Tensor, expected: [usize; 2]) -> Result<()> {
    if tensor.shape() == expected {
        return Ok(());
    }
    let detail = format!("{name} is {:?}, expected {expected:?}", tensor.shape());
    Err(ZooError::shape("llama", detail))
}
