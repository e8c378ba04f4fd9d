//! Gradients of bf16 points on tensor cores: plans in bf16 times partners in bf16, sums in f32.
//!
//! Plans are rounded, and the row sums that the gradient needs are those of the rounded ones: a gradient is
//! `sum_j P_ij (x_i - y_j)` with each P off by at most 2^-8 of itself, wherever the clouds lie.

use gpu_runtime::{DeviceBuffer, Launch, args};
use half::bf16;

use super::gradient::pairs_of;
use super::problem::{Problem, Side, wanted_blocks};
use super::updates::Buffer;
use crate::device::clouds::{Clouds, Form};
use crate::device::layout::{Layout, duos};
use crate::device::parcel::{Delivered, Parcel, Place};
use crate::error::Result;
use crate::registry::{GRADIENT_BF16, NARROW};
use crate::sinkhorn::{Call, Cost, Mode};

/// Coordinates of a CTA.
const COORDINATES: u32 = 256;
/// Dynamic shared memory of a CTA, in bytes.
const SHARED: u32 = 133_120;
/// Rows of a plan start at multiples of so many, which are 16 bytes.
const PAD: u32 = 8;

/// What the kernels go by. Sent before the call's work begins.
pub(super) struct Half {
    lists: Delivered,
    duos: [Place; 2],
    duo_counts: [u32; 2],
    starts: Place,
    /// Values of all plans, with what pads their rows.
    len: usize,
}

impl Half {
    /// `None` where gradients are made of f32: other points, other costs, and debiased calls, where gradients
    /// of equal clouds cancel exactly.
    pub fn new(
        problem: &Problem<'_>,
        call: &Call<'_>,
        clouds: &Clouds<'_>,
    ) -> Result<Option<Self>> {
        let options = call.options;
        let is_plain = options.cost == Cost::SqEuclidean && matches!(options.mode, Mode::Fixed(_));
        if clouds.form != Form::BF16 || !is_plain || options.debias {
            return Ok(None);
        }
        let together = call.grid.of_block().max(1) as u32;
        let sides = wanted_blocks(call).map(|blocks| duos(&blocks, together));
        let (starts, len) = starts(&problem.layout);
        let mut parcel = Parcel::default();
        let places = [parcel.put(&sides[0]), parcel.put(&sides[1])];
        let starts = parcel.put(&starts);
        Ok(Some(Self {
            duos: places,
            // Lists longer than a grid can be are refused by the launch.
            duo_counts: sides.map(|list| u32::try_from(list.len()).unwrap_or(u32::MAX)),
            starts,
            len,
            lists: parcel.send(&problem.session)?,
        }))
    }

    /// Gradients by the points of `x` and of `y`, from the plans in f32.
    pub fn by_points(
        &self,
        problem: &Problem<'_>,
        call: &Call<'_>,
        clouds: &Clouds<'_>,
        plan: &Buffer,
    ) -> Result<[Buffer; 2]> {
        let plan = self.narrowed(problem, plan)?;
        let wanted = call.options.gradients;
        let of_side = |side, is_wanted: bool| match is_wanted {
            true => self.of_side(problem, call, clouds, side, &plan),
            false => problem.session.room(0),
        };
        Ok([of_side(Side::Rows, wanted.has_x())?, of_side(Side::Columns, wanted.has_y())?])
    }

    /// The plans in bf16, times the weights of their pairs.
    fn narrowed(&self, problem: &Problem<'_>, plan: &Buffer) -> Result<DeviceBuffer<bf16>> {
        let Problem { session, layout, .. } = problem;
        let mut out = session.room::<bf16>(self.len)?;
        let launch = Launch::new([layout.rows.div_ceil(8), 1, 1], [32, 8, 1]);
        let args = args![
            &mut out,
            plan,
            self.lists.at(self.starts),
            problem.upstream(),
            problem.pairs(),
            problem.pair_of_row(),
            layout.rows,
            layout.pad,
        ];
        // SAFETY: the plans lie as the layout says, and `out` has room for each from its start on.
        unsafe { session.launch(&session.kernel(&NARROW)?, launch, args)? };
        Ok(out)
    }

    fn of_side(
        &self,
        problem: &Problem<'_>,
        call: &Call<'_>,
        clouds: &Clouds<'_>,
        side: Side,
        plan: &DeviceBuffer<bf16>,
    ) -> Result<Buffer> {
        let session = &problem.session;
        let (own, other, partner) = match side {
            Side::Rows => (&clouds.x, &clouds.y, Side::Columns),
            Side::Columns => (&clouds.y, &clouds.x, Side::Rows),
        };
        let mut grad = session.zeros(own.count as usize * clouds.width as usize)?;
        let [first, step, count] = pairs_of(call, side);
        let grid = [self.duo_counts[side as usize], clouds.width.div_ceil(COORDINATES), 1];
        let launch = Launch::new(grid, [256, 1, 1]).dynamic_shared(SHARED);
        let kernel = session.kernel(&GRADIENT_BF16)?;
        session.gpu(kernel.set_dynamic_shared(SHARED))?;
        let args = args![
            &mut grad,
            own.at(),
            other.at(),
            plan,
            self.lists.at(self.starts),
            problem.weights(side),
            problem.weights(partner),
            problem.pairs(),
            self.lists.at(self.duos[side as usize]),
            clouds.width,
            own.stride,
            other.stride,
            clouds.width,
            side as u32,
            first,
            step,
            count,
        ];
        // SAFETY: the blocks are of items that are in a pair, with as many pairs as the pairing has, and two
        // of a CTA have the same partners; rows of both clouds and of the plans start at multiples of 16
        // bytes; `grad` has a row of `width` for each point; weights are those of the sides.
        unsafe { session.launch(&kernel, launch, args)? };
        Ok(grad)
    }
}

/// Where the plan of each pair starts, and where the last one ends.
fn starts(layout: &Layout) -> (Vec<u64>, usize) {
    let mut end = 0;
    let starts = layout.pairs.iter().map(|&[_, n, _, m, ..]| {
        let start = end as u64;
        end += n as usize * m.next_multiple_of(PAD) as usize;
        start
    });
    (starts.collect(), end)
}
