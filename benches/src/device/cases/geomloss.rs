//! Transport of all pairs by GeomLoss's schedule of falling temperatures.

use align_kernels::device::Precision;
use align_kernels::sinkhorn::{
    GeomLoss, Mode, Options, Pairing, Weights, sinkhorn, sinkhorn_with_gradient,
};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::pairwise_cost::Costs;
use super::shapes::{self, Pairs};

/// From a diameter of 2, that of unit vectors, to a blur of 0.5: the schedule of half scales has four
/// temperatures.
const DIAMETER: f64 = 2.0;
const BLUR: f64 = 0.5;
/// Steps of that schedule: the first and the last temperature count twice.
const STEPS: f64 = 6.0;
/// Steps where the device measures diameters: boxes around unit vectors of many coordinates have
/// diagonals of 4 to 8, and two temperatures more.
const MEASURED_STEPS: f64 = 8.0;

/// One averaged update a temperature.
#[derive(Debug)]
struct Annealing {
    pairs: Pairs,
    format: Format,
    /// Measured where it is not given.
    diameter: Option<f64>,
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
        let steps = if self.diameter.is_some() { STEPS } else { MEASURED_STEPS };
        let passes = if self.gradient { 3.0 } else { 1.0 };
        let sides = if self.gradient { 2.0 } else { 1.0 };
        let mut ideal = Ideal {
            flop: 4.0 * (elements + own) * steps,
            special: (elements + own) * steps,
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
        let geomloss = GeomLoss { blur: BLUR, scaling: 0.5, diameter: self.diameter };
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

/// Costs of other pairs beside, for the kernel that makes them.
#[derive(Debug)]
struct WithCosts {
    annealing: Annealing,
    costs: Costs,
}

impl Work for WithCosts {
    fn extents(&self) -> String {
        format!("{}; costs of {}", self.annealing.extents(), self.costs.extents())
    }

    fn ideal(&self) -> Ideal {
        self.annealing.ideal()
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let (mut costs, mut rest) = (self.costs.prepare(stream)?, self.annealing.prepare(stream)?);
        Ok(Box::new(move || costs().and_then(|()| rest())))
    }
}

const FORWARD: Annealing = Annealing {
    pairs: shapes::S2,
    format: Format::Bf16,
    diameter: Some(DIAMETER),
    debias: false,
    gradient: false,
};
/// Four pairs with gradients, of which more take minutes, and costs of as many as take the kernel of
/// the whole.
const S2_GRADIENT: WithCosts = WithCosts {
    annealing: Annealing {
        pairs: Pairs { x_lengths: &[64; 2], y_lengths: &[256; 2], ..shapes::S2 },
        gradient: true,
        ..FORWARD
    },
    costs: Costs { pairs: shapes::S2_ROWS, format: Format::Bf16, precision: Precision::Exact },
};
const S2_GRADIENT_TIMES: &[(&str, f64)] = &[
    ("row_norms", 20480.0 / (640.0 + 4864.0)),
    ("widen_rows", 32.0),
    ("gradient_finish", 32.0),
    // That of four pairs.
    ("pairwise_cost_v2", 0.0),
    ("pairwise_cost", 512.0 / 17.0),
    ("", 1024.0),
];
const SMALL: Pairs = Pairs { x_lengths: &[64; 2], y_lengths: &[256; 2], width: 64 };

const S2: Case = Case {
    op: "geomloss",
    shape: "S2",
    variant: "bf16, 4 temperatures",
    reason: "4096 pairs of 64 x 256 at width 1024: a batch of 64, few steps, so that products count",
    full: &FORWARD,
    fraction: Some(Fraction {
        work: &Annealing { pairs: shapes::S2_ROWS, ..FORWARD },
        times: shapes::S2_ROWS_TIMES,
    }),
    predicted: &[],
};

pub(super) const CASES: &[Case] = &[
    S2,
    Case {
        variant: "bf16, 4 temperatures, gradients",
        full: &Annealing { gradient: true, ..FORWARD },
        fraction: Some(Fraction { work: &S2_GRADIENT, times: S2_GRADIENT_TIMES }),
        ..S2
    },
    Case {
        variant: "bf16, measured diameters",
        reason: "the same without a diameter: boxes around all items, and a wait of the host for them",
        full: &Annealing { diameter: None, ..FORWARD },
        fraction: Some(Fraction {
            work: &Annealing { pairs: shapes::S2_ROWS, diameter: None, ..FORWARD },
            times: shapes::S2_ROWS_TIMES,
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
        full: &Annealing {
            pairs: SMALL,
            format: Format::F32,
            debias: true,
            gradient: true,
            ..FORWARD
        },
        fraction: None,
        ..S2
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::clustered;

    #[test]
    fn measured_diameters_of_unit_vectors_are_four_to_eight() {
        let (x, y) = (clustered(64, shapes::S2.width, 1), clustered(256, shapes::S2.width, 2));
        let square = x.columns().into_iter().zip(y.columns()).map(|(x, y)| {
            let both = || x.iter().chain(y).copied();
            let (low, high) = (both().fold(f32::MAX, f32::min), both().fold(f32::MIN, f32::max));
            f64::from(high - low).powi(2)
        });
        let diameter = square.sum::<f64>().sqrt();
        assert!((4.0..8.0).contains(&diameter), "{diameter}");
        // From the square of the diameter, each a quarter of the last, to that of the blur.
        assert_eq!((diameter / BLUR).log2().ceil() + 4.0, MEASURED_STEPS);
        assert_eq!((DIAMETER / BLUR).log2().ceil() + 4.0, STEPS);
    }
}
