//! CRD on the device: scores by a product, their losses and slopes by a kernel, gradients by products.
//!
//! Everything is f32: bf16 vectors are widened first, since they are few and narrow.

mod bank;
mod contrast;
mod in_batch;
mod slopes;

pub use bank::DeviceTable;

use gpu_runtime::{DeviceBuffer, Stream};

use super::Gpu;
use super::clouds::Clouds;
use super::points::DevicePoints;
use super::session::Session;
use crate::crd::{Bank, Crd, Distillation};
use crate::error::Result;

impl Distillation for Gpu {
    type Gradient = DeviceBuffer<f32>;
    type Table = DeviceTable;
    type Indices<'a> = &'a DeviceBuffer<u32>;

    fn in_batch(
        student: DevicePoints<'_>,
        teacher: DevicePoints<'_>,
        clip_of: &[usize],
        drawn: &[usize],
        temperature: f64,
        n_data: usize,
    ) -> Result<Crd<DeviceBuffer<f32>>> {
        in_batch::run(student, teacher, clip_of, drawn, temperature, n_data)
    }

    fn dim(table: &DeviceTable) -> (usize, usize) {
        table.dim()
    }

    fn count(indices: &DeviceBuffer<u32>) -> usize {
        indices.len()
    }

    /// Only the kernels see them: they set a flag.
    fn are_below(_: &DeviceBuffer<u32>, _: usize) -> bool {
        true
    }

    fn contrast(
        table: &DeviceTable,
        anchors: DevicePoints<'_>,
        rows: &DeviceBuffer<u32>,
        temperature: f64,
        z: &mut f64,
    ) -> Result<(f64, DeviceBuffer<f32>)> {
        contrast::run(table, anchors, rows, temperature, z)
    }

    fn update(
        table: &mut DeviceTable,
        index: &DeviceBuffer<u32>,
        fresh: DevicePoints<'_>,
        momentum: f64,
    ) -> Result<()> {
        bank::update(table, index, fresh, momentum)
    }
}

impl Bank<Gpu> {
    /// A bank with these rows on the device, `(M, P)`, row after row.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when an extent is 0 or `rows` has another length;
    /// [`Device`](crate::ErrorKind::Device) when the GPU fails.
    pub fn on_device(stream: &Stream, rows: &[f32], n_data: usize, width: usize) -> Result<Self> {
        Self::of(DeviceTable::new(stream, rows, n_data, width)?)
    }

    /// All rows, `(M, P)`, row after row.
    pub fn values(&self) -> &DeviceBuffer<f32> {
        self.table().values()
    }
}

/// One cloud in f32.
fn wide<'a>(session: &Session<'_>, points: DevicePoints<'a>) -> Result<Clouds<'a>> {
    Clouds::wide(session, points, points)
}
