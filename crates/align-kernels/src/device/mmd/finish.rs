//! The last pass over a gradient: a constant row, and points scaled.

use bytemuck::{Pod, Zeroable};
use gpu_runtime::{Arg, Launch, args};

use super::call::{Buffer, Call};
use super::items::Span;
use super::means::Means;
use crate::device::clouds::Form;
use crate::error::Result;
use crate::registry::MMD_FINISH;

/// Rows of a span.
pub(super) const SPAN: usize = 64;

/// COEF of `mmd_finish_v1_f32.ptx`: factors of a side.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Factors {
    /// Of the mean, less the other side's.
    pub gap: f64,
    /// Of the mean.
    pub mean: f64,
    /// Of the products.
    pub products: f32,
    /// Of a point times its number.
    pub numbered: f32,
    /// Of a point.
    pub point: f32,
    pub zero: f32,
}

/// What gradients of one side are finished with.
pub(super) struct Finish<'f> {
    /// Products, and their row stride; none counts as 0.
    pub products: Option<(u64, u32)>,
    /// Points in a form, with their row stride.
    pub points: (Arg<'f>, u32, Form),
    /// A number a row, so far apart; none counts as 0.
    pub numbers: Option<(u64, u32)>,
    pub means: Option<&'f Means>,
    pub spans: &'f [Span],
    /// Of both sides of every item.
    pub factors: &'f [Factors],
}

impl Finish<'_> {
    /// Writes rows of `grad`; products may be in the same place.
    ///
    /// # Safety
    ///
    /// Spans name rows of `grad`, products, points and numbers, and sides below `factors` and `means`.
    pub unsafe fn write(&self, call: &Call<'_>, grad: &Buffer) -> Result<()> {
        let session = &call.session;
        let kernel = session.kernel(&MMD_FINISH)?;
        let (spans, factors) = (session.send(self.spans)?, session.send(self.factors)?);
        let (products, products_stride) = self.products.unwrap_or_default();
        let (numbers, number_stride) = self.numbers.unwrap_or_default();
        let (points, stride, form) = self.points;
        let args = args![
            Arg::address(grad.address()),
            Arg::address(products),
            points,
            Arg::address(numbers),
            self.means.map_or(Arg::address(0), |means| Arg::from(&means.sides)),
            &spans,
            &factors,
            call.width as u32,
            products_stride,
            stride,
            number_stride,
            u32::from(form == Form::BF16),
        ];
        let launch = Launch::new([self.spans.len() as u32, 1, 1], [32, 8, 1]);
        // SAFETY: the caller's promise.
        unsafe { session.launch(&kernel, launch, args) }
    }
}
