//! A pair as the kernels see it.

use super::shape::Shape;
use crate::device::sinkhorn::problem::{Problem, Side};
use crate::device::sinkhorn::updates::Buffer;

/// `K, rows, room, state` as two words each; `log2 of the warps along a row, parts, blocks, streamed blocks`;
/// `panels, m, n, row stride of C`; `f, g, a, b, C`, two words each; `pair, 0`.
pub(super) type Job = [u32; 28];

/// Addresses of a pair's scratch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scratch {
    pub kernel: u64,
    pub rows: u64,
    pub room: u64,
    pub state: u64,
}

/// The job of pair `k`.
pub(super) fn job(
    problem: &Problem<'_>,
    cost: &Buffer,
    (f, g): &(&mut Buffer, &mut Buffer),
    (k, shape): (usize, Shape),
    scratch: Scratch,
) -> Job {
    let [x, n, y, m, low, high, f_start, g_start] = problem.layout.pairs[k];
    let start = u64::from(high) << 32 | u64::from(low);
    let words = |address: u64| [address as u32, (address >> 32) as u32];
    let own = [scratch.kernel, scratch.rows, scratch.room, scratch.state].map(words);
    let addresses = [
        f.address() + 4 * u64::from(f_start),
        g.address() + 4 * u64::from(g_start),
        problem.weights_at(Side::Rows) + 4 * u64::from(x),
        problem.weights_at(Side::Columns) + 4 * u64::from(y),
        cost.address() + 4 * start,
    ];
    let Shape { wide, blocks, streamed, panels, .. } = shape;
    let mut job = [0; 28];
    job[..8].copy_from_slice(own.as_flattened());
    job[8..16].copy_from_slice(&[
        wide,
        shape.parts(),
        blocks,
        streamed,
        panels,
        m,
        n,
        problem.layout.stride(k),
    ]);
    job[16..26].copy_from_slice(addresses.map(words).as_flattened());
    // The layout refuses more pairs.
    job[26] = k as u32;
    job
}
