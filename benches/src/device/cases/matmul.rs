//! Matrix products by themselves, of each precision.

use gpu_math::{Element, Matrix, MatrixMut, Precision, Products, Scale, matmul};
use gpu_runtime::{DeviceBuffer, Stream};
use half::bf16;

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::clouds::Format;
use super::shapes;
use crate::kernels::clustered;

/// f32 values that have to start a row together for TF32.
const PIECE: usize = 4;

/// `out = A B`, f32 out.
#[derive(Debug)]
struct Product {
    /// `m, n, k`.
    extents: [usize; 3],
    format: Format,
    precision: Precision,
}

impl Product {
    /// Elements from one row of an operand to the next: TF32 is for rows at multiples of 16 bytes alone.
    fn stride(&self, columns: usize) -> usize {
        match self.precision {
            Precision::Exact => columns,
            Precision::Tf32 => columns.next_multiple_of(PIECE),
        }
    }

    fn of<'a, T: Element>(
        &'a self,
        stream: &'a Stream,
        narrow: fn(f32) -> T,
    ) -> anyhow::Result<Run<'a>> {
        let [m, n, k] = self.extents;
        let operand = |rows, columns, seed| {
            let values = clustered(rows, self.stride(columns), seed).into_iter().map(narrow);
            DeviceBuffer::from_slice(stream, &values.collect::<Vec<T>>())
        };
        let (a, b) = (operand(m, k, 1)?, operand(k, n, 2)?);
        let mut out = DeviceBuffer::<f32>::uninit(stream, m * n)?;
        let products = Products::new(stream.device()).with_precision(self.precision);
        Ok(Box::new(move || {
            let a = Matrix::new(&a, m, k, self.stride(k))?;
            let b = Matrix::new(&b, k, n, self.stride(n))?;
            let out = MatrixMut::new(&mut out, m, n, n)?;
            matmul(&products, stream, a, b, out, Scale::default())?;
            Ok(())
        }))
    }
}

impl Work for Product {
    fn extents(&self) -> String {
        let [m, n, k] = self.extents;
        format!("{m} x {n} x {k}")
    }

    fn ideal(&self) -> Ideal {
        let [m, n, k] = self.extents.map(|extent| extent as f64);
        let flop = 2.0 * m * n * k;
        let bytes = (m * k + k * n) * self.format.bytes() + 4.0 * m * n;
        self.format.product(self.precision, flop, Ideal { bytes, ..Ideal::default() })
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        match self.format {
            Format::F32 => self.of(stream, |value| value),
            Format::Bf16 => self.of(stream, bf16::from_f32),
        }
    }
}

const BF16: Product =
    Product { extents: shapes::FEED_FORWARD, format: Format::Bf16, precision: Precision::Exact };
const TF32: Product = Product { format: Format::F32, precision: Precision::Tf32, ..BF16 };
const F32: Product = Product { format: Format::F32, ..BF16 };
/// All terms of some whole tiles: the `K` of the shape is short enough not to be split in either.
const PART: [usize; 3] = [256, 512, shapes::FEED_FORWARD[2]];
const TIMES: &[(&str, f64)] = &[("", 32.0 * 6.0)];

const FEED_FORWARD: Case = Case {
    op: "matmul",
    shape: "feed-forward",
    variant: "bf16",
    reason: "the first map of a BERT layer on 8192 tokens, 768 to 3072",
    full: &BF16,
    fraction: Some(Fraction { work: &Product { extents: PART, ..BF16 }, times: TIMES }),
    predicted: shapes::FEED_FORWARD_BF16,
};
const ODD: Case = Case {
    shape: "odd",
    reason: "no extent a multiple of 8 and rows anywhere: what edges and single elements cost",
    full: &Product { extents: shapes::ODD, ..BF16 },
    fraction: None,
    predicted: &[],
    ..FEED_FORWARD
};

pub(super) const CASES: &[Case] = &[
    FEED_FORWARD,
    Case {
        variant: "f32",
        full: &F32,
        fraction: Some(Fraction { work: &Product { extents: PART, ..F32 }, times: TIMES }),
        predicted: shapes::FEED_FORWARD_F32,
        ..FEED_FORWARD
    },
    Case {
        variant: "TF32",
        full: &TF32,
        fraction: Some(Fraction { work: &Product { extents: PART, ..TF32 }, times: TIMES }),
        predicted: &[],
        ..FEED_FORWARD
    },
    ODD,
    Case { variant: "f32", full: &Product { extents: shapes::ODD, ..F32 }, ..ODD },
    Case {
        variant: "TF32",
        reason: "the same extents in rows that start at multiples of 16 bytes, without which f32 stays exact",
        full: &Product { extents: shapes::ODD, ..TF32 },
        ..ODD
    },
];
