//! InfoNCE of two clouds with gradients, both directions.

use align_kernels::info_nce::{Options, info_nce};
use gpu_runtime::Stream;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::{CloudOnDevice, Format};
use super::shapes;

/// So many rows, each with a partner among as many or more columns.
#[derive(Debug)]
struct Contrast {
    rows: usize,
    columns: usize,
    width: usize,
    format: Format,
}

impl Work for Contrast {
    fn extents(&self) -> String {
        match self.rows == self.columns {
            true => format!("{} x {}", self.rows, self.width),
            false => format!("{} of {} x {}", self.rows, self.columns, self.width),
        }
    }

    /// Logits once for the sums and once for the slopes, and a product with the slopes for each side;
    /// one exponential a logit and pass. Gradients are f32.
    fn ideal(&self) -> Ideal {
        let (n, m, d) = (self.rows as f64, self.columns as f64, self.width as f64);
        let product = 8.0 * n * m * d;
        let bytes = (n + m) * d * (self.format.bytes() + 4.0);
        let base = Ideal { special: 2.0 * n * m, bytes, ..Ideal::default() };
        match self.format {
            Format::F32 => Ideal { flop: product, ..base },
            Format::Bf16 => Ideal { mma_flop: product, ..base },
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let x = CloudOnDevice::new(stream, &[self.rows], self.width, self.format, 1)?;
        let y = CloudOnDevice::new(stream, &[self.columns], self.width, self.format, 2)?;
        let options = Options { temperature: 0.07, symmetric: true, ..Options::default() };
        Ok(Box::new(move || {
            info_nce(x.ragged()?.points(), y.ragged()?.points(), &options)?;
            Ok(())
        }))
    }
}

/// So many pairs.
const fn pairs(at: usize, format: Format) -> Contrast {
    let count = shapes::INFO_NCE[at].0;
    Contrast { rows: count, columns: count, width: shapes::WIDTH, format }
}

/// What is interpreted: half a window of rows against some of the columns. As in the whole, sums over
/// columns are split, and those over the rows of a window are not.
const PART: Contrast = Contrast { rows: 512, columns: 1024, ..pairs(0, Format::Bf16) };
/// The same of f32 points, a quarter of it.
const PART_F32: Contrast = Contrast { rows: 128, columns: 1024, ..pairs(0, Format::F32) };

/// How the whole is cut on an H200.
struct Cut {
    /// Splits of sums over columns.
    splits: f64,
    /// Logits whose sums are one partial sum of a row, and of a column.
    block: [f64; 2],
}

/// Windows of 1024 rows up to 16384 pairs, of 512, of 384.
const LARGE: Cut = Cut { splits: 4.0, block: [512.0, 1024.0] };
const OF_16384: Cut = Cut { splits: 4.0, ..OF_PART };
const OF_32768: Cut = Cut { splits: 8.0, ..OF_PART };
const OF_65536: Cut = Cut { splits: 10.0, ..OF_PART };
const OF_PART: Cut = Cut { splits: 2.0, block: [256.0, 128.0] };
/// Of f32, whose tiles are smaller.
const LARGE_F32: Cut = Cut { splits: 2.0, block: [256.0, 1024.0] };
const OF_PART_F32: Cut = Cut { splits: 2.0, block: [128.0, 128.0] };

/// How often each kernel's work in a part is in the whole: its pairs, and what passes over points, partial
/// sums or splits.
const fn times(at: usize, whole: Cut, part: (&Contrast, Cut)) -> [(&'static str, f64); 5] {
    let pairs = shapes::INFO_NCE[at].0 as f64;
    let (part, cut) = part;
    let (n, m) = (part.rows as f64, part.columns as f64);
    let points = 2.0 * pairs / (n + m);
    let partials = pairs * pairs * (1.0 / whole.block[0] + 1.0 / whole.block[1])
        / (n * m * (1.0 / cut.block[0] + 1.0 / cut.block[1]));
    // Each split is read, and their sum written.
    let sums = (whole.splits + 1.0) / (cut.splits + 1.0) * pairs / n;
    [
        ("info_nce_pack", points),
        ("info_nce_finish", points),
        ("info_nce_combine", partials),
        ("matmul_sum", sums),
        ("", pairs * pairs / (n * m)),
    ]
}

const B8192: Case = Case {
    op: "info-nce",
    shape: "B8192",
    variant: "bf16, gradients",
    reason: "8192 pairs at width 1024, whose logits would take 268 MB a direction",
    full: &pairs(0, Format::Bf16),
    fraction: Some(Fraction { work: &PART, times: &times(0, LARGE, (&PART, OF_PART)) }),
    predicted: shapes::INFO_NCE[0].1,
};

pub(super) const CASES: &[Case] = &[
    B8192,
    Case {
        shape: "B65536",
        reason: "65536 pairs at width 1024, whose logits would take 17 GB a direction",
        full: &pairs(3, Format::Bf16),
        fraction: Some(Fraction { work: &PART, times: &times(3, OF_65536, (&PART, OF_PART)) }),
        predicted: shapes::INFO_NCE[3].1,
        ..B8192
    },
    Case {
        shape: "B32768",
        reason: "32768 pairs at width 1024, whose logits would take 4.3 GB a direction",
        full: &pairs(2, Format::Bf16),
        fraction: Some(Fraction { work: &PART, times: &times(2, OF_32768, (&PART, OF_PART)) }),
        predicted: shapes::INFO_NCE[2].1,
        ..B8192
    },
    Case {
        shape: "B16384",
        reason: "16384 pairs at width 1024, whose logits would take 1.1 GB a direction",
        full: &pairs(1, Format::Bf16),
        fraction: Some(Fraction { work: &PART, times: &times(1, OF_16384, (&PART, OF_PART)) }),
        predicted: shapes::INFO_NCE[1].1,
        ..B8192
    },
    Case {
        variant: "f32, gradients",
        reason: "8192 pairs of f32 points, which are multiplied exactly, outside tensor cores",
        full: &pairs(0, Format::F32),
        fraction: Some(Fraction {
            work: &PART_F32,
            times: &times(0, LARGE_F32, (&PART_F32, OF_PART_F32)),
        }),
        predicted: &[],
        ..B8192
    },
    Case {
        shape: "small",
        reason: "512 pairs at width 256, a batch of a recipe, whose logits would take 1 MB",
        full: &Contrast { rows: 512, columns: 512, width: 256, format: Format::Bf16 },
        fraction: None,
        predicted: &[],
        ..B8192
    },
    Case {
        shape: "small-f32",
        variant: "f32, gradients",
        reason: "256 pairs of f32 points at width 256, multiplied exactly",
        full: &Contrast { rows: 256, columns: 256, width: 256, format: Format::F32 },
        fraction: None,
        predicted: &[],
        ..B8192
    },
];
