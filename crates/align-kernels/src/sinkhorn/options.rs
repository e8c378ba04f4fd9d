//! What to compute and how.

use crate::error::{KernelError, Result, positive};
use crate::gradient_sides::GradientSides;

/// Which items of `x` meet which items of `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pairing {
    /// Item `k` of `x` with item `k` of `y`: `B` pairs.
    #[default]
    Paired,
    /// Every item of `x` with every item of `y`, `x` outermost: pair `(k, l)` is number `k B_y + l`.
    AllPairs,
    /// Items in so many blocks of equal numbers, one after another, and every item of `x` with every item
    /// of `y` of its block: layers of one batch. Pairs are numbered block after block, as all pairs in each.
    Blocks(usize),
}

/// What it costs to move one unit of mass from `x` to `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cost {
    /// `|x - y|^2 / 2`: GeomLoss's `p = 2`.
    #[default]
    SqEuclidean,
    /// `1 - <x, y> / (|x| |y|)`. A vector shorter than 1e-8 has cosine 0 with everything, and no gradient.
    Cosine,
    /// `sqrt(max(|x - y|^2, 1e-8))`: GeomLoss's `p = 1`. No gradient where the bound holds.
    Euclidean,
}

impl Cost {
    /// The power `p` in `eps = blur^p` and `rho = reach^p`.
    pub fn power(self) -> i32 {
        match self {
            Self::Euclidean => 1,
            Self::SqEuclidean | Self::Cosine => 2,
        }
    }
}

/// What is done to the iteration so that fewer of them are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acceleration {
    /// Nothing: each update fits its marginal, as in other libraries.
    Plain,
    /// Updates go past the fit once their rate is known, after ten iterations.
    #[default]
    OverRelaxation,
    /// Anderson's combination of up to `memory` (5 or 6 is usual) of the last steps. Often needs fewer
    /// iterations than over-relaxation at small temperatures, each a little dearer; a step that raises
    /// the marginal error is taken back.
    Anderson {
        /// Steps that are combined, 1 or more.
        memory: usize,
    },
}

/// Iterations at one temperature until the marginals fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fixed {
    /// Entropic temperature, in units of the cost.
    pub eps: f64,
    /// Most iterations of a pair, each one update of `g` and one of `f`.
    pub max_iters: usize,
    /// A pair stops once its L1 marginal error is at or below this. 0 runs all iterations.
    pub tol: f64,
    /// How the solution is reached in fewer iterations. Short of convergence the potentials differ
    /// from those of plain iterations.
    pub acceleration: Acceleration,
}

impl Default for Fixed {
    fn default() -> Self {
        Self { eps: 0.05, max_iters: 1000, tol: 1e-4, acceleration: Acceleration::OverRelaxation }
    }
}

/// What `SamplesLoss("sinkhorn")` of GeomLoss computes: a falling temperature, one averaged update each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeomLoss {
    /// Length scale of the last temperature, `eps = blur^p`.
    pub blur: f64,
    /// Ratio of successive length scales, within (0, 1).
    pub scaling: f64,
    /// Length scale of the first temperature. `None` measures each pair: the diagonal of the box around
    /// both clouds, as GeomLoss does.
    pub diameter: Option<f64>,
}

impl Default for GeomLoss {
    fn default() -> Self {
        Self { blur: 0.05, scaling: 0.5, diameter: None }
    }
}

/// How potentials are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// One temperature until convergence.
    Fixed(Fixed),
    /// The schedule of GeomLoss.
    GeomLoss(GeomLoss),
}

/// Everything about a call but its data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Which items meet.
    pub pairing: Pairing,
    /// Cost between points.
    pub cost: Cost,
    /// How potentials are found.
    pub mode: Mode,
    /// Length scale beyond which mass is rather lost than moved: penalties `rho = reach^p`. `None` is
    /// balanced.
    pub reach: Option<f64>,
    /// Whether half of each cloud's problem with itself is taken off, so that equal clouds are at 0.
    pub debias: bool,
    /// Whether the plans are returned.
    pub plan: bool,
    /// Whether each point of `x` is returned as a mean of `y`'s.
    pub project_x: bool,
    /// Whether each point of `y` is returned as a mean of `x`'s.
    pub project_y: bool,
    /// Whose gradients are computed, in calls that compute some.
    pub gradients: GradientSides,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pairing: Pairing::Paired,
            cost: Cost::SqEuclidean,
            mode: Mode::Fixed(Fixed::default()),
            reach: None,
            debias: false,
            plan: false,
            project_x: false,
            project_y: false,
            gradients: GradientSides::Both,
        }
    }
}

impl Options {
    /// `reach^p`.
    pub(super) fn rho(&self) -> Option<f64> {
        self.reach.map(|reach| reach.powi(self.cost.power()))
    }

    /// The temperature that results are at.
    #[cfg(feature = "cuda")]
    pub(crate) fn last_eps(&self) -> f64 {
        match self.mode {
            Mode::Fixed(fixed) => fixed.eps,
            Mode::GeomLoss(geomloss) => geomloss.blur.powi(self.cost.power()),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.mode {
            Mode::Fixed(fixed) => {
                positive("sinkhorn", "eps", fixed.eps, "start from 0.05 times the mean cost")?;
                if fixed.tol.is_nan() || fixed.tol < 0.0 {
                    let detail = format!("tol is {}, expected >= 0", fixed.tol);
                    return Err(KernelError::option("sinkhorn", detail, "0 runs all iterations"));
                }
                if fixed.acceleration == (Acceleration::Anderson { memory: 0 }) {
                    let detail = "memory is 0, expected 1 or more".to_owned();
                    return Err(KernelError::option("sinkhorn", detail, "5 is usual"));
                }
            }
            Mode::GeomLoss(geomloss) => {
                positive("sinkhorn", "blur", geomloss.blur, "start from 0.05 times the diameter")?;
                if !(geomloss.scaling > 0.0 && geomloss.scaling < 1.0) {
                    let detail = format!("scaling is {}, expected within (0, 1)", geomloss.scaling);
                    return Err(KernelError::option("sinkhorn", detail, "0.5 is usual"));
                }
                if let Some(diameter) = geomloss.diameter {
                    positive("sinkhorn", "diameter", diameter, "leave it out to have it measured")?;
                }
            }
        }
        match self.reach {
            Some(reach) => {
                positive("sinkhorn", "reach", reach, "leave it out for a balanced problem")
            }
            None => Ok(()),
        }
    }
}
