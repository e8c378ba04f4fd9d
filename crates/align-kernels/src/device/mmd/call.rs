//! What the routes of one call share.

use gpu_math::Products;
use gpu_runtime::DeviceBuffer;

use super::items::Item;
use crate::device::Gpu;
use crate::device::clouds::{Clouds, Form, Rows};
use crate::device::pairwise_cost::norms;
use crate::device::session::Session;
use crate::error::Result;
use crate::mmd::{Estimator, Options};
use crate::ragged::Ragged;

/// Numbers in device memory.
pub(super) type Buffer = DeviceBuffer<f32>;

/// Values of the items of a route, once the device is waited for.
pub(super) type Later<'c> = Box<dyn FnOnce(&Call<'_>) -> Result<Vec<f64>> + 'c>;

pub(super) struct Call<'a> {
    pub session: Session<'a>,
    pub products: Products,
    pub options: &'a Options,
    pub offsets: [&'a [usize]; 2],
    /// `D`.
    pub width: usize,
}

impl<'a> Call<'a> {
    pub fn new(
        session: Session<'a>,
        x: &'a Ragged<'_, Gpu>,
        y: &'a Ragged<'_, Gpu>,
        options: &'a Options,
    ) -> Self {
        let products = Products::new(session.stream.device());
        let (offsets, width) = ([x.offsets(), y.offsets()], x.points().width());
        Self { session, products, options, offsets, width }
    }

    pub fn items(&self) -> impl Iterator<Item = Item> {
        (0..self.offsets[0].len() - 1).map(|k| Item::of(self.offsets, k))
    }

    pub fn is_unbiased(&self) -> bool {
        self.options.estimator == Estimator::Unbiased
    }

    /// Half the squared lengths of the points of both sides, where the estimator needs them.
    pub fn half_norms(&self, clouds: &Clouds<'_>) -> Result<Option<[Buffer; 2]>> {
        let of = |rows: &Rows<'_>| norms(&self.session, clouds, rows, 0);
        self.is_unbiased().then(|| Ok([of(&clouds.x)?, of(&clouds.y)?])).transpose()
    }
}

/// 1 for bf16, as kernels are told.
pub(super) fn narrow(form: Form) -> u32 {
    u32::from(form == Form::BF16)
}
