//! Maximum mean discrepancy on the device.
//!
//! Items go the ways that they go on the host ([`Route`]), all of one way together. The host waits once,
//! for values; it adds partial sums up in f64, in their order. `kernels/mmd/README.md` tells of the
//! kernels.

mod bandwidth;
mod call;
mod finish;
mod items;
mod linear;
mod linear_time;
mod means;
mod moments;
mod stages;
mod tiles;
mod windows;

use gpu_runtime::DeviceBuffer;

use self::call::{Buffer, Call, Later};
use self::items::Item;
use self::stages::Shape;
use super::Gpu;
use super::clouds::Clouds;
use super::session::{Session, extent};
use crate::error::Result;
use crate::mmd::{Discrepancy, Options, Output, Route};
use crate::ragged::Ragged;

/// Points of both sides are below this: kernels number the rows of stacks in 32 bits.
const MOST_POINTS: u32 = 1 << 30;

impl Discrepancy for Gpu {
    type Gradient = DeviceBuffer<f32>;

    fn discrepancy(
        x: &Ragged<'_, Gpu>,
        y: &Ragged<'_, Gpu>,
        options: &Options,
    ) -> Result<Output<DeviceBuffer<f32>>> {
        let session = Session::begin("mmd", x.points(), y.points())?;
        session.finish(|| Launched::new(session, x, y, options)?.output())
    }

    fn squared_distances(x: &Ragged<'_, Gpu>, y: &Ragged<'_, Gpu>) -> Result<Vec<f64>> {
        bandwidth::squared_distances(x, y)
    }
}

/// Work that is on the stream.
pub(super) struct Launched<'a> {
    call: Call<'a>,
    /// `(N, D)` and `(M, D)`.
    pub grads: [Buffer; 2],
    /// Values of the items of each route.
    later: Vec<(Vec<usize>, Later<'a>)>,
}

impl<'a> Launched<'a> {
    pub fn new(
        session: Session<'a>,
        x: &'a Ragged<'_, Gpu>,
        y: &'a Ragged<'_, Gpu>,
        options: &'a Options,
    ) -> Result<Self> {
        let call = Call::new(session, x, y, options);
        let (n, m) = (x.points().count(), y.points().count());
        extent(session.op, "the number of points", n.saturating_add(m), MOST_POINTS)?;
        let mut grads = [session.zeros(n * call.width)?, session.zeros(m * call.width)?];
        let mut later: Vec<(Vec<usize>, Later<'a>)> = vec![];
        let items: Vec<Item> = call.items().collect();
        for (route, items) in by_route(&call, &items) {
            let at = items.iter().map(|item| item.at).collect();
            let values = match route {
                Route::Nothing => continue,
                Route::LinearTime(kernel) => {
                    let clouds = Clouds::wide(&session, x.points(), y.points())?;
                    linear_time::run(&call, &clouds, items, Shape::of(kernel), &grads)?
                }
                Route::Linear => {
                    let clouds = Clouds::compact(&session, x.points(), y.points())?;
                    linear::run(&call, &clouds, items, &grads)?
                }
                Route::Moments { offset } => {
                    let clouds = Clouds::compact(&session, x.points(), y.points())?;
                    moments::run(&call, &clouds, items, offset, &mut grads)?
                }
                Route::Products { degree, offset } => {
                    let clouds = Clouds::compact(&session, x.points(), y.points())?;
                    let shape = Shape::products(degree, offset);
                    tiles::run(&call, &clouds, items, shape, &grads)?
                }
                Route::Distances { bandwidths } => {
                    let clouds = Clouds::compact(&session, x.points(), y.points())?;
                    let shape = Shape::distances(bandwidths);
                    tiles::run(&call, &clouds, items, shape, &grads)?
                }
            };
            later.push((at, values));
        }
        Ok(Self { call, grads, later })
    }

    /// Waits for the values.
    pub fn output(self) -> Result<Output<DeviceBuffer<f32>>> {
        let mut value = vec![0.0; self.call.offsets[0].len() - 1];
        for (items, later) in self.later {
            for (at, of_item) in items.into_iter().zip(later(&self.call)?) {
                value[at] = of_item;
            }
        }
        let [grad_x, grad_y] = self.grads;
        Ok(Output { value, grad_x, grad_y })
    }
}

/// The items of each route, routes in the order in which they first come.
fn by_route<'o>(call: &Call<'o>, items: &[Item]) -> Vec<(Route<'o>, Vec<Item>)> {
    let mut routes: Vec<(Route<'o>, Vec<Item>)> = vec![];
    for item in items {
        let [n, m] = item.counts();
        let route = call.options.route(n, m, call.width);
        match routes.iter_mut().find(|(known, _)| *known == route) {
            Some((_, items)) => items.push(item.clone()),
            None => routes.push((route, vec![item.clone()])),
        }
    }
    routes
}
