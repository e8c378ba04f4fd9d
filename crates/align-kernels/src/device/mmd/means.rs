//! Means of both sides of items.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::call::Call;
use super::items::{Item, spans};
use crate::device::clouds::{Clouds, Form};
use crate::error::Result;
use crate::registry::{MMD_COLUMN_SUMS, MMD_MEANS};

/// Points of a partial sum: enough for a pass over 8192 points to fill a GPU.
const SPAN: usize = 256;

/// Means on the device, in the order of the items they were made for.
pub(super) struct Means {
    /// `(2 items, D)`: of `x` and of `y`, one after the other.
    pub sides: DeviceBuffer<f64>,
    /// `(items, D)`: of both together.
    pub centres: DeviceBuffer<f32>,
    width: usize,
}

impl Means {
    pub fn of(call: &Call<'_>, clouds: &Clouds<'_>, items: &[Item]) -> Result<Self> {
        let session = &call.session;
        let mut lists = [vec![], vec![]];
        let mut records = vec![[0u32; 8]; items.len()];
        for (k, item) in items.iter().enumerate() {
            for (side, list) in lists.iter_mut().enumerate() {
                let own = spans(item.points[side].clone(), 0, 2 * k + side, SPAN);
                let (first, count) = (list.len() as u32, own.len() as u32);
                records[k][4 * side..][..3].copy_from_slice(&[
                    first,
                    count,
                    item.counts()[side] as u32,
                ]);
                list.extend(own);
            }
        }
        let split = lists[0].len();
        records.iter_mut().for_each(|record| record[4] += split as u32);
        let (records, width) = (session.send(&records)?, call.width);
        let all: Vec<_> = lists.concat();
        let spans = session.send(&all)?;
        let sums = session.room::<f64>(all.len() * width)?;
        let kernel = session.kernel(&MMD_COLUMN_SUMS)?;
        let narrow = u32::from(clouds.form == Form::BF16);
        for (rows, first, count) in [(&clouds.x, 0, split), (&clouds.y, split, all.len() - split)] {
            let launch = Launch::new([count as u32, clouds.width.div_ceil(32), 1], [32, 8, 1]);
            let args = args![
                Arg::address(sums.address() + 8 * (first * width) as u64),
                rows.at(),
                Arg::address(spans.address() + 16 * first as u64),
                clouds.width,
                rows.stride,
                narrow,
            ];
            // SAFETY: the spans are of rows of this cloud, and `sums` has a row for each of both lists.
            unsafe { session.launch(&kernel, launch, args)? };
        }
        let mut sides = session.room(2 * items.len() * width)?;
        let mut centres = session.room(items.len() * width)?;
        let kernel = session.kernel(&MMD_MEANS)?;
        let launch = Launch::new([items.len() as u32, clouds.width.div_ceil(256), 1], [256, 1, 1]);
        let args = args![&mut sides, &mut centres, &sums, &records, clouds.width];
        // SAFETY: the records name spans of `sums`; there is room for two sides and a centre an item.
        unsafe { session.launch(&kernel, launch, args)? };
        Ok(Self { sides, centres, width })
    }

    /// `|mean_x - mean_y|^2`, `|mean_x|^2` and `|mean_y|^2` of each item. Waits for the device.
    pub fn squares(&self, call: &Call<'_>) -> Result<Vec<[f64; 3]>> {
        let means = call.session.fetch(&self.sides)?;
        let of_item = |both: &[f64]| {
            let (x, y) = both.split_at(self.width);
            let gap = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
            let square = |mean: &[f64]| mean.iter().map(|m| m * m).sum();
            [gap, square(x), square(y)]
        };
        Ok(means.chunks_exact(2 * self.width).map(of_item).collect())
    }
}
