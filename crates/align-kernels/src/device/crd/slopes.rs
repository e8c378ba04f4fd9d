//! Losses and slopes of a table of scores.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use crate::device::session::{Session, extent};
use crate::error::Result;
use crate::registry::CRD_SLOPES;

/// Scores that a CTA takes of a row.
const SPAN: usize = 1024;
/// CTAs of a grid, and columns of a row, are below this.
const MOST: u32 = 1 << 31;

/// What the scores of a call have in common.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    /// How often each score is a negative, `(R, C)`.
    pub counts: &'a DeviceBuffer<u32>,
    /// The column of each row's positive, `stride` entries apart.
    pub positives: &'a DeviceBuffer<u32>,
    pub stride: usize,
    pub rows: usize,
    pub cols: usize,
    pub inverse: f32,
    pub shift: f32,
    /// Of a positive.
    pub weight: f32,
}

/// Turns products `(R, C)` into slopes; gives the partial losses, to be added in order.
pub(super) fn slopes(
    session: &Session<'_>,
    table: Table<'_>,
    scores: &mut DeviceBuffer<f32>,
) -> Result<DeviceBuffer<f64>> {
    let cols = extent(session.op, "the columns of the scores", table.cols, MOST)?;
    let spans = table.cols.div_ceil(SPAN);
    let ctas = extent(session.op, "the scores", table.rows * spans, MOST)?;
    let stride = extent(session.op, "the rows of an anchor", table.stride, MOST)?;
    let mut sums = session.room(ctas as usize)?;
    let kernel = session.kernel(&CRD_SLOPES)?;
    let args = args![
        scores,
        &mut sums,
        table.counts,
        table.positives,
        stride,
        cols,
        spans as u32,
        table.inverse,
        table.shift,
        table.weight,
    ];
    // SAFETY: scores and counts are `(R, C)`, positives reach `R * stride`, and sums has a partial loss
    // for each span of a row.
    unsafe { session.launch(&kernel, Launch::linear(ctas, 256), args)? };
    Ok(sums)
}

/// Adds partial losses in their order.
pub(super) fn total(session: &Session<'_>, sums: &DeviceBuffer<f64>) -> Result<f64> {
    Ok(session.fetch(sums)?.into_iter().sum())
}

/// A flag that kernels set.
pub(super) struct Flag(DeviceBuffer<u32>);

impl Flag {
    pub fn new(session: &Session<'_>) -> Result<Self> {
        Ok(Self(session.zeros(1)?))
    }

    /// Kernels set it by an atomic.
    pub fn arg(&self) -> Arg<'_> {
        Arg::address(self.0.address())
    }

    /// Waits for the stream.
    pub fn is_set(&self, session: &Session<'_>) -> Result<bool> {
        Ok(session.fetch(&self.0)?[0] != 0)
    }
}
