//! The falling temperatures of GeomLoss, from diameters that the device measures.

use gpu_runtime::{DeviceBuffer, Launch, args};

use crate::device::clouds::{Clouds, Form, Rows};
use crate::device::pairwise_cost::norms;
use crate::device::parcel::{Delivered, Parcel, Place};
use crate::device::session::Session;
use crate::error::Result;
use crate::reference::sinkhorn::eps_schedule;
use crate::registry::{BOXES, DIAMETERS};
use crate::sinkhorn::{Call, Cost, GeomLoss};

/// Threads of a CTA that measures boxes.
const COORDINATES: u32 = 128;

/// Temperatures of each pair; one list for all where they agree.
pub(super) struct Schedules {
    lists: Vec<Vec<f64>>,
    /// Whether each pair has a list of its own.
    pub are_own: bool,
}

impl Schedules {
    /// One list for all pairs.
    pub fn one(list: Vec<f64>) -> Self {
        Self { lists: vec![list], are_own: false }
    }

    /// Without a diameter the host waits for those of all pairs: how many steps there are depends on
    /// them.
    pub fn new(
        session: &Session<'_>,
        call: &Call<'_>,
        geomloss: GeomLoss,
        clouds: &Clouds<'_>,
    ) -> Result<Self> {
        let power = call.options.cost.power();
        let from = |d: f64| eps_schedule(power, d, geomloss.blur, geomloss.scaling);
        let lists = match geomloss.diameter {
            Some(diameter) => vec![from(diameter)?],
            None => {
                let squares = squared_diameters(session, call, clouds)?;
                session
                    .fetch(&squares)?
                    .into_iter()
                    .map(|s| from(s.sqrt()))
                    .collect::<Result<_>>()?
            }
        };
        Ok(Self { lists, are_own: geomloss.diameter.is_none() })
    }

    /// Temperatures of pair `k`, never none.
    pub fn of(&self, k: usize) -> &[f64] {
        if self.are_own { &self.lists[k] } else { &self.lists[0] }
    }
}

/// Squared diagonals of the boxes around both clouds of each pair.
fn squared_diameters(
    session: &Session<'_>,
    call: &Call<'_>,
    clouds: &Clouds<'_>,
) -> Result<DeviceBuffer<f64>> {
    let mut parcel = Parcel::default();
    let items = |k: usize| {
        let (i, j) = call.items(k);
        [i as u32, j as u32]
    };
    let items = parcel.put(&(0..call.pairs()).map(items).collect::<Vec<_>>());
    let lists = [&call.x, &call.y].map(|side| {
        // Offsets were checked to fit by the layout.
        let starts: Vec<u32> = side.offsets.iter().map(|&at| at as u32).collect();
        (parcel.put(&starts), parcel.put(&side.weights), side.items())
    });
    let delivered = parcel.send(session)?;
    let boxes = |rows: &Rows<'_>, (starts, weights, items): (Place, Place, usize)| {
        boxes(session, (clouds, rows), call.options.cost, &delivered, [starts, weights], items)
    };
    let (x_boxes, y_boxes) = (boxes(&clouds.x, lists[0])?, boxes(&clouds.y, lists[1])?);
    let mut squares = session.room(call.pairs())?;
    // The layout refuses more pairs.
    let count = call.pairs() as u32;
    let kernel = session.kernel(&DIAMETERS)?;
    let launch = Launch::new([count.div_ceil(8), 1, 1], [32, 8, 1]);
    let args = args![&mut squares, &x_boxes, &y_boxes, delivered.at(items), count, clouds.width];
    // SAFETY: both sides have a box of `2 width` for every item, and the items of pairs are of them.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(squares)
}

/// Least and largest coordinates of each item, as the cost sees the points.
fn boxes(
    session: &Session<'_>,
    (clouds, rows): (&Clouds<'_>, &Rows<'_>),
    cost: Cost,
    delivered: &Delivered,
    [starts, weights]: [Place; 2],
    items: usize,
) -> Result<DeviceBuffer<f32>> {
    let inverses = match cost {
        Cost::Cosine => Some(norms(session, clouds, rows, 1)?),
        _ => None,
    };
    let mut out = session.room(items * 2 * clouds.width as usize)?;
    let kernel = session.kernel(&BOXES)?;
    let launch =
        Launch::new([items as u32, clouds.width.div_ceil(COORDINATES), 1], [COORDINATES, 1, 1]);
    let args = args![
        &mut out,
        rows.at(),
        optional(inverses.as_ref()),
        delivered.at(weights),
        delivered.at(starts),
        clouds.width,
        rows.stride,
        u32::from(clouds.form == Form::BF16),
    ];
    // SAFETY: items lie in the rows, which have a weight and an inverse length each; `out` has a box for
    // every item.
    unsafe { session.launch(&kernel, launch, args)? };
    Ok(out)
}

/// An address, or none.
pub(super) fn optional<T: bytemuck::Pod>(buffer: Option<&DeviceBuffer<T>>) -> gpu_runtime::Arg<'_> {
    buffer.map_or(gpu_runtime::Arg::address(0), gpu_runtime::Arg::from)
}
