//! Entropic transport of all pairs.

use align_kernels::sinkhorn::{
    Fixed, Mode, Options, Pairing, Weights, sinkhorn, sinkhorn_with_gradient,
};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes::{self, Pairs};

/// So many iterations at one temperature; each runs all of them.
#[derive(Debug)]
struct Transport {
    pairs: Pairs,
    format: Format,
    iterations: usize,
    gradient: bool,
    /// Means of partners, of both sides.
    projects: bool,
}

impl Work for Transport {
    fn extents(&self) -> String {
        self.pairs.extents()
    }

    /// Two multiply-adds an element and iteration, on kernels that stay on the chip; values and
    /// potentials are written, costs are not. Gradients and projections take a product a side.
    fn ideal(&self) -> Ideal {
        let (elements, points) = (self.pairs.elements(), self.pairs.points());
        let width = self.pairs.width as f64;
        let product = 2.0 * elements * width;
        let of_points = |wanted| if wanted { 2.0 } else { 0.0 };
        let passes = 1.0 + of_points(self.gradient) + of_points(self.projects);
        let sides = if self.gradient || self.projects { 2.0 } else { 1.0 };
        let mut ideal = Ideal {
            flop: 4.0 * elements * self.iterations as f64,
            special: elements,
            bytes: (points[0] + points[1]) * width * self.format.bytes() * sides,
            ..Ideal::default()
        };
        match self.format {
            Format::F32 => ideal.flop += passes * product,
            Format::Bf16 => ideal.mma_flop += passes * product,
        }
        ideal
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let Pairs { x_lengths, y_lengths, width } = self.pairs;
        let x = CloudOnDevice::new(stream, x_lengths, width, self.format, 1)?;
        let y = CloudOnDevice::new(stream, y_lengths, width, self.format, 2)?;
        let fixed = Fixed { eps: 0.25, max_iters: self.iterations, tol: 0.0, ..Fixed::default() };
        let options = Options {
            pairing: Pairing::AllPairs,
            mode: Mode::Fixed(fixed),
            project_x: self.projects,
            project_y: self.projects,
            ..Options::default()
        };
        Ok(Box::new(move || {
            let (x, y) = (x.ragged()?, y.ragged()?);
            if self.gradient {
                sinkhorn_with_gradient(&x, &y, Weights::default(), &options, None)?;
            } else {
                sinkhorn(&x, &y, Weights::default(), &options)?;
            }
            Ok(())
        }))
    }
}

const FORWARD: Transport = Transport {
    pairs: shapes::S2,
    format: Format::Bf16,
    iterations: 100,
    gradient: false,
    projects: false,
};
const GRADIENT: Transport = Transport { gradient: true, ..FORWARD };

const S2: Case = Case {
    op: "sinkhorn",
    shape: "S2",
    variant: "bf16, 100 iterations",
    reason: "4096 pairs of 64 x 256 at width 1024: a batch of 64, where iterations dominate",
    full: &FORWARD,
    fraction: Some(Fraction {
        work: &Transport { pairs: shapes::S2_ROWS, ..FORWARD },
        times: shapes::S2_ROWS_TIMES,
    }),
    predicted: shapes::S2_FORWARD,
};
const S1: Case = Case {
    shape: "S1",
    reason: "100 pairs of 48 x 160 at width 4096, fewer than an H200 has multiprocessors",
    full: &Transport { pairs: shapes::S1, ..FORWARD },
    fraction: None,
    predicted: shapes::S1_FORWARD,
    ..S2
};
const STRIPS: Transport = Transport {
    pairs: Pairs { x_lengths: &[512], y_lengths: &[1024], width: 8 },
    format: Format::F32,
    iterations: 10,
    ..FORWARD
};
const SMALL: Transport = Transport {
    pairs: Pairs { x_lengths: &[64; 8], y_lengths: &[64], width: 64 },
    format: Format::F32,
    ..FORWARD
};
const SINGLE_PART: Pairs = Pairs { x_lengths: &[512], y_lengths: &[512], width: 64 };

pub(super) const CASES: &[Case] = &[
    S2,
    Case {
        variant: "bf16, 100 iterations, gradients",
        full: &GRADIENT,
        fraction: Some(Fraction {
            work: &Transport { pairs: shapes::S2_ROWS, ..GRADIENT },
            times: shapes::S2_ROWS_TIMES,
        }),
        predicted: shapes::S2_GRADIENT,
        ..S2
    },
    S1,
    Case {
        variant: "bf16, 100 iterations, gradients",
        full: &Transport { pairs: shapes::S1, ..GRADIENT },
        fraction: None,
        predicted: shapes::S1_GRADIENT,
        ..S1
    },
    Case {
        shape: "single",
        variant: "f32, 100 iterations",
        reason: "one problem of 4096 x 4096 at width 64, the shape that general solvers quote",
        full: &Transport { pairs: shapes::SINGLE, format: Format::F32, ..FORWARD },
        fraction: Some(Fraction {
            work: &Transport { pairs: SINGLE_PART, format: Format::F32, ..FORWARD },
            times: &[("row_norms", 8.0), ("", 64.0)],
        }),
        predicted: shapes::SINGLE_FORWARD,
        ..S2
    },
    Case {
        shape: "ragged",
        variant: "bf16, 10 iterations",
        reason: "lengths of real sentences: pairs of unlike extents beside one another",
        full: &Transport { pairs: shapes::RAGGED, iterations: 10, ..FORWARD },
        fraction: None,
        predicted: &[],
        ..S2
    },
    Case {
        shape: "small",
        variant: "f32, 100 iterations",
        reason: "8 pairs of 64 x 64: what a test of the whole iteration costs to interpret",
        full: &SMALL,
        fraction: None,
        predicted: &[],
        ..S2
    },
    Case {
        shape: "projected",
        variant: "f32, 10 iterations, projections",
        reason: "as small, with each point's mean partner: what plans and their products add",
        full: &Transport { iterations: 10, projects: true, ..SMALL },
        fraction: None,
        predicted: &[],
        ..S2
    },
    Case {
        shape: "strips",
        variant: "f32, 10 iterations",
        reason: "a pair of 512 x 1024, whose kernel takes the shared memory of 11 multiprocessors",
        full: &STRIPS,
        fraction: None,
        predicted: &[],
        ..S2
    },
    Case {
        shape: "strips-longer",
        variant: "f32, 20 iterations",
        reason: "the same with twice the iterations, so that one of them can be told from what begins",
        full: &Transport { iterations: 20, ..STRIPS },
        fraction: None,
        predicted: &[],
        ..S2
    },
];
