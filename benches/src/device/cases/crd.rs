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

    /// Each direction multiplies the anchors with all rows and the slopes with them again; banks and
    /// indices are read once.
    fn ideal(&self) -> Ideal {
        let Banks { batch, rows, width, .. } = self.banks;
        let (dense, slots) = ((batch * rows * width) as f64, (batch * self.slots()) as f64);
        Ideal {
            flop: 2.0 * 4.0 * dense,
            special: 2.0 * slots,
            bytes: 2.0 * 4.0 * (rows * width) as f64 + 4.0 * slots,
            ..Ideal::default()
        }
    }

    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>> {
        let Banks { batch, rows, width, .. } = self.banks;
        let values = |count, seed| clustered(count, width, seed).into_raw_vec_and_offset().0;
        let bank = |seed| Bank::<Gpu>::on_device(stream, &values(rows, seed), rows, width);
        let mut banks = MemoryBank::new(bank(1)?, bank(2)?)?;
        // Fixed, as in all batches but the first.
        banks.z = [1e6; 2];
        let anchors = |seed| DeviceBuffer::from_slice(stream, &values(batch, seed));
        let (student, teacher) = (anchors(3)?, anchors(4)?);
        let drawn = self.drawn();
        let own: Vec<u32> = drawn.iter().step_by(self.slots()).copied().collect();
        let drawn = DeviceBuffer::from_slice(stream, &drawn)?;
        let own = DeviceBuffer::from_slice(stream, &own)?;
        Ok(Box::new(move || {
            let student = DevicePoints::new(stream, &student, batch, width)?;
            let teacher = DevicePoints::new(stream, &teacher, batch, width)?;
            banks.loss(student, teacher, &drawn, TEMPERATURE)?;
            banks.update(&own, student, teacher, MOMENTUM)?;
            Ok(())
        }))
    }
}

pub(super) const CASES: &[Case] = &[Case {
    op: "crd",
    shape: "CRD",
    variant: "f32, step",
    reason: "the published setting: 64 anchors, 16384 negatives of 50000 rows, both directions",
    full: &Step { banks: shapes::CRD },
    // A 16th of the rows and of the negatives; the update of the anchors' own rows is all of it.
    fraction: Some(Fraction {
        work: &Step { banks: Banks { negatives: 1024, rows: 3125, ..shapes::CRD } },
        times: &[("bank_update", 1.0), ("", 16.0)],
    }),
    predicted: shapes::CRD_STEP,
}];
