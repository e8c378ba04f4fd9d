//! Ragged clouds in device memory, owned, for closures that run many times.

use align_kernels::Ragged;
use align_kernels::device::{DevicePoints, DeviceValues, Gpu, Precision};
use gpu_runtime::{DeviceBuffer, Stream};
use half::bf16;

use super::case::Ideal;
use crate::kernels::{clustered, offsets};

/// Number format of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// f32.
    F32,
    /// bf16.
    Bf16,
}

impl Format {
    /// Bytes of a number.
    pub(super) fn bytes(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::Bf16 => 2.0,
        }
    }

    /// So many operations of a product, where they can be done at the soonest.
    pub(super) fn product(self, precision: Precision, flop: f64, rest: Ideal) -> Ideal {
        match (self, precision) {
            (Self::F32, Precision::Exact) => Ideal { flop: rest.flop + flop, ..rest },
            (Self::F32, Precision::Tf32) => {
                Ideal { mma_flop: rest.mma_flop + flop, tf32_flop: rest.tf32_flop + flop, ..rest }
            }
            (Self::Bf16, _) => Ideal { mma_flop: rest.mma_flop + flop, ..rest },
        }
    }
}

/// Points of one side.
pub(super) struct CloudOnDevice<'a> {
    memory: Memory,
    stream: &'a Stream,
    offsets: Vec<usize>,
    width: usize,
    precision: Precision,
}

enum Memory {
    F32(DeviceBuffer<f32>),
    Bf16(DeviceBuffer<bf16>),
}

impl<'a> CloudOnDevice<'a> {
    /// Unit vectors in clusters, from a seed.
    pub(super) fn new(
        stream: &'a Stream,
        lengths: &[usize],
        width: usize,
        format: Format,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let offsets = offsets(lengths);
        let values = clustered(offsets[lengths.len()], width, seed).into_raw_vec_and_offset().0;
        let memory = match format {
            Format::F32 => Memory::F32(DeviceBuffer::from_slice(stream, &values)?),
            Format::Bf16 => {
                let narrow: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
                Memory::Bf16(DeviceBuffer::from_slice(stream, &narrow)?)
            }
        };
        Ok(Self { memory, stream, offsets, width, precision: Precision::Exact })
    }

    /// The same, whose costs may be made from rounded points.
    pub(super) fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The batch, as functions take it.
    pub(super) fn ragged(&self) -> anyhow::Result<Ragged<'_, Gpu>> {
        let values: DeviceValues<'_> = match &self.memory {
            Memory::F32(buffer) => buffer.into(),
            Memory::Bf16(buffer) => buffer.into(),
        };
        let count = self.offsets[self.offsets.len() - 1];
        let points = DevicePoints::new(self.stream, values, count, self.width)?;
        Ok(Ragged::on_device(points.with_precision(self.precision), &self.offsets)?)
    }
}
