//! A batch's problem as the kernels see it: lists, weights, and the numbers of the temperature.

use std::f64::consts::LOG2_E;

use gpu_runtime::{Arg, DeviceBuffer};

use crate::device::clouds::Clouds;
use crate::device::layout::{Layout, blocks};
use crate::device::pairwise_cost::{Lists, costs};
use crate::device::parcel::{Delivered, Parcel, Place};
use crate::device::points::DevicePoints;
use crate::device::session::Session;
use crate::error::Result;
use crate::sinkhorn::{Call, Cost, Run};

/// What is sent beyond what values need.
#[derive(Clone, Copy)]
pub(super) enum Extras<'a> {
    None,
    Gradient { upstream: Option<&'a [f32]> },
}

/// Rows or columns, as kernels number them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Rows = 0,
    Columns = 1,
}

/// Everything about a problem but its costs.
pub(super) struct Problem<'a> {
    pub session: Session<'a>,
    pub layout: Layout,
    pub eps: f64,
    /// Strength of the marginal penalties; infinite when balanced.
    pub rho: f64,
    pub scalars: Scalars,
    pub strip_count: u32,
    /// Blocks of the gradients of each side.
    pub block_counts: [u32; 2],
    delivered: Delivered,
    lists: Lists,
    places: Places,
}

/// Parameters of the kernels at one temperature.
pub(super) struct Scalars {
    /// `log2(e) / eps`.
    pub scale: f32,
    /// `-d eps ln(2)`.
    pub factor: f32,
    /// `1 / d`.
    pub inv_damping: f32,
    /// `log2(e) / rho`.
    pub pull: f32,
}

/// What problems of any layout are made of.
pub(super) struct Parts<'l> {
    /// Weights of the points of both sides.
    pub weights: [&'l [f32]; 2],
    pub rho: f64,
    /// Blocks of the gradients of each side.
    pub blocks: [Vec<[u32; 2]>; 2],
    pub upstream: Option<&'l [f32]>,
}

struct Places {
    strips: Place,
    pair_of_row: Place,
    weights: [Place; 2],
    logs: [Place; 2],
    upstream: Option<Place>,
    blocks: [Place; 2],
}

impl<'a> Problem<'a> {
    pub fn new(
        session: Session<'a>,
        call: &Call<'_>,
        eps: f64,
        extras: Extras<'_>,
    ) -> Result<Self> {
        let (x, y) = (&call.x, &call.y);
        let layout = Layout::new(session.op, x.offsets, y.offsets, call.options.pairing)?;
        let (upstream, blocks) = match extras {
            Extras::Gradient { upstream } => (upstream, wanted_blocks(call)),
            Extras::None => (None, [Vec::new(), Vec::new()]),
        };
        let weights = [&x.weights[..], &y.weights[..]];
        Self::of(session, layout, eps, Parts { weights, rho: call.rho, blocks, upstream })
    }

    pub fn of(session: Session<'a>, layout: Layout, eps: f64, parts: Parts<'_>) -> Result<Self> {
        let Parts { weights, rho, blocks, upstream } = parts;
        let mut parcel = Parcel::default();
        let lists = Lists::put(&session, &layout, &mut parcel);
        let strips = layout.strips();
        let logs = |weights: &[f32]| -> Vec<f32> {
            weights.iter().map(|&w| f64::from(w).ln() as f32).collect()
        };
        let places = Places {
            upstream: upstream.map(|upstream| parcel.put(upstream)),
            strips: parcel.put(&strips),
            pair_of_row: parcel.put(&layout.pair_of_row()),
            weights: weights.map(|weights| parcel.put(weights)),
            logs: weights.map(|weights| parcel.put(&logs(weights))),
            blocks: [parcel.put(&blocks[0]), parcel.put(&blocks[1])],
        };
        Ok(Self {
            session,
            eps,
            rho,
            scalars: Scalars::new(eps, rho),
            // Lists longer than a grid can be are refused by the launch.
            strip_count: u32::try_from(strips.len()).unwrap_or(u32::MAX),
            block_counts: blocks.map(|list| u32::try_from(list.len()).unwrap_or(u32::MAX)),
            delivered: parcel.send(&session)?,
            layout,
            lists,
            places,
        })
    }

