//! What becomes of one value.

use super::super::float::round::{BF16, F16, F32, F64, Format, Number, Rounding, TF32, Value};
use super::super::half::widen;
use crate::syntax::ast::Type;

/// A number type, as conversions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer { signed: bool, bits: u32 },
    Float(Format),
}

impl Kind {
    pub(super) fn of(ty: Type) -> Option<Kind> {
        let integer = |signed| Some(Kind::Integer { signed, bits: 8 * ty.bytes() });
        match ty {
            Type::S8 | Type::S16 | Type::S32 | Type::S64 => integer(true),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => integer(false),
            Type::F16 => Some(Kind::Float(F16)),
            Type::Bf16 => Some(Kind::Float(BF16)),
            Type::Tf32 => Some(Kind::Float(TF32)),
            Type::F32 => Some(Kind::Float(F32)),
            Type::F64 => Some(Kind::Float(F64)),
            _ => None,
        }
    }

    /// Whether an integer type has all values of another.
    pub(super) fn holds_all_of(self, other: Kind) -> bool {
        match (self, other) {
            (
                Kind::Integer { signed, bits },
                Kind::Integer { signed: other_signed, bits: other_bits },
            ) => match (signed, other_signed) {
                (true, false) => bits > other_bits,
                (false, true) => false,
                _ => bits >= other_bits,
            },
            _ => false,
        }
    }
}

/// Rounding to a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Nearest,
    Zero,
    Down,
    Up,
}

impl Whole {
    pub(super) fn named(word: &str) -> Option<Whole> {
        Some(match word {
            "rni" => Whole::Nearest,
            "rzi" => Whole::Zero,
            "rmi" => Whole::Down,
            "rpi" => Whole::Up,
            _ => return None,
        })
    }

    fn round(self, value: f64) -> f64 {
        match self {
            Whole::Nearest => value.round_ties_even(),
            Whole::Zero => value.trunc(),
            Whole::Down => value.floor(),
            Whole::Up => value.ceil(),
        }
    }
}

/// A conversion with all its modifiers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conversion {
    pub(super) to: Kind,
    pub(super) from: Kind,
    pub(super) rounding: Rounding,
    pub(super) whole: Option<Whole>,
    pub(super) ftz: bool,
    pub(super) sat: bool,
    pub(super) relu: bool,
    pub(super) satfinite: bool,
}

impl Conversion {
    /// The bits of the result, extended to 64 by the sign of a signed type and by zeros else.
    #[inline]
    pub(super) fn apply(self, bits: u64) -> u64 {
        match (self.from, self.to) {
            (Kind::Integer { signed, bits: width }, Kind::Integer { .. }) => {
                self.integer(integer(bits, signed, width))
            }
            (Kind::Integer { signed, bits: width }, Kind::Float(format)) => {
                self.float_of_integer(format, integer(bits, signed, width))
            }
            (Kind::Float(format), Kind::Integer { signed, bits: width }) => {
                self.to_integer(format, self.operand(format, bits), signed, width)
            }
            (Kind::Float(from), Kind::Float(to)) => {
                let value = self.operand(from, bits);
                self.float(to, self.whole.map_or(value, |whole| whole.round(value)))
            }
        }
    }

    /// A float operand as an f64, which holds it exactly.
    #[inline(always)]
    fn operand(self, format: Format, bits: u64) -> f64 {
        match format {
            F64 => f64::from_bits(bits),
            F32 => {
                let bits = if self.ftz { F32.flush(bits & 0xffff_ffff) } else { bits };
                f32::from_bits(bits as u32).into()
            }
            _ => widen(format, bits as u16),
        }
    }

    fn integer(self, value: i128) -> u64 {
        let Kind::Integer { signed, bits } = self.to else { return 0 };
        let (least, most) = range(signed, bits);
        let value = if self.sat { value.clamp(least, most) } else { value };
        integer(value as u64, signed, bits) as u64
    }

    fn float_of_integer(self, format: Format, value: i128) -> u64 {
        if self.sat {
            return self.float(format, value.clamp(0, 1) as f64);
        }
        // A whole number of at most 64 bits; none is subnormal, and zero has no sign.
        match Number::new(value < 0, value.unsigned_abs() as u64, 0) {
            Some(number) => format.encode(number, self.rounding),
            None => 0,
        }
    }

    /// Clamps to the range of the integer type, with or without `.sat`.
    fn to_integer(self, from: Format, value: f64, signed: bool, bits: u32) -> u64 {
        let (least, most) = range(signed, bits);
        if value.is_nan() {
            // The manual's two cases.
            let result = if from != F64 && bits < 64 { 0 } else { 1i128 << (bits - 1) };
            return integer(result as u64, signed, bits) as u64;
        }
        let whole = self.whole.map_or(value, |whole| whole.round(value));
        // Whole f64 numbers fit i128 or are clamped by `as` to its ends.
        (whole as i128).clamp(least, most) as u64
    }

    /// A float result from an exact value.
    #[inline(always)]
    pub(super) fn float(self, to: Format, value: f64) -> u64 {
        let value = match (self.sat, self.relu) {
            // NaN and negative zero are not above zero.
            (true, _) if value > 0.0 => value.min(1.0),
            (true, _) => 0.0,
            (_, true) if value <= 0.0 => 0.0,
            _ => value,
        };
        let bits = match (to, self.rounding) {
            (F32, Rounding::Nearest) if !value.is_nan() => (value as f32).to_bits().into(),
            (F64, _) if !value.is_nan() => value.to_bits(),
            _ => to.round(value, self.rounding),
        };
        match to {
            F32 if self.ftz => F32.flush(bits),
            F32 | F64 => bits,
            _ if self.satfinite && matches!(to.decode(bits), Value::Infinite(_)) => {
                self.place(to, bits & to.sign(true) | to.largest())
            }
            _ => self.place(to, bits),
        }
    }

    /// tf32 is the upper part of an f32; its NaN is f32's.
    #[inline(always)]
    fn place(self, to: Format, bits: u64) -> u64 {
        match to {
            TF32 if to.is_nan(bits) => F32.nan(),
            TF32 => bits << 13,
            _ => bits,
        }
    }
}

/// The value of the low bits of a register.
#[inline(always)]
fn integer(bits: u64, signed: bool, width: u32) -> i128 {
    let spare = 64 - width;
    match signed {
        true => i128::from((bits << spare) as i64 >> spare),
        false => i128::from(bits << spare >> spare),
    }
}

fn range(signed: bool, bits: u32) -> (i128, i128) {
    match signed {
        true => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        false => (0, (1 << bits) - 1),
    }
}
