//! Clouds in the form that kernels take: f32 rows, or bf16 rows at multiples of 16 bytes.

use std::marker::PhantomData;
use std::ops::Range;

use gpu_math::{Element, Matrix};
use gpu_runtime::{Arg, DeviceBuffer, DeviceSlice, Launch, args};
use half::bf16;

use super::form::{is_one, is_rounded, meet};
use super::points::{DevicePoints, DeviceValues};
use super::session::{Session, extent};
use crate::error::Result;
use crate::registry::{ROUND_TF32, WIDEN_BF16};

pub(super) use super::form::Form;

/// Row strides are below this, so that a stride in bytes fits 32 bits.
const MOST_STRIDE: u32 = 1 << 30;
/// Points of a cloud are below this; the lists of a call hold less.
const MOST_POINTS: u32 = 1 << 31;
/// f32 values that `cp.async` moves at once.
const PIECE_VALUES: u32 = 4;

/// When rows are copied.
#[derive(Clone, Copy)]
enum Copying {
    /// Where they are not of a form.
    Needed(Form),
    /// Always, rounded to TF32.
    Rounded,
}

/// Both clouds of a call, in one form.
pub(super) struct Clouds<'a> {
    pub form: Form,
    pub x: Rows<'a>,
    pub y: Rows<'a>,
    /// `D`.
    pub width: u32,
    /// Row `k` of both is one point.
    pub is_one: bool,
    /// f32 rows at multiples of 16 bytes whose values TF32 holds.
    pub is_rounded: bool,
}

/// Rows in device memory: the caller's, or a copy.
pub(super) struct Rows<'a> {
    address: u64,
    pub count: u32,
    /// Values from one row to the next.
    pub stride: u32,
    /// Keeps a copy alive.
    _copy: Option<DeviceBuffer<f32>>,
    _lent: PhantomData<DeviceValues<'a>>,
}

impl<'a> Clouds<'a> {
    /// As costs are made from them: in the form that they come from fastest, and rounded where both ask
    /// for it.
    pub fn for_costs(
        session: &Session<'_>,
        x: DevicePoints<'a>,
        y: DevicePoints<'a>,
    ) -> Result<Self> {
        match is_rounded(&x, &y) {
            true => Self::new(session, Copying::Rounded, x, y),
            false => Self::compact(session, x, y),
        }
    }

    /// In the form that costs come from fastest.
    pub fn compact(
        session: &Session<'_>,
        x: DevicePoints<'a>,
        y: DevicePoints<'a>,
    ) -> Result<Self> {
        Self::new(session, Copying::Needed(Form::of(&x, &y)), x, y)
    }

    /// In f32.
    pub fn wide(session: &Session<'_>, x: DevicePoints<'a>, y: DevicePoints<'a>) -> Result<Self> {
        Self::new(session, Copying::Needed(Form::F32), x, y)
    }

    /// Kernels take clouds at one address for one cloud, so that is kept, and comes about no other way.
    fn new(
        session: &Session<'_>,
        copying: Copying,
        x: DevicePoints<'a>,
        y: DevicePoints<'a>,
    ) -> Result<Self> {
        let width = extent(session.op, "the width", x.width(), MOST_STRIDE)?;
        let is_one = is_one(&x, &y);
        let (x_rows, y_rows) = if is_one {
            let x_is_longer = x.count() > y.count();
            let longer = Rows::of(session, copying, if x_is_longer { x } else { y })?;
            let shorter = Rows { _copy: None, _lent: PhantomData, ..longer };
            if x_is_longer { (longer, shorter) } else { (shorter, longer) }
        } else if meet(&x, &y) {
            (Rows::of(session, copying, x)?, Rows::elsewhere(session, copying, y)?)
        } else {
            (Rows::of(session, copying, x)?, Rows::of(session, copying, y)?)
        };
        let (form, is_rounded) = match copying {
            Copying::Needed(form) => (form, false),
            Copying::Rounded => (Form::F32, true),
        };
        Ok(Self { form, x: x_rows, y: y_rows, width, is_one, is_rounded })
    }
}

