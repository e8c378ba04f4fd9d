//! Transport by given costs, with gradients by them.

use align_kernels::device::DeviceCosts;
use align_kernels::sinkhorn::{Fixed, GeomLoss, Mode, Options, Weights, sinkhorn_cost};
use gpu_runtime::{DeviceBuffer, Stream};

use super::case::{Case, Fraction, Ideal, Run, Work};
use crate::kernels::{clustered, offsets};

/// Points of either side of a pair, as in S2.
const ROWS: usize = 64;
const COLUMNS: usize = 256;
/// One temperature, so many iterations.
const ITERATIONS: usize = 10;
/// From a diameter of 2 to a blur of 0.5 in halves, as in `geomloss`: four temperatures, six steps.
const HALVES: GeomLoss = GeomLoss { blur: 0.5, scaling: 0.5, diameter: Some(2.0) };
const STEPS: f64 = 6.0;

/// So many pairs; gradients are plans, or with GeomLoss means of two.
#[derive(Debug)]
struct Given {
    pairs: usize,
    is_annealed: bool,
}

impl Work for Given {
    fn extents(&self) -> String {
        format!("{} x {ROWS} x {COLUMNS}", self.pairs)
    }

    /// Costs in, gradients out; two multiply-adds an element and iteration, or one exponential a step.
    fn ideal(&self) -> Ideal {
        let elements = (self.pairs * ROWS * COLUMNS) as f64;
        let (rounds, special) = match self.is_annealed {
            true => (STEPS, STEPS * elements),
            false => (ITERATIONS as f64, elements),
        };
        let (flop, bytes) = (4.0 * elements * rounds, 8.0 * elements);
        Ideal { flop, special, bytes, ..Ideal::default() }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        // Around 1, as between unit vectors.
        let costs = clustered(self.pairs * ROWS, COLUMNS, 1).mapv_into(|value| 1.0 - value);
        let costs = DeviceBuffer::from_slice(stream, &costs.into_raw_vec_and_offset().0)?;
        let (rows, columns) =
            (offsets(&vec![ROWS; self.pairs]), offsets(&vec![COLUMNS; self.pairs]));
        let fixed = Fixed { eps: 0.25, max_iters: ITERATIONS, tol: 0.0, ..Fixed::default() };
        let mode = if self.is_annealed { Mode::GeomLoss(HALVES) } else { Mode::Fixed(fixed) };
        let options = Options { mode, ..Options::default() };
        let upstream = vec![1.0; self.pairs];
        Ok(Box::new(move || {
            let costs = DeviceCosts::new(stream, &costs);
            let sides = (&rows[..], &columns[..]);
            sinkhorn_cost(costs, sides, Weights::default(), &options, Some(&upstream))?;
            Ok(())
        }))
    }
}

const FIXED: Given = Given { pairs: 4096, is_annealed: false };
const ANNEALED: Given = Given { is_annealed: true, ..FIXED };
/// Pairs that are interpreted.
const PART: usize = 8;
const TIMES: &[(&str, f64)] = &[("", 512.0)];

const S2: Case = Case {
    op: "sinkhorn-cost",
    shape: "S2",
    variant: "f32, 10 iterations, gradients",
    reason: "4096 costs of 64 x 256 that the caller made, and plans in place of gradients of points",
    full: &FIXED,
    fraction: Some(Fraction { work: &Given { pairs: PART, ..FIXED }, times: TIMES }),
    predicted: &[],
};

pub(super) const CASES: &[Case] = &[
    S2,
    Case {
        variant: "f32, 4 temperatures, gradients",
        full: &ANNEALED,
        fraction: Some(Fraction { work: &Given { pairs: PART, ..ANNEALED }, times: TIMES }),
        ..S2
    },
];
