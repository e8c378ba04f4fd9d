//! Discrepancies between samples with gradients: Gaussian kernels, and NST.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use align_kernels::mmd::{Options, mmd};
use align_kernels::nst::nst;
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes;

/// Squares a factor of two apart around the typical squared distance of unit vectors, 2.
const BANDWIDTHS: [f64; 5] = [FRAC_1_SQRT_2, 1.0, SQRT_2, 2.0, 2.0 * SQRT_2];

/// How samples are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// Five Gaussians.
    Gaussian,
    /// `<x, y>^2` of unit vectors.
    Nst,
}

/// So many points on either side.
#[derive(Debug)]
struct Discrepancy {
    kernel: Kernel,
    count: usize,
    width: usize,
    format: Format,
}

impl Work for Discrepancy {
    fn extents(&self) -> String {
        format!("{0} + {0} x {1}", self.count, self.width)
    }

    /// Gaussian: products of all pairs, of own pairs by half, and of all slopes with the points; one
    /// exponential a pair, the others being its squares. NST: moments of both sides by half, and a
    /// product for each gradient. Points in, f32 gradients out.
    fn ideal(&self) -> Ideal {
        let (n, d) = (self.count as f64, self.width as f64);
        let (product, special) = match self.kernel {
            Kernel::Gaussian => ((4.0 + 8.0) * n * n * d, 2.0 * n * n),
            Kernel::Nst => ((2.0 + 4.0) * n * d * d, 0.0),
        };
        let bytes = 2.0 * n * d * (self.format.bytes() + 4.0);
        let base = Ideal { special, bytes, ..Ideal::default() };
        match self.format {
            Format::F32 => Ideal { flop: product, ..base },
            Format::Bf16 => Ideal { mma_flop: product, ..base },
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let x = CloudOnDevice::new(stream, &[self.count], self.width, self.format, 1)?;
        let y = CloudOnDevice::new(stream, &[self.count], self.width, self.format, 2)?;
        let options = Options::gaussian(&BANDWIDTHS);
        Ok(Box::new(move || {
            match self.kernel {
                Kernel::Gaussian => mmd(&x.ragged()?, &y.ragged()?, &options)?,
                Kernel::Nst => nst(&x.ragged()?, &y.ragged()?)?,
            };
            Ok(())
        }))
    }
}

const GAUSSIAN: Discrepancy = Discrepancy {
    kernel: Kernel::Gaussian,
    count: shapes::MMD_COUNT,
    width: shapes::WIDTH,
    format: Format::Bf16,
};
/// A 32nd of the points: pairs are its square.
const GAUSSIAN_PART: Discrepancy = Discrepancy { count: shapes::MMD_COUNT / 32, ..GAUSSIAN };
const GAUSSIAN_TIMES: &[(&str, f64)] = &[
    ("mmd_weights", 1024.0),
    ("mmd_distances", 1024.0),
    ("matmul", 1024.0),
    // Norms, copies and sums of rows.
    ("", 32.0),
];

const NST: Discrepancy = Discrepancy { kernel: Kernel::Nst, ..GAUSSIAN };
/// More points than their width, as the whole, so that moments are taken: a 16th of the points of a
/// quarter of the width.
const NST_PART: Discrepancy =
    Discrepancy { count: shapes::MMD_COUNT / 16, width: shapes::WIDTH / 4, ..NST };
const NST_TIMES: &[(&str, f64)] = &[("matmul", 256.0), ("", 64.0)];

const N8192: Case = Case {
    op: "mmd",
    shape: "n8192",
    variant: "bf16, 5 Gaussians, gradients",
    reason: "five Gaussians on 8192 + 8192 points at width 1024, whose matrix would take 1.07 GB",
    full: &GAUSSIAN,
    fraction: Some(Fraction { work: &GAUSSIAN_PART, times: GAUSSIAN_TIMES }),
    predicted: shapes::MMD_GAUSSIAN,
};

pub(super) const CASES: &[Case] = &[
    N8192,
    Case {
        op: "nst",
        variant: "bf16, gradients",
        reason: "8192 neurons at 1024 positions, which moments compare without a Gram matrix",
        full: &NST,
        fraction: Some(Fraction { work: &NST_PART, times: NST_TIMES }),
        predicted: shapes::NST,
        ..N8192
    },
    Case {
        op: "nst",
        variant: "f32, gradients",
        reason: "the same from f32 points, which are multiplied exactly, outside tensor cores",
        full: &Discrepancy { format: Format::F32, ..NST },
        fraction: Some(Fraction {
            work: &Discrepancy { format: Format::F32, ..NST_PART },
            times: NST_TIMES,
        }),
        predicted: &[],
        ..N8192
    },
];
