//! The command line, and what each loss takes of it.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};

/// A loss of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Loss {
    Sinkhorn,
    Mmd,
    InfoNce,
    WassersteinInfoNce,
    Crd,
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sinkhorn => "sinkhorn",
            Self::Mmd => "mmd",
            Self::InfoNce => "info_nce",
            Self::WassersteinInfoNce => "wasserstein_info_nce",
            Self::Crd => "crd",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    Geomloss,
    Fixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelerationName {
    Plain,
    OverRelaxation,
    /// Of the last 5 steps.
    Anderson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PairingName {
    Paired,
    AllPairs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CostName {
    Sqeuclidean,
    Cosine,
    Euclidean,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SimilarityName {
    Cosine,
    Dot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KernelName {
    Linear,
    Poly,
    Gaussian,
}

const FILES: &str = "\
Input tensors (safetensors; any other name is an error):
  x (N, D), y (M, D)     f32, bf16 or f16: all points
  x_offsets, y_offsets   i64 (B + 1): where items start, and the end; one item without them
                         (sinkhorn, mmd, wasserstein_info_nce)
  a (N), b (M)           f32: weights, 1/n of an item's n points without them
                         (sinkhorn, wasserstein_info_nce)
  clip_of (N)            i64: the clip of each token; token i is of clip i without it (crd)
  drawn (N, J)           i64: tokens that each token's clip is set against; without it, of every
                         other clip in order, its token number i modulo its count (crd)

  mmd compares item k with item k. info_nce compares single vectors: one cloud a side, no offsets.
  crd takes x as the student's tokens (N, P) and y as the teacher's clips (C, P), of unit length.

Output tensors:
  value                  f64: one a pair of items, pair (i, j) of all pairs at i B_y + j; else one
  grad_x, grad_y         f32: gradients of the sum of all values
  grad_a, grad_b         f32 (sinkhorn, wasserstein_info_nce)
  grad_eps               f32 (1): potentials held (the same)
  f, g                   f32: potentials, pair after pair; f_offsets, g_offsets i64: where they start
  plan                   f32: (N, M) of a lone pair, else row-major and pair after pair (--plan)
  iterations             i64, marginal_error f64, gap f32: one a pair
  grad_temperature       f32 (1) (info_nce, wasserstein_info_nce)
  divergence (B_x, B_y)  f64: what the softmax compares (wasserstein_info_nce)

contr-wasser (arXiv:2412.15712) is
  --loss wasserstein_info_nce --mode geomloss --blur 0.05 --debias --cost cosine";

/// Computes a loss and its gradients for arrays in a safetensors file.
#[derive(Debug, Parser)]
#[command(name = "divergence", after_help = FILES)]
pub struct Args {
    /// What to compute.
    #[arg(long, value_enum)]
    pub loss: Loss,
    /// File with x, y and what else the loss takes.
    #[arg(long, value_name = "IN.safetensors")]
    pub input: PathBuf,
    /// File to write, whole or not at all.
    #[arg(long, value_name = "OUT.safetensors")]
    pub output: PathBuf,

    /// How transport is solved [default: fixed, or geomloss with one of its options].
    #[arg(long, value_enum, help_heading = "sinkhorn, wasserstein_info_nce")]
    pub mode: Option<ModeName>,
    /// geomloss: last length scale, eps = blur^p [default: 0.05].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(help_heading = "sinkhorn, wasserstein_info_nce")]
    pub blur: Option<f64>,
    /// geomloss: ratio of successive length scales [default: 0.5].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(help_heading = "sinkhorn, wasserstein_info_nce")]
    pub scaling: Option<f64>,
    /// geomloss: first length scale [default: measured on each pair].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(help_heading = "sinkhorn, wasserstein_info_nce")]
    pub diameter: Option<f64>,
    /// fixed: temperature, in units of the cost [default: 0.05].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(help_heading = "sinkhorn, wasserstein_info_nce")]
    pub eps: Option<f64>,
    /// fixed: most iterations [default: 1000].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(help_heading = "sinkhorn, wasserstein_info_nce")]
    pub max_iters: Option<usize>,
    /// fixed: stop at this L1 marginal error; 0 runs all iterations [default: 0.0001].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(help_heading = "sinkhorn, wasserstein_info_nce")]
    pub tol: Option<f64>,
    /// fixed: plain compares with other libraries short of convergence [default: over-relaxation].
    #[arg(long, value_enum, help_heading = "sinkhorn, wasserstein_info_nce")]
    pub acceleration: Option<AccelerationName>,
    /// Take off half of each cloud's problem with itself.
    #[arg(long, help_heading = "sinkhorn, wasserstein_info_nce")]
    pub debias: bool,
    /// Unbalanced, with penalties reach^p [default: balanced].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(help_heading = "sinkhorn, wasserstein_info_nce")]
    pub reach: Option<f64>,
    /// Which items meet [default: paired; wasserstein_info_nce: all-pairs].
    #[arg(long, value_enum, help_heading = "sinkhorn, wasserstein_info_nce")]
    pub pairing: Option<PairingName>,
    /// |x - y|^2 / 2, 1 - cos(x, y) or |x - y| [default: sqeuclidean].
    #[arg(long, value_enum, help_heading = "sinkhorn, wasserstein_info_nce")]
    pub cost: Option<CostName>,
    /// Write the plans too.
    #[arg(long, help_heading = "sinkhorn, wasserstein_info_nce")]
    pub plan: bool,

    /// Divides similarities [default: 0.1, and 0.07 for crd].
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(help_heading = "info_nce, wasserstein_info_nce, crd")]
    pub temperature: Option<f64>,
    /// info_nce: how vectors are compared [default: cosine].
    #[arg(long, value_enum, help_heading = "info_nce, wasserstein_info_nce, crd")]
    pub similarity: Option<SimilarityName>,
    /// info_nce, wasserstein_info_nce: the mean of both directions.
    #[arg(long, help_heading = "info_nce, wasserstein_info_nce, crd")]
    pub symmetric: bool,
    /// crd: clips of the training set [default: those of y].
    #[arg(long, value_name = "N", help_heading = "info_nce, wasserstein_info_nce, crd")]
    pub n_data: Option<usize>,

    /// How points are compared [default: linear].
    #[arg(long, value_enum, help_heading = "mmd")]
    pub kernel: Option<KernelName>,
    /// poly: the power in (x.y + offset)^degree [default: 2].
    #[arg(long, value_name = "N", help_heading = "mmd")]
    pub degree: Option<u32>,
    /// poly: added to products [default: 0].
    #[arg(long, value_name = "F", allow_negative_numbers = true, help_heading = "mmd")]
    pub offset: Option<f64>,
    /// gaussian: s in exp(-|x - y|^2 / (2 s^2)), summed over all that are given.
    #[arg(long, value_name = "F[,F]", value_delimiter = ',', help_heading = "mmd")]
    #[arg(allow_negative_numbers = true)]
    pub bandwidth: Vec<f64>,
    /// Means over all pairs; the default.
    #[arg(long, conflicts_with = "unbiased", help_heading = "mmd")]
    pub biased: bool,
    /// Own terms over pairs of different points.
    #[arg(long, help_heading = "mmd")]
    pub unbiased: bool,
}

/// Which losses take the options that not all take.
const TAKEN_BY: [(&[&str], &[Loss]); 6] = [
    (
        &[
            "mode",
            "blur",
            "scaling",
            "diameter",
            "eps",
            "max_iters",
            "tol",
            "acceleration",
            "debias",
            "reach",
            "pairing",
            "cost",
            "plan",
        ],
        &[Loss::Sinkhorn, Loss::WassersteinInfoNce],
    ),
    (&["temperature"], &[Loss::InfoNce, Loss::WassersteinInfoNce, Loss::Crd]),
    (&["similarity"], &[Loss::InfoNce]),
    (&["symmetric"], &[Loss::InfoNce, Loss::WassersteinInfoNce]),
    (&["n_data"], &[Loss::Crd]),
    (&["kernel", "degree", "offset", "bandwidth", "biased", "unbiased"], &[Loss::Mmd]),
];

impl Args {
    /// Parses the command line, and refuses options that its loss does not take.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let args = Self::from_arg_matches(&matches)?;
        args.check_taken(&matches)?;
        Ok(args)
    }

    fn check_taken(&self, matches: &ArgMatches) -> Result<()> {
        let given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        for (options, losses) in TAKEN_BY.iter().filter(|(_, losses)| !losses.contains(&self.loss))
        {
            if let Some(option) = options.iter().copied().find(given) {
                let (option, loss) = (option.replace('_', "-"), self.loss);
                let losses: Vec<String> = losses.iter().map(Loss::to_string).collect();
                let losses = losses.join(", ");
                bail!("--{option}: an option of {losses}, got --loss {loss} (hint: leave it out)");
            }
        }
        Ok(())
    }
}
