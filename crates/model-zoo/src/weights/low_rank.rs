//! Updates of low rank beside frozen weights.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tensor_core::{Context, Tensor, Var};

use super::init::Init;
use crate::error::Result;

/// Which linear layers have an update, and of which form.
#[derive(Debug, Clone)]
pub(crate) struct LowRankPlan {
    /// Names of layers, or ends of names from a dot on.
    pub targets: Vec<String>,
    pub rank: usize,
    pub scaling: f64,
    pub dropout: f64,
}

/// `s B A`, beside a weight `(out, in)` that stays as it is.
#[derive(Debug, Clone)]
pub(crate) struct LowRank {
    /// `(rank, in)`.
    a: Var,
    /// `(out, rank)`.
    b: Var,
    scaling: f64,
    dropout: f64,
    /// Whether the weight holds the update.
    merged: Arc<AtomicBool>,
}

impl LowRank {
    /// A fresh update of a weight `[outputs, inputs]`, which changes nothing; `fresh` makes its
    /// parameters by name.
    pub fn new(
        plan: &LowRankPlan,
        [outputs, inputs]: [usize; 2],
        mut fresh: impl FnMut(&str, &[usize], Init) -> Result<Var>,
    ) -> Result<Self> {
        let &LowRankPlan { rank, scaling, dropout, .. } = plan;
        Ok(Self {
            a: fresh("lora_A.weight", &[rank, inputs], Init::fan_in(inputs))?,
            b: fresh("lora_B.weight", &[outputs, rank], Init::Zeros)?,
            scaling,
            dropout,
            merged: Arc::default(),
        })
    }

    /// `y + s B A dropout(x)`, where `y` is what the weight makes of `x` `(.., in)`.
    pub fn add_to(&self, ctx: &Context, x: &Tensor, y: Tensor) -> tensor_core::Result<Tensor> {
        if self.is_merged() {
            return Ok(y);
        }
        let dropped = match self.dropout > 0.0 {
            true => ctx.dropout(x, self.dropout)?,
            false => x.clone(),
        };
        let inner = dropped.linear(&ctx.weight(&self.a)?, None)?.mul_scalar(self.scaling)?;
        y.add(&inner.linear(&ctx.weight(&self.b)?, None)?)
    }

    /// The weight with the update in it, in its own dtype.
    pub fn added_to(&self, weight: &Tensor) -> tensor_core::Result<Tensor> {
        let update = self.b.value().matmul(&self.a.value())?.mul_scalar(self.scaling)?;
        let wide = weight.to_dtype(update.dtype())?;
        wide.add(&update)?.to_dtype(weight.dtype())
    }

    /// Notes that the weight holds the update.
    pub fn set_merged(&self) {
        self.merged.store(true, Ordering::Relaxed);
    }

    /// Whether the weight holds the update.
    pub fn is_merged(&self) -> bool {
        self.merged.load(Ordering::Relaxed)
    }
}
