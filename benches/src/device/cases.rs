//! The cases of the GPU kernels: shapes of `kernels::definitions` in the sizes an interpreter bears.

use align_kernels::Ragged;
use align_kernels::device::DevicePoints;
use align_kernels::pairwise_cost::pairwise_cost;
use align_kernels::sinkhorn::{
    Cost, Fixed, Mode, Options, Pairing, Weights, sinkhorn, sinkhorn_with_gradient,
};
use gpu_runtime::{Device, DeviceBuffer, Stream};
use half::bf16;

use crate::kernels::{clustered, offsets};

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Costs of all pairs from f32 points.
    CostF32,
    /// The same from bf16 points, on tensor cores.
    CostBf16,
    /// Entropic transport of all pairs, so many iterations.
    Sinkhorn(usize),
    /// The same with gradients.
    SinkhornGradient(usize),
}

/// One row of the report: every item of `x` against every item of `y`.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Operation, as `--op` names it.
    pub op: &'static str,
    /// Shape, as `--shape` names it.
    pub shape: &'static str,
    /// What is computed.
    pub work: Work,
    /// Points of each item of `x`.
    pub x_lengths: &'static [usize],
    /// Points of each item of `y`.
    pub y_lengths: &'static [usize],
    /// Extent of a point.
    pub width: usize,
    /// Why this shape.
    pub reason: &'static str,
}

const S1: Case = Case {
    op: "pairwise-cost",
    shape: "S1",
    work: Work::CostBf16,
    x_lengths: &[48; 10],
    y_lengths: &[160; 10],
    width: 4096,
    reason: "100 pairs of 48 x 160 at width 4096, where the product dominates",
};
const RAGGED: Case = Case {
    shape: "ragged",
    x_lengths: &[12, 20, 28, 36, 44, 52, 60, 68, 76, 84],
    y_lengths: &[40, 66, 93, 120, 146, 173, 200, 227, 253, 282],
    width: 256,
    reason: "lengths of real sentences: what odd edges cost",
    ..S1
};

/// Every case.
pub const CASES: &[Case] = &[
    Case {
        op: "sinkhorn",
        shape: "small",
        work: Work::Sinkhorn(100),
        x_lengths: &[64; 8],
        y_lengths: &[64],
        width: 64,
        reason: "8 pairs of 64 x 64: what a test of the whole iteration costs to interpret",
    },
    S1,
    Case { work: Work::CostF32, ..S1 },
    RAGGED,
    Case {
        op: "sinkhorn",
        work: Work::SinkhornGradient(10),
        width: 64,
        reason: "the iteration of S1, a tenth of its 100 iterations, at a width that leaves the \
                 product aside",
        ..S1
    },
    Case {
        op: "sinkhorn",
        work: Work::Sinkhorn(10),
        width: 64,
        reason: "the iteration at lengths of real sentences",
        ..RAGGED
    },
];

impl Case {
    /// Operation, shape and work, for people.
    pub fn name(&self) -> String {
        let work = match self.work {
            Work::CostF32 => "f32".to_owned(),
            Work::CostBf16 => "bf16".to_owned(),
            Work::Sinkhorn(iterations) => format!("forward, {iterations} iterations"),
            Work::SinkhornGradient(iterations) => {
                format!("forward+gradient, {iterations} iterations")
            }
        };
        format!("{} {}, width {}, {work}", self.op, self.shape, self.width)
    }

    /// Does the work once on a device.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn run(&self, device: &Device) -> anyhow::Result<()> {
        let stream = Stream::new(device)?;
        let [x_offsets, y_offsets] = [self.x_lengths, self.y_lengths].map(offsets);
        let x = clustered(x_offsets[self.x_lengths.len()], self.width, 1);
        let y = clustered(y_offsets[self.y_lengths.len()], self.width, 2);
        let (x, y) = (x.into_raw_vec_and_offset().0, y.into_raw_vec_and_offset().0);
        if self.work == Work::CostBf16 {
            let narrow = |values: &[f32]| -> Vec<bf16> {
                values.iter().map(|&value| bf16::from_f32(value)).collect()
            };
            let x = DeviceBuffer::from_slice(&stream, &narrow(&x))?;
            let y = DeviceBuffer::from_slice(&stream, &narrow(&y))?;
            let x = DevicePoints::new(&stream, &x, x.len() / self.width, self.width)?;
            let y = DevicePoints::new(&stream, &y, y.len() / self.width, self.width)?;
            return self.compute(x, y, &x_offsets, &y_offsets);
        }
        let x = DeviceBuffer::from_slice(&stream, &x)?;
        let y = DeviceBuffer::from_slice(&stream, &y)?;
        let x = DevicePoints::new(&stream, &x, x.len() / self.width, self.width)?;
        let y = DevicePoints::new(&stream, &y, y.len() / self.width, self.width)?;
        self.compute(x, y, &x_offsets, &y_offsets)
    }

    fn compute(
        &self,
        x: DevicePoints<'_>,
        y: DevicePoints<'_>,
        x_offsets: &[usize],
        y_offsets: &[usize],
    ) -> anyhow::Result<()> {
        let (x, y) = (Ragged::on_device(x, x_offsets)?, Ragged::on_device(y, y_offsets)?);
        let options = |max_iters| Options {
            pairing: Pairing::AllPairs,
            mode: Mode::Fixed(Fixed { eps: 0.25, max_iters, tol: 0.0, ..Fixed::default() }),
            ..Options::default()
        };
        match self.work {
            Work::CostF32 | Work::CostBf16 => {
                pairwise_cost(&x, &y, Cost::SqEuclidean, Pairing::AllPairs)?;
            }
            Work::Sinkhorn(iterations) => {
                sinkhorn(&x, &y, Weights::default(), &options(iterations))?;
            }
            Work::SinkhornGradient(iterations) => {
                let weights = Weights::default();
                sinkhorn_with_gradient(&x, &y, weights, &options(iterations), None)?;
            }
        }
        Ok(())
    }
}
