//! Where points are, and with it the path that a call takes.

use std::fmt::Debug;

use half::{bf16, f16};
use ndarray::ArrayView2;

use crate::points::Points;

/// Where points are: [`Host`], or with the feature `cuda` `Gpu`. No other type implements this.
///
/// Functions over `Ragged<'_, P>` take both clouds of a call from the same place and compute there.
/// Small results come back on the host; those as large as the points or their costs stay. What a place
/// can do is said by a trait of each function, such as
/// [`Transport`](crate::sinkhorn::Transport).
pub trait Place: sealed::Sealed + Debug + Clone + Copy {
    /// Points of one cloud: [`Points`] or `DevicePoints`.
    type Points<'a>: Cloud;
    /// Many numbers: `Vec<f32>`, or a `DeviceBuffer<f32>`.
    type Values;
}

/// Keeps the list of places closed.
pub(crate) mod sealed {
    /// A place of this crate.
    pub trait Sealed {}
}

/// Points in the host's memory.
#[derive(Debug, Clone, Copy)]
pub enum Host {}

/// What every cloud knows of itself.
pub trait Cloud: Copy + Debug {
    /// Number of points.
    fn count(&self) -> usize;

    /// Extent of a point.
    fn width(&self) -> usize;
}

/// A cloud that knows where it is: a view of an array, [`Points`], or `DevicePoints`.
pub trait Placed<'a> {
    /// Where.
    type Place: Place;

    /// The cloud.
    fn placed(self) -> <Self::Place as Place>::Points<'a>;
}

impl<'a> Placed<'a> for Points<'a> {
    type Place = Host;

    fn placed(self) -> Points<'a> {
        self
    }
}

macro_rules! views {
    ($($element:ty),*) => {$(
        impl<'a> Placed<'a> for ArrayView2<'a, $element> {
            type Place = Host;

            fn placed(self) -> Points<'a> {
                self.into()
            }
        }
    )*};
}

views!(f32, bf16, f16);

impl sealed::Sealed for Host {}

impl Place for Host {
    type Points<'a> = Points<'a>;
    type Values = Vec<f32>;
}

impl Cloud for Points<'_> {
    fn count(&self) -> usize {
        Points::count(self)
    }

    fn width(&self) -> usize {
        Points::width(self)
    }
}
