//! Contrastive distillation against memory banks.

use align_kernels::crd::{Bank, MemoryBank};
use align_kernels::device::{DevicePoints, Gpu};
use gpu_runtime::{DeviceBuffer, Stream};

use super::case::{Case, Fraction, Ideal, Run, Work};
use super::shapes::{self, Banks};
use crate::kernels::clustered;

const TEMPERATURE: f64 = 0.07;
const MOMENTUM: f64 = 0.5;

/// A step: the loss of both directions with gradients, then the update of both banks.
#[derive(Debug)]
struct Step {
    banks: Banks,
    /// Whether normalisers are estimated, as in the first batch, or known.
    is_first: bool,
}

impl Step {
    fn slots(&self) -> usize {
        self.banks.negatives + 1
    }

    /// Rows without a pattern, the first of each anchor its own.
    fn drawn(&self) -> Vec<u32> {
        let Banks { batch, rows, .. } = self.banks;
        (0..batch * self.slots()).map(|i| ((i * 7919 + i * i / 7) % rows) as u32).collect()
    }
}

impl Work for Step {
    fn extents(&self) -> String {
        let Banks { batch, negatives, rows, width } = self.banks;
        format!("{batch} x {negatives} of {rows} x {width}")
    }

    /// Each direction multiplies anchors with rows and slopes with them again: with all rows, or with those
    /// that were drawn where they are fewer. An exponential a slot, for an estimate one more. Rows and
    /// indices are read once.
    fn ideal(&self) -> Ideal {
        let Banks { batch, rows, width, .. } = self.banks;
        let slots = (batch * self.slots()) as f64;
        let scores = slots.min((batch * rows) as f64);
        let read = slots.min(rows as f64) * width as f64;
        Ideal {
            flop: 2.0 * 4.0 * scores * width as f64,
            special: if self.is_first { 4.0 } else { 2.0 } * slots,
            bytes: 2.0 * 4.0 * read + 4.0 * slots,
            ..Ideal::default()
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let Banks { batch, rows, width, .. } = self.banks;
        let values = |count, seed| clustered(count, width, seed).into_raw_vec_and_offset().0;
        let bank = |seed| Bank::<Gpu>::on_device(stream, &values(rows, seed), rows, width);
        let mut banks = MemoryBank::new(bank(1)?, bank(2)?)?;
        let z = if self.is_first { [0.0; 2] } else { [1e6; 2] };
        let anchors = |seed| DeviceBuffer::from_slice(stream, &values(batch, seed));
        let (student, teacher) = (anchors(3)?, anchors(4)?);
        let drawn = self.drawn();
        let own: Vec<u32> = drawn.iter().step_by(self.slots()).copied().collect();
        let drawn = DeviceBuffer::from_slice(stream, &drawn)?;
        let own = DeviceBuffer::from_slice(stream, &own)?;
        Ok(Box::new(move || {
            let student = DevicePoints::new(stream, &student, batch, width)?;
            let teacher = DevicePoints::new(stream, &teacher, batch, width)?;
            banks.z = z;
            banks.loss(student, teacher, &drawn, TEMPERATURE)?;
            banks.update(&own, student, teacher, MOMENTUM)?;
            Ok(())
        }))
    }
}

/// A tenth of the rows and of the negatives. Rows of scores start at whole sectors, as those of all 50000.
const PART: Banks = Banks { negatives: 1638, rows: 5000, ..shapes::CRD };
/// Gradients are sums over 64 splits of the rows, and over 9 of a tenth of them; the update is of the
/// anchors' own rows, which the part has all.
const TIMES: &[(&str, f64)] = &[("bank_update", 1.0), ("matmul_sum", 65.0 / 10.0), ("", 10.0)];

const STEP: Case = Case {
    op: "crd",
    shape: "CRD",
    variant: "f32, step",
    reason: "the published setting: 64 anchors, 16384 negatives of 50000 rows, both directions",
    full: &Step { banks: shapes::CRD, is_first: false },
    fraction: Some(Fraction { work: &Step { banks: PART, is_first: false }, times: TIMES }),
    predicted: shapes::CRD_STEP,
};

pub(super) const CASES: &[Case] = &[
    STEP,
    Case {
        shape: "first",
        variant: "f32, first step",
        reason: "the first batch, whose scores fix the normalisers of all that follow",
        full: &Step { banks: shapes::CRD, is_first: true },
        fraction: Some(Fraction { work: &Step { banks: PART, is_first: true }, times: TIMES }),
        predicted: &[],
        ..STEP
    },
    Case {
        shape: "few",
        reason: "64 anchors with 1024 negatives each, whose rows are read where they lie in the banks",
        full: &Step { banks: shapes::CRD_FEW, is_first: false },
        // A quarter of the anchors: none shares anything with another.
        fraction: Some(Fraction {
            work: &Step { banks: Banks { batch: 16, ..shapes::CRD_FEW }, is_first: false },
            times: &[("", 4.0)],
        }),
        predicted: &[],
        ..STEP
    },
];
