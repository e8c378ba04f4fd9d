//! InfoNCE of two clouds with gradients, both directions.

use align_kernels::info_nce::{Options, info_nce};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes;

/// So many pairs.
#[derive(Debug)]
struct Contrast {
    batch: usize,
    format: Format,
}

impl Work for Contrast {
    fn extents(&self) -> String {
        format!("{} x {}", self.batch, shapes::WIDTH)
    }

    /// Logits once for the sums and once for the slopes, and a product with the slopes for each side;
    /// one exponential a logit and pass. Gradients are f32.
    fn ideal(&self) -> Ideal {
        let (b, d) = (self.batch as f64, shapes::WIDTH as f64);
        let product = 8.0 * b * b * d;
        let bytes = 2.0 * b * d * (self.format.bytes() + 4.0);
        let base = Ideal { special: 2.0 * b * b, bytes, ..Ideal::default() };
        match self.format {
            Format::F32 => Ideal { flop: product, ..base },
            Format::Bf16 => Ideal { mma_flop: product, ..base },
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let x = CloudOnDevice::new(stream, &[self.batch], shapes::WIDTH, self.format, 1)?;
        let y = CloudOnDevice::new(stream, &[self.batch], shapes::WIDTH, self.format, 2)?;
        let options = Options { temperature: 0.07, symmetric: true, ..Options::default() };
        Ok(Box::new(move || {
            info_nce(x.ragged()?.points(), y.ragged()?.points(), &options)?;
            Ok(())
        }))
    }
}

/// Pairs that are interpreted: two tiles a side.
const PART: usize = 256;

/// Rows times as many, and pairs of rows its square. `B / 256` of the sizes below.
macro_rules! times {
    ($ratio:literal) => {
        &[
            ("info_nce_pack", $ratio),
            ("info_nce_finish", $ratio),
            ("info_nce_total", $ratio),
            ("", $ratio * $ratio),
        ]
    };
}

const B8192: Case = Case {
    op: "info-nce",
    shape: "B8192",
    variant: "bf16, gradients",
    reason: "8192 pairs at width 1024, whose logits would take 268 MB a direction",
    full: &Contrast { batch: shapes::INFO_NCE[0].0, format: Format::Bf16 },
    fraction: Some(Fraction {
        work: &Contrast { batch: PART, format: Format::Bf16 },
        times: times!(32.0),
    }),
    predicted: shapes::INFO_NCE[0].1,
};

pub(super) const CASES: &[Case] = &[
    B8192,
    Case {
        shape: "B65536",
        reason: "65536 pairs at width 1024, whose logits would take 17 GB a direction",
        full: &Contrast { batch: shapes::INFO_NCE[3].0, format: Format::Bf16 },
        fraction: Some(Fraction {
            work: &Contrast { batch: PART, format: Format::Bf16 },
            times: times!(256.0),
        }),
        predicted: shapes::INFO_NCE[3].1,
        ..B8192
    },
    Case {
        shape: "B32768",
        reason: "32768 pairs at width 1024, whose logits would take 4.3 GB a direction",
        full: &Contrast { batch: shapes::INFO_NCE[2].0, format: Format::Bf16 },
        fraction: Some(Fraction {
            work: &Contrast { batch: PART, format: Format::Bf16 },
            times: times!(128.0),
        }),
        predicted: shapes::INFO_NCE[2].1,
        ..B8192
    },
    Case {
        shape: "B16384",
        reason: "16384 pairs at width 1024, whose logits would take 1.1 GB a direction",
        full: &Contrast { batch: shapes::INFO_NCE[1].0, format: Format::Bf16 },
        fraction: Some(Fraction {
            work: &Contrast { batch: PART, format: Format::Bf16 },
            times: times!(64.0),
        }),
        predicted: shapes::INFO_NCE[1].1,
        ..B8192
    },
    Case {
        variant: "f32, gradients",
        reason: "8192 pairs of f32 points, which are multiplied exactly, outside tensor cores",
        full: &Contrast { batch: shapes::INFO_NCE[0].0, format: Format::F32 },
        fraction: Some(Fraction {
            work: &Contrast { batch: PART, format: Format::F32 },
            times: times!(32.0),
        }),
        predicted: &[],
        ..B8192
    },
];
