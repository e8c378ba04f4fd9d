//! Transport of all pairs by GeomLoss's schedule of falling temperatures.

use align_kernels::sinkhorn::{
    GeomLoss, Mode, Options, Pairing, Weights, sinkhorn, sinkhorn_with_gradient,
};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes::{self, Pairs};

/// From a diameter of 2, that of unit vectors, to a blur of 0.5: the schedule of half scales has four
/// temperatures.
const DIAMETER: f64 = 2.0;
const BLUR: f64 = 0.5;
/// Steps of that schedule: the first and the last temperature count twice.
const STEPS: f64 = 6.0;

/// One averaged update a temperature.
#[derive(Debug)]
struct Annealing {
    pairs: Pairs,
    format: Format,
    debias: bool,
    gradient: bool,
}

impl Work for Annealing {
    fn extents(&self) -> String {
        self.pairs.extents()
    }

    /// One exponential an element and step for both sides, on kernels that stay on the chip.
    fn ideal(&self) -> Ideal {
        let (elements, points) = (self.pairs.elements(), self.pairs.points());
        let width = self.pairs.width as f64;
        let square = |lengths: &[usize]| lengths.iter().map(|&n| (n * n) as f64).sum::<f64>();
        let own = match self.debias {
            true => square(self.pairs.x_lengths) + square(self.pairs.y_lengths),
            false => 0.0,
        };
        let passes = if self.gradient { 3.0 } else { 1.0 };
        let sides = if self.gradient { 2.0 } else { 1.0 };
        let mut ideal = Ideal {
            flop: 4.0 * (elements + own) * STEPS,
            special: (elements + own) * STEPS,
            bytes: (points[0] + points[1]) * width * self.format.bytes() * sides,
            ..Ideal::default()
        };
        let product = 2.0 * (elements + own) * width * passes;
        match self.format {
            Format::F32 => ideal.flop += product,
            Format::Bf16 => ideal.mma_flop += product,
        }
        ideal
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let Pairs { x_lengths, y_lengths, width } = self.pairs;
        let x = CloudOnDevice::new(stream, x_lengths, width, self.format, 1)?;
        let y = CloudOnDevice::new(stream, y_lengths, width, self.format, 2)?;
        let geomloss = GeomLoss { blur: BLUR, scaling: 0.5, diameter: Some(DIAMETER) };
        let options = Options {
            pairing: Pairing::AllPairs,
            mode: Mode::GeomLoss(geomloss),
            debias: self.debias,
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

const FORWARD: Annealing =
    Annealing { pairs: shapes::S2, format: Format::Bf16, debias: false, gradient: false };
const S2_PART: Pairs = Pairs { x_lengths: &[64; 2], y_lengths: &[256; 2], ..shapes::S2 };
const S2_TIMES: &[(&str, f64)] = &[("row_norms", 32.0), ("", 1024.0)];
const SMALL: Pairs = Pairs { x_lengths: &[64; 2], y_lengths: &[256; 2], width: 64 };

const S2: Case = Case {
    op: "geomloss",
    shape: "S2",
    variant: "bf16, 4 temperatures",
    reason: "4096 pairs of 64 x 256 at width 1024: a batch of 64, few steps, so that products count",
    full: &FORWARD,
    fraction: Some(Fraction { work: &Annealing { pairs: S2_PART, ..FORWARD }, times: S2_TIMES }),
    predicted: &[],
};

pub(super) const CASES: &[Case] = &[
    S2,
    Case {
        variant: "bf16, 4 temperatures, gradients",
        full: &Annealing { gradient: true, ..FORWARD },
        fraction: Some(Fraction {
            work: &Annealing { pairs: S2_PART, gradient: true, ..FORWARD },
            times: S2_TIMES,
        }),
        ..S2
    },
    Case {
        shape: "small",
        variant: "f32, 4 temperatures",
        reason: "4 pairs of 64 x 256: what a test of the whole annealing costs to interpret",
        full: &Annealing { pairs: SMALL, format: Format::F32, ..FORWARD },
        fraction: None,
        ..S2
    },
    Case {
        shape: "debiased",
        variant: "f32, 4 temperatures, gradients",
        reason: "as small, with each cloud's problem with itself: once an item, past the registers for y",
        full: &Annealing { pairs: SMALL, format: Format::F32, debias: true, gradient: true },
        fraction: None,
        ..S2
    },
];
