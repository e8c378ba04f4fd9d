//! Discrepancies between samples with gradients: Gaussian and linear kernels, and what comes before.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use align_kernels::mmd::{Estimator, Options, median_bandwidth, mmd};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes;

/// Squares a factor of two apart around the typical squared distance of unit vectors, 2.
const BANDWIDTHS: [f64; 5] = [FRAC_1_SQRT_2, 1.0, SQRT_2, 2.0, 2.0 * SQRT_2];
/// Exponentials that five bandwidths cost, the others being squares.
const EXPONENTIALS: f64 = 2.0;
/// Points that a median is taken of, at most.
const MEDIAN_POINTS: usize = 512;

/// How samples are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Five Gaussians, all pairs.
    Gaussian,
    /// Five Gaussians, disjoint quadruples.
    LinearTime,
    /// Means alone.
    Linear,
    /// No discrepancy: the median distance.
    Median,
}

/// So many points on either side.
#[derive(Debug)]
struct Discrepancy {
    form: Form,
    count: usize,
    width: usize,
    format: Format,
}

impl Work for Discrepancy {
    fn extents(&self) -> String {
        format!("{0} + {0} x {1}", self.count, self.width)
    }

    /// Gaussians: products of all pairs, of own pairs by half, and of all slopes with the points; one
    /// exponential a pair, the others being its squares. Quadruples: four distances, and for each row two
    /// weighted differences. A median: distances of the chosen points. Points in, f32 gradients out.
    fn ideal(&self) -> Ideal {
        let (n, d) = (self.count as f64, self.width as f64);
        let (numbers, bytes) = (2.0 * n * d, self.format.bytes());
        let base = Ideal { bytes: numbers * (bytes + 4.0), ..Ideal::default() };
        match self.form {
            Form::Gaussian => {
                let (product, base) =
                    ((4.0 + 8.0) * n * n * d, Ideal { special: 2.0 * n * n, ..base });
                match self.format {
                    Format::F32 => Ideal { flop: product, ..base },
                    Format::Bf16 => Ideal { mma_flop: product, ..base },
                }
            }
            Form::LinearTime => {
                let special = 4.0 * EXPONENTIALS * n / 2.0;
                Ideal { flop: (4.0 * 3.0 + 4.0 * 4.0) * n / 2.0 * d, special, ..base }
            }
            Form::Linear => Ideal { flop: numbers, ..base },
            Form::Median => {
                let points = MEDIAN_POINTS.min(2 * self.count) as f64;
                let pairs = points * (points - 1.0) / 2.0;
                Ideal {
                    flop: 3.0 * pairs * d,
                    bytes: points * d * bytes + 8.0 * pairs,
                    ..Ideal::default()
                }
            }
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let x = CloudOnDevice::new(stream, &[self.count], self.width, self.format, 1)?;
        let y = CloudOnDevice::new(stream, &[self.count], self.width, self.format, 2)?;
        let gaussian = Options::gaussian(&BANDWIDTHS);
        let options = match self.form {
            Form::Gaussian => Some(gaussian),
            Form::LinearTime => Some(gaussian.with(Estimator::LinearTime)),
            Form::Linear => Some(Options::linear()),
            Form::Median => None,
        };
        Ok(Box::new(move || {
            match &options {
                Some(options) => drop(mmd(&x.ragged()?, &y.ragged()?, options)?),
                None => drop(median_bandwidth(&x.ragged()?, &y.ragged()?)?),
            }
            Ok(())
        }))
    }
}

const GAUSSIAN: Discrepancy = Discrepancy {
    form: Form::Gaussian,
    count: shapes::MMD_COUNT,
    width: shapes::WIDTH,
    format: Format::Bf16,
};
/// A 32nd of the points: pairs are its square. 1024 terms of so few outputs would be split, which those of
/// the whole are not; so a sector of
/// coordinates less.
const GAUSSIAN_PART: Discrepancy =
    Discrepancy { count: shapes::MMD_COUNT / 32, width: shapes::WIDTH - 16, ..GAUSSIAN };
/// The whole has eight blocks of 2048 points, which meet 36 times; the part is a fourth of one.
const MEETINGS: f64 = 36.0 * 16.0;
const GAUSSIAN_TIMES: &[(&str, f64)] = &[
    ("mmd_weights", MEETINGS),
    // Tiles of 128 x 256 that take 1024 terms. Products: 16 x 8 a meeting of 4 x 2. Slopes with points: as
    // many products as blocks have partners, 16 x 5 of twice the terms, of 4 x 4 of half.
    ("matmul", (36.0 * 16.0 * 8.0 + 64.0 * 16.0 * 5.0 * 2.0) / (4.0 * 2.0 + 4.0 * 4.0 / 2.0)),
    // Copies of rows.
    ("", 32.0),
];

const LINEAR: Discrepancy = Discrepancy { form: Form::Linear, ..GAUSSIAN };
const LINEAR_TIME: Discrepancy =
    Discrepancy { form: Form::LinearTime, format: Format::F32, ..GAUSSIAN };
const MEDIAN: Discrepancy = Discrepancy { form: Form::Median, format: Format::F32, ..GAUSSIAN };
/// An eighth of the width, where every kernel passes over the coordinates of all points.
const EIGHTH: usize = shapes::WIDTH / 8;

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
        shape: "small",
        reason: "256 + 256 points at width 256: one block, where launches weigh more than products",
        full: &Discrepancy { count: 256, width: 256, ..GAUSSIAN },
        fraction: None,
        predicted: &[],
        ..N8192
    },
    Case {
        shape: "linear",
        variant: "bf16, linear, gradients",
        reason: "the linear kernel, which reads the points once for their means",
        full: &LINEAR,
        fraction: Some(Fraction {
            work: &Discrepancy { width: EIGHTH, ..LINEAR },
            times: &[("", 8.0)],
        }),
        predicted: shapes::MMD_LINEAR,
        ..N8192
    },
    Case {
        shape: "linear-time",
        variant: "f32, 5 Gaussians, linear time, gradients",
        reason: "the estimator for samples too large for all pairs: 4096 quadruples",
        full: &LINEAR_TIME,
        // Whole rows: the exponentials of a quadruple do not depend on the width.
        fraction: Some(Fraction {
            work: &Discrepancy { count: shapes::MMD_COUNT / 8, ..LINEAR_TIME },
            times: &[("", 8.0)],
        }),
        predicted: &[],
        ..N8192
    },
    Case {
        shape: "median",
        variant: "f32, median bandwidth",
        reason: "distances of 512 points, which a run takes once before its first step",
        full: &MEDIAN,
        fraction: Some(Fraction {
            work: &Discrepancy { width: EIGHTH, ..MEDIAN },
            times: &[("", 8.0)],
        }),
        predicted: &[],
        ..N8192
    },
];
