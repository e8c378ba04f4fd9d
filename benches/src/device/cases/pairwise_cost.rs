//! Costs of all pairs.

use align_kernels::device::Precision;
use align_kernels::pairwise_cost::{Cost, Pairing, pairwise_cost};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes::{self, Pairs};

/// Costs of one shape from points of one format.
#[derive(Debug)]
pub(super) struct Costs {
    pub(super) pairs: Pairs,
    pub(super) format: Format,
    pub(super) precision: Precision,
}

impl Pairs {
    /// Costs of all pairs.
    pub(super) fn elements(&self) -> f64 {
        self.points()[0] * self.points()[1]
    }

    /// Points of each side.
    pub(super) fn points(&self) -> [f64; 2] {
        [self.x_lengths, self.y_lengths].map(|lengths| lengths.iter().sum::<usize>() as f64)
    }

    /// For people.
    pub(super) fn extents(&self) -> String {
        let side = |lengths: &[usize]| match lengths {
            [first, ..] if lengths.iter().all(|length| length == first) => first.to_string(),
            _ => {
                let (least, most) = (lengths.iter().min(), lengths.iter().max());
                format!("{}..{}", least.unwrap_or(&0), most.unwrap_or(&0))
            }
        };
        let pairs = self.x_lengths.len() * self.y_lengths.len();
        format!("{pairs} x {} x {} x {}", side(self.x_lengths), side(self.y_lengths), self.width)
    }
}

impl Work for Costs {
    fn extents(&self) -> String {
        self.pairs.extents()
    }

    fn ideal(&self) -> Ideal {
        let (elements, points) = (self.pairs.elements(), self.pairs.points());
        let width = self.pairs.width as f64;
        let product = 2.0 * elements * width;
        let bytes = (points[0] + points[1]) * width * self.format.bytes() + 4.0 * elements;
        self.format.product(self.precision, product, Ideal { bytes, ..Ideal::default() })
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let Pairs { x_lengths, y_lengths, width } = self.pairs;
        let cloud = |lengths, seed| CloudOnDevice::new(stream, lengths, width, self.format, seed);
        let x = cloud(x_lengths, 1)?.with_precision(self.precision);
        let y = cloud(y_lengths, 2)?.with_precision(self.precision);
        Ok(Box::new(move || {
            pairwise_cost(&x.ragged()?, &y.ragged()?, Cost::SqEuclidean, Pairing::AllPairs)?;
            Ok(())
        }))
    }
}

/// Where the kernel does not depend on how many pairs there are.
const S1_PART: Pairs = Pairs { x_lengths: &[48; 2], y_lengths: &[160; 2], ..shapes::S1 };
const S1_TIMES: &[(&str, f64)] = &[("row_norms", 5.0), ("round_rows", 5.0), ("", 25.0)];
const S2_PART: Pairs = Pairs { x_lengths: &[64; 2], y_lengths: &[256; 2], ..shapes::S2 };
const S2_TIMES: &[(&str, f64)] = &[("row_norms", 32.0), ("round_rows", 32.0), ("", 1024.0)];

const BF16: Costs = Costs { pairs: shapes::S2, format: Format::Bf16, precision: Precision::Exact };
const F32: Costs = Costs { format: Format::F32, ..BF16 };
const TF32: Costs = Costs { precision: Precision::Tf32, ..F32 };

const S2: Case = Case {
    op: "pairwise-cost",
    shape: "S2",
    variant: "bf16",
    reason: "4096 pairs of 64 x 256 at width 1024: a batch of 64 texts and utterances",
    full: &BF16,
    fraction: Some(Fraction {
        work: &Costs { pairs: shapes::S2_ROWS, ..BF16 },
        times: shapes::S2_ROWS_TIMES,
    }),
    predicted: shapes::S2_COST,
};
const S1: Case = Case {
    shape: "S1",
    reason: "100 pairs of 48 x 160 at width 4096, where the product dominates",
    full: &Costs { pairs: shapes::S1, ..BF16 },
    fraction: None,
    predicted: shapes::S1_COST,
    ..S2
};

pub(super) const CASES: &[Case] = &[
    S2,
    S1,
    Case {
        variant: "f32",
        full: &Costs { pairs: shapes::S1, ..F32 },
        fraction: Some(Fraction { work: &Costs { pairs: S1_PART, ..F32 }, times: S1_TIMES }),
        predicted: &[],
        ..S1
    },
    Case {
        variant: "TF32",
        full: &Costs { pairs: shapes::S1, ..TF32 },
        fraction: Some(Fraction { work: &Costs { pairs: S1_PART, ..TF32 }, times: S1_TIMES }),
        predicted: &[],
        ..S1
    },
    Case {
        variant: "f32",
        full: &F32,
        fraction: Some(Fraction { work: &Costs { pairs: S2_PART, ..F32 }, times: S2_TIMES }),
        predicted: &[],
        ..S2
    },
    Case {
        variant: "TF32",
        full: &TF32,
        fraction: Some(Fraction { work: &Costs { pairs: S2_PART, ..TF32 }, times: S2_TIMES }),
        predicted: &[],
        ..S2
    },
    Case {
        shape: "few",
        reason: "4 pairs of 64 x 256 at width 1024, too few for tiles of whole clouds",
        full: &Costs { pairs: S2_PART, ..BF16 },
        fraction: None,
        predicted: &[],
        ..S2
    },
    Case {
        shape: "ragged",
        reason: "lengths of real sentences: what odd edges cost",
        full: &Costs { pairs: shapes::RAGGED, ..BF16 },
        fraction: None,
        predicted: &[],
        ..S1
    },
];