    pub fn clouds<'p>(&self, x: DevicePoints<'p>, y: DevicePoints<'p>) -> Result<Clouds<'p>> {
        Clouds::for_costs(&self.session, x, y)
    }

    pub fn costs(&self, clouds: &Clouds<'_>, cost: Cost) -> Result<DeviceBuffer<f32>> {
        costs(&self.session, clouds, cost, &self.layout, &self.delivered, &self.lists)
    }

    /// Number of pairs.
    pub fn pair_count(&self) -> u32 {
        // The layout refuses more.
        self.layout.pairs.len() as u32
    }

    pub fn pairs(&self) -> Arg<'_> {
        self.delivered.at(self.lists.pairs)
    }

    pub fn strips(&self) -> Arg<'_> {
        self.delivered.at(self.places.strips)
    }

    pub fn pair_of_row(&self) -> Arg<'_> {
        self.delivered.at(self.places.pair_of_row)
    }

    pub fn weights(&self, side: Side) -> Arg<'_> {
        self.delivered.at(self.places.weights[side as usize])
    }

    /// The address of the weights, for lists that hold addresses.
    pub fn weights_at(&self, side: Side) -> u64 {
        self.delivered.address(self.places.weights[side as usize])
    }

    /// Logarithms of the weights.
    pub fn logs(&self, side: Side) -> Arg<'_> {
        self.delivered.at(self.places.logs[side as usize])
    }

    pub fn blocks(&self, side: Side) -> Arg<'_> {
        self.delivered.at(self.places.blocks[side as usize])
    }

    /// Weights of the pairs, or no address.
    pub fn upstream(&self) -> Arg<'_> {
        self.places.upstream.map_or(Arg::address(0), |place| self.delivered.at(place))
    }

    /// Length of the packed potentials of a side.
    pub fn len(&self, side: Side) -> usize {
        match side {
            Side::Rows => self.layout.rows as usize,
            Side::Columns => self.layout.columns as usize,
        }
    }
}

/// Blocks of each side that gradients are wanted for, of items that are in a pair with mass: elsewhere
/// gradients are 0 whatever points hold. Each names the first pair of its item.
pub(super) fn wanted_blocks(call: &Call<'_>) -> [Vec<[u32; 2]>; 2] {
    let (mut of_x, mut of_y) = (vec![false; call.x.items()], vec![false; call.y.items()]);
    let wanted = call.options.gradients;
    for k in (0..call.pairs()).filter(|&k| call.has_mass(k)) {
        let (i, j) = call.items(k);
        (of_x[i], of_y[j]) = (wanted.has_x(), wanted.has_y());
    }
    // The layout refuses more pairs than 32 bits hold.
    let named = |blocks: Vec<[u32; 2]>, run: &dyn Fn(usize) -> Run| -> Vec<[u32; 2]> {
        blocks.into_iter().map(|[item, at]| [run(item as usize).first as u32, at]).collect()
    };
    [
        named(blocks(call.x.offsets, |i| of_x[i]), &|i| call.grid.run_of_x(i)),
        named(blocks(call.y.offsets, |j| of_y[j]), &|j| call.grid.run_of_y(j)),
    ]
}

impl Scalars {
    pub fn new(eps: f64, rho: f64) -> Self {
        let inv_damping = 1.0 + eps / rho;
        let scale = (LOG2_E / eps) as f32;
        Self {
            scale,
            // Of the temperature that the rounded scale stands for.
            factor: (-1.0 / (f64::from(scale) * inv_damping)) as f32,
            inv_damping: inv_damping as f32,
            pull: (LOG2_E / rho) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_those_of_the_heads() {
        let balanced = Scalars::new(0.5, f64::INFINITY);
        assert_eq!((balanced.inv_damping, balanced.pull), (1.0, 0.0));
        assert_eq!(balanced.scale * balanced.factor, -1.0);
        // d = rho / (rho + eps) = 1.5 / 2.
        let damped = Scalars::new(0.5, 1.5);
        assert!((damped.inv_damping - 4.0 / 3.0).abs() < 1e-7);
        assert!((damped.scale * damped.factor + 0.75).abs() < 1e-7);
        assert!((damped.pull - LOG2_E as f32 / 1.5).abs() < 1e-7);
    }
}
