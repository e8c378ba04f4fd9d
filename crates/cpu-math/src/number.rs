//! Scalars that convert to `f64` and back.

use half::{bf16, f16};

/// A plain scalar that converts to `f64` and back.
pub trait Number:
    bytemuck::Pod + Default + PartialOrd + Send + Sync + std::fmt::Debug + 'static
{
    /// Nearest value of this type; integers truncate towards zero.
    fn from_f64(value: f64) -> Self;
    /// The value as `f64`; exact except for large `i64`.
    fn to_f64(self) -> f64;
}

macro_rules! number {
    ($type:ty, $from:expr, $to:expr) => {
        impl Number for $type {
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $from(value)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to(self)
            }
        }
    };
}

number!(f64, |v| v, |v| v);
number!(f32, |v| v as f32, f64::from);
number!(bf16, |v| bf16::from_f64(with_sticky_bit(v)), bf16::to_f64);
number!(f16, |v| f16::from_f64(with_sticky_bit(v)), f16::to_f64);
number!(i64, |v| v as i64, |v| v as f64);
number!(u32, |v| v as u32, f64::from);
number!(u8, |v| v as u8, f64::from);

/// `value` with its lower 32 bits gathered in the lowest of the upper 32.
///
/// `half` rounds the upper half alone, which would take a value just above a tie for the tie.
#[inline(always)]
fn with_sticky_bit(value: f64) -> f64 {
    let bits = value.to_bits();
    f64::from_bits(bits | u64::from(bits as u32 != 0) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_takes_the_nearest_value() {
        // The tie above 1 goes to even, which is 1; anything above the tie goes up.
        let tie = 1.0 + 2f64.powi(-8);
        let next = bf16::from_f32(1.0 + 2f32.powi(-7));
        assert_eq!(<bf16 as Number>::from_f64(tie), bf16::ONE);
        for above in [tie + 2f64.powi(-40), tie + 2f64.powi(-20)] {
            assert_eq!(<bf16 as Number>::from_f64(above), next);
        }
        let tie = 1.0 + 2f64.powi(-11);
        assert_eq!(<f16 as Number>::from_f64(tie), f16::ONE);
        let next = f16::from_f32(1.0 + 2f32.powi(-10));
        assert_eq!(<f16 as Number>::from_f64(tie + 2f64.powi(-40)), next);
    }

    #[test]
    fn special_values_survive() {
        assert_eq!(<bf16 as Number>::from_f64(f64::NEG_INFINITY), bf16::NEG_INFINITY);
        assert!(<bf16 as Number>::from_f64(f64::NAN).is_nan());
        assert!(<f16 as Number>::from_f64(f64::NAN).is_nan());
        assert!(<bf16 as Number>::from_f64(-0.0).is_sign_negative());
    }
}
