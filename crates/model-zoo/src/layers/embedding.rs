//! Rows of a table by id.

use tensor_core::{Context, DType, Tensor, Var};

use crate::error::Result;
use crate::weights::{Builder, Init};

/// A table `(V, D)` of vectors.
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: Var,
    padding_idx: Option<u32>,
}

impl Embedding {
    /// A table drawn from a normal distribution.
    pub fn new(builder: &Builder, rows: usize, width: usize, std: f64) -> Result<Self> {
        let weight = builder.get("weight", &[rows, width], Init::Normal(std))?;
        Ok(Self { weight, padding_idx: None })
    }

    /// As [`new`](Self::new), with a padding row that starts at zero and that looking up does
    /// not train, as `torch.nn.Embedding` has it. A tied projection still trains it.
    pub fn with_padding(
        builder: &Builder,
        rows: usize,
        width: usize,
        std: f64,
        padding_idx: Option<u32>,
    ) -> Result<Self> {
        let padding_idx = padding_idx.filter(|&row| (row as usize) < rows);
        let init = match padding_idx {
            Some(row) => Init::NormalExceptRow { std, row: row as usize },
            None => Init::Normal(std),
        };
        Ok(Self { weight: builder.get("weight", &[rows, width], init)?, padding_idx })
    }

    /// The table `(V, D)`.
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// Ids `(..)`, I64, to vectors `(.., D)`; in f32 when the table is kept in bf16 or f16.
    pub fn forward(&self, ctx: &Context, ids: &Tensor) -> tensor_core::Result<Tensor> {
        let found = ctx.param(&self.weight).embedding(ids)?;
        let found = match found.dtype() {
            DType::BF16 | DType::F16 => found.to_dtype(DType::F32)?,
            _ => found,
        };
        let Some(padding) = self.padding_idx.filter(|_| found.requires_grad()) else {
            return Ok(found);
        };
        let is_padding: Vec<u8> =
            ids.to_vec::<i64>()?.iter().map(|&id| u8::from(id == i64::from(padding))).collect();
        if !is_padding.contains(&1) {
            return Ok(found);
        }
        let mut shape = ids.shape().to_vec();
        shape.push(1);
        let mask =
            Tensor::from_vec(is_padding, &shape, ids.device())?.broadcast_to(found.shape())?;
        Tensor::where_cond(&mask, &found.detach(), &found)
    }
}
