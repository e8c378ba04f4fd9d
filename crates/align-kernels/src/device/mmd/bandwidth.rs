//! Squared distances for a median.

use gpu_runtime::{Launch, args};

use crate::device::Gpu;
use crate::device::clouds::Clouds;
use crate::device::session::Session;
use crate::error::Result;
use crate::mmd::chosen;
use crate::ragged::Ragged;
use crate::registry::MMD_DISTANCES;

/// Marks a row of `y`.
const OF_Y: u32 = 1 << 31;

/// Those between the chosen points of each item. At most 130816 an item, so they are copied and the
/// middle one is found on the host: exactly, and in the time that a sort on the device takes to start.
pub(in crate::device) fn squared_distances(
    x: &Ragged<'_, Gpu>,
    y: &Ragged<'_, Gpu>,
) -> Result<Vec<f64>> {
    let session = Session::begin("median_bandwidth", x.points(), y.points())?;
    session.finish(|| {
        let (mut rows, mut points, mut pairs) = (vec![], vec![], 0usize);
        for k in 0..x.items() {
            let (of_x, of_y) = (x.range(k), y.range(k));
            let first = rows.len() as u32;
            for (i, at) in chosen(of_x.len() + of_y.len()).enumerate() {
                rows.push(match at.checked_sub(of_x.len()) {
                    None => (of_x.start + at) as u32,
                    Some(at) => (of_y.start + at) as u32 | OF_Y,
                });
                points.push([first, i as u32, pairs as u32, (pairs as u64 >> 32) as u32]);
                pairs += i;
            }
        }
        if pairs == 0 || x.points().width() == 0 {
            return Ok(vec![0.0; pairs]);
        }
        let clouds = Clouds::wide(&session, x.points(), y.points())?;
        let mut out = session.room::<f64>(pairs)?;
        let count = points.len() as u32;
        let (rows, points) = (session.send(&rows)?, session.send(&points)?);
        let args = args![
            &mut out,
            clouds.x.at(),
            clouds.y.at(),
            &rows,
            &points,
            clouds.width,
            clouds.x.stride,
            clouds.y.stride,
        ];
        let kernel = session.kernel(&MMD_DISTANCES)?;
        let launch = Launch::new([count, 1, 1], [32, 8, 1]);
        // SAFETY: rows are of both clouds, and `out` has room for the pairs that points start.
        unsafe { session.launch(&kernel, launch, args)? };
        session.fetch(&out)
    })
}
