//! Rows of a bank in device memory, and how they move.

use gpu_runtime::{Arg, DeviceBuffer, Launch, Stream, args};

use super::slopes::Flag;
use super::wide;
use crate::crd::memory_bank::check_fresh;
use crate::device::points::DevicePoints;
use crate::device::session::{Session, extent};
use crate::error::{KernelError, Result};
use crate::registry::BANK_UPDATE;

/// Samples of a bank, entries of an index and extents are below this.
const MOST: u32 = 1 << 31;

/// `(M, P)` rows in device memory.
#[derive(Debug)]
pub struct DeviceTable {
    values: DeviceBuffer<f32>,
    stream: Stream,
    n_data: usize,
    width: usize,
}

impl DeviceTable {
    pub(super) fn new(stream: &Stream, rows: &[f32], n_data: usize, width: usize) -> Result<Self> {
        if n_data.checked_mul(width) != Some(rows.len()) {
            let text = format!("{} values, expected ({n_data}, {width})", rows.len());
            return Err(KernelError::shape("memory bank", text));
        }
        let values = DeviceBuffer::from_slice(stream, rows)
            .map_err(|error| KernelError::device("memory bank", &error))?;
        Ok(Self { values, stream: stream.clone(), n_data, width })
    }

    pub(super) fn dim(&self) -> (usize, usize) {
        (self.n_data, self.width)
    }

    pub(super) fn values(&self) -> &DeviceBuffer<f32> {
        &self.values
    }

    /// The rows as points, so that a call orders itself after work on them.
    pub(super) fn points(&self) -> Result<DevicePoints<'_>> {
        DevicePoints::new(&self.stream, &self.values, self.n_data, self.width)
    }
}

/// [`Bank::update`](crate::crd::Bank::update) of checked extents.
pub(super) fn update(
    table: &mut DeviceTable,
    index: &DeviceBuffer<u32>,
    fresh: DevicePoints<'_>,
    momentum: f64,
) -> Result<()> {
    let (n_data, width) = table.dim();
    let session = Session::begin("memory bank", fresh, table.points()?)?;
    let is_set = session.finish(|| {
        let clouds = wide(&session, fresh)?;
        let flag = Flag::new(&session)?;
        let count = extent(session.op, "the rows to move", index.len(), MOST)?;
        let rows = extent(session.op, "the rows of the bank", n_data, MOST)?;
        let kernel = session.kernel(&BANK_UPDATE)?;
        let args = args![
            Arg::address(table.values.address()),
            flag.arg(),
            clouds.x.at(),
            index,
            clouds.x.stride,
            clouds.width,
            rows,
            count,
            momentum,
        ];
        let launch = Launch::new([count.div_ceil(8), 1, 1], [32, 8, 1]);
        // SAFETY: the table is borrowed mutably and has `(M, P)` values; `fresh` has a row of `P` for each
        // index, a stride apart.
        unsafe { session.launch(&kernel, launch, args)? };
        flag.is_set(&session)
    })?;
    let extents = (fresh.count(), fresh.width());
    check_fresh(extents, (index.len(), width), n_data, !is_set)
}
