//! Residual blocks through a narrow layer, behind frozen linear layers.

use tensor_core::{Context, Tensor, Var};

use super::init::Init;
use crate::error::Result;

/// `norm_eps` of the norm before a block: torch's default.
const NORM_EPS: f64 = 1e-5;

/// How narrow a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BottleneckWidth {
    /// So many vectors wide, whatever the layer's width.
    Size(usize),
    /// The layer's width over this, at least 1.
    Reduction(usize),
}

impl BottleneckWidth {
    /// Width behind a layer of `width` outputs.
    pub fn of(self, width: usize) -> usize {
        match self {
            Self::Size(size) => size,
            Self::Reduction(factor) => (width / factor.max(1)).max(1),
        }
    }
}

/// Which linear layers have a block behind them, and of which form.
#[derive(Debug, Clone)]
pub(crate) struct BottleneckPlan {
    /// Names of layers, or ends of names from a dot on.
    pub targets: Vec<String>,
    /// Those of them that have none.
    pub excluded: Vec<String>,
    pub width: BottleneckWidth,
    pub non_linearity: fn(&Tensor) -> tensor_core::Result<Tensor>,
    pub scaling: f64,
    pub dropout: f64,
    pub ln_before: bool,
}

/// `y + s up(f(down(LayerNorm(y))))`, where the norm may be left out.
#[derive(Debug, Clone)]
pub(crate) struct Bottleneck {
    /// Gain and bias.
    norm: Option<[Var; 2]>,
    /// Weight `(m, d)` and bias.
    down: [Var; 2],
    /// Weight `(d, m)` and bias.
    up: [Var; 2],
    non_linearity: fn(&Tensor) -> tensor_core::Result<Tensor>,
    scaling: f64,
    dropout: f64,
}

impl Bottleneck {
    /// A fresh block behind a layer of `width` outputs, which changes nothing; `fresh` makes its
    /// parameters by name.
    pub fn new(
        plan: &BottleneckPlan,
        width: usize,
        mut fresh: impl FnMut(&str, &[usize], Init) -> Result<Var>,
    ) -> Result<Self> {
        let inner = plan.width.of(width);
        let norm = match plan.ln_before {
            true => Some([
                fresh("adapter_norm_before.weight", &[width], Init::Ones)?,
                fresh("adapter_norm_before.bias", &[width], Init::Zeros)?,
            ]),
            false => None,
        };
        Ok(Self {
            norm,
            down: [
                fresh("adapter_down.weight", &[inner, width], Init::fan_in(width))?,
                fresh("adapter_down.bias", &[inner], Init::Zeros)?,
            ],
            up: [
                fresh("adapter_up.weight", &[width, inner], Init::Zeros)?,
                fresh("adapter_up.bias", &[width], Init::Zeros)?,
            ],
            non_linearity: plan.non_linearity,
            scaling: plan.scaling,
            dropout: plan.dropout,
        })
    }

    /// `y` `(.., d)`, what the layer made, to `(.., d)`.
    pub fn forward(&self, ctx: &Context, y: Tensor) -> tensor_core::Result<Tensor> {
        let x = match &self.norm {
            Some([gain, bias]) => y.layer_norm(&ctx.param(gain), &ctx.param(bias), NORM_EPS)?,
            None => y.clone(),
        };
        let map = |x: &Tensor, [weight, bias]: &[Var; 2]| {
            ctx.cast(x)?.linear(&ctx.weight(weight)?, Some(&ctx.weight(bias)?))
        };
        let mut inner = (self.non_linearity)(&map(&x, &self.down)?)?;
        if self.dropout > 0.0 {
            inner = ctx.dropout(&inner, self.dropout)?;
        }
        y.add(&map(&inner, &self.up)?.mul_scalar(self.scaling)?)
    }
}