impl<'a> Rows<'a> {
    /// The address of the first row.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The same as an argument.
    pub fn at(&self) -> Arg<'_> {
        Arg::address(self.address)
    }

    /// Rows of a range, as many as there are, to multiply: `T` is what the form says.
    pub fn matrix<T: Element>(
        &self,
        session: &Session<'_>,
        range: Range<usize>,
        width: usize,
    ) -> Result<Matrix<'_, T>> {
        let stride = self.stride as usize;
        let start = self.address + (range.start * stride * size_of::<T>()) as u64;
        let len = if range.is_empty() { 0 } else { (range.len() - 1) * stride + width };
        // SAFETY: the rows lie in memory that `self` borrows or keeps.
        let values = unsafe { DeviceSlice::from_raw(start, len) };
        session.gpu(Matrix::new(values, range.len(), width, stride))
    }

    /// The rows in a form, which bf16 rows may need a copy for, or rounded.
    fn of(session: &Session<'_>, copying: Copying, points: DevicePoints<'a>) -> Result<Self> {
        match (points.values(), copying) {
            (DeviceValues::BF16(values), Copying::Needed(Form::F32)) => {
                Self::widened(session, points, values)
            }
            (DeviceValues::F32(values), Copying::Rounded) => Self::rounded(session, points, values),
            (values, _) => Self::new(session, points, values.address(), points.row_stride(), None),
        }
    }

    /// The rows in f32 at an address of their own.
    fn elsewhere(
        session: &Session<'_>,
        copying: Copying,
        points: DevicePoints<'a>,
    ) -> Result<Self> {
        match (points.values(), copying) {
            (DeviceValues::BF16(values), _) => Self::widened(session, points, values),
            (DeviceValues::F32(_), Copying::Rounded) => Self::of(session, copying, points),
            (DeviceValues::F32(values), _) => {
                let mut copy = session.room(values.len())?;
                session.gpu(copy.as_slice_mut().copy_from(session.stream, values))?;
                Self::new(session, points, copy.address(), points.row_stride(), Some(copy))
            }
        }
    }

    fn widened(
        session: &Session<'_>,
        points: DevicePoints<'a>,
        values: DeviceSlice<'a, bf16>,
    ) -> Result<Self> {
        let lent = Self::new(session, points, values.address(), points.row_stride(), None)?;
        let width = extent(session.op, "the width", points.width(), MOST_STRIDE)?;
        let mut copy = session.room::<f32>(points.count() * points.width())?;
        let kernel = session.kernel(&WIDEN_BF16)?;
        let launch = Launch::new([lent.count.div_ceil(8), 1, 1], [32, 8, 1]);
        let args = args![&mut copy, lent.at(), lent.count, width, lent.stride];
        // SAFETY: `copy` has `count` rows of `width`, and the points have as many, a stride apart.
        unsafe { session.launch(&kernel, launch, args)? };
        Self::new(session, points, copy.address(), points.width(), Some(copy))
    }

    fn rounded(
        session: &Session<'_>,
        points: DevicePoints<'a>,
        values: DeviceSlice<'a, f32>,
    ) -> Result<Self> {
        let lent = Self::new(session, points, values.address(), points.row_stride(), None)?;
        let width = extent(session.op, "the width", points.width(), MOST_STRIDE)?;
        let stride = width.next_multiple_of(PIECE_VALUES);
        let mut copy = session.room::<f32>(points.count() * stride as usize)?;
        let kernel = session.kernel(&ROUND_TF32)?;
        let launch = Launch::new([lent.count.div_ceil(8), 1, 1], [32, 8, 1]);
        let args = args![&mut copy, lent.at(), lent.count, width, lent.stride, stride];
        // SAFETY: `copy` has `count` rows of `width`, and the points have as many, each a stride apart.
        unsafe { session.launch(&kernel, launch, args)? };
        Self::new(session, points, copy.address(), stride as usize, Some(copy))
    }

    fn new(
        session: &Session<'_>,
        points: DevicePoints<'a>,
        address: u64,
        stride: usize,
        copy: Option<DeviceBuffer<f32>>,
    ) -> Result<Self> {
        let count = extent(session.op, "the number of points", points.count(), MOST_POINTS)?;
        let stride = extent(session.op, "the row stride", stride, MOST_STRIDE)?;
        Ok(Self { address, count, stride, _copy: copy, _lent: PhantomData })
    }
}
