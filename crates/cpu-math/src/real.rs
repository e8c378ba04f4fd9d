//! The two precisions that kernels compute in.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::math;
use crate::number::Number;

/// `f32` or `f64`.
///
/// The `f32` functions are branch-free (see [`math`]), so that loops over them vectorise under
/// `simd_dispatch!`. The `f64` ones are the scalar functions of `libm`: f64 serves gradient
/// checks and references, where accuracy matters and speed does not.
pub trait Real:
    Number
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// 1/2.
    const HALF: Self;
    /// Less than any other number.
    const NEG_INFINITY: Self;

    /// `e^self`.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Error function.
    fn erf(self) -> Self;
    /// `1 / (1 + exp(-self))`.
    fn sigmoid(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// The larger; `other` when either is NaN. One instruction, unlike the IEEE maximum.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    /// Whether the value is not a number.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "NaN is the one value unequal to itself")]
    fn is_nan(self) -> bool {
        self != self
    }
}

macro_rules! real {
    ($t:ty, $exp:expr, $ln:expr, $tanh:expr, $erf:expr, $sigmoid:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const HALF: Self = 0.5;
            const NEG_INFINITY: Self = <$t>::NEG_INFINITY;

            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn sigmoid(self) -> Self {
                $sigmoid(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$t>::abs(self)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                <$t>::mul_add(self, a, b)
            }
        }
    };
}

real!(f32, math::exp, math::ln, math::tanh, math::erf, math::sigmoid);
real!(f64, libm::exp, libm::log, libm::tanh, libm::erf, |x: f64| 1.0 / (1.0 + libm::exp(-x)));
