//! Roundings, and the formats that results are rounded to.
//!
//! Everything that does not follow plain IEEE arithmetic of the host (directed roundings, 16-bit
//! and 8-bit formats, conversions) ends in [`Format::encode`]: an exact value, or one whose lowest
//! bit stands for "and something more", is cut to the width of the format in one step.

/// How a result is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::isa) enum Rounding {
    /// To the nearest value, ties to even.
    Nearest,
    /// To the nearest value, ties away from zero: `.rna`.
    NearestAway,
    /// Towards zero.
    Zero,
    /// Towards negative infinity: `.rm`.
    Down,
    /// Towards positive infinity.
    Up,
}

impl Rounding {
    /// The rounding of a floating-point modifier.
    pub(in crate::isa) fn named(word: &str) -> Option<Rounding> {
        Some(match word {
            "rn" => Rounding::Nearest,
            "rz" => Rounding::Zero,
            "rm" => Rounding::Down,
            "rp" => Rounding::Up,
            _ => return None,
        })
    }
}

/// A floating-point format with a sign bit, an exponent and a significand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::isa) struct Format {
    /// Bits in all.
    width: u32,
    /// Bits of the significand with the leading one.
    precision: u32,
    /// Exponents of the largest and smallest normal numbers.
    top: i32,
    bottom: i32,
    /// The bits of the largest finite number.
    largest: u64,
    /// The bits of an infinity; of NaN where the format has no infinity.
    infinity: u64,
    /// The NaN that instructions make.
    nan: u64,
}

pub(in crate::isa) const F16: Format = Format::ieee(16, 11, 0x7fff);
pub(in crate::isa) const BF16: Format = Format::ieee(16, 8, 0x7fff);
pub(in crate::isa) const F32: Format = Format::ieee(32, 24, 0x7fff_ffff);
pub(in crate::isa) const F64: Format = Format::ieee(64, 53, 0x7ff8_0000_0000_0000);
/// The upper 19 bits of an f32.
pub(in crate::isa) const TF32: Format = Format::ieee(19, 11, 0x3_ffff);
/// The upper 32 bits of an f64, which `rcp.approx.ftz.f64` works on.
pub(in crate::isa) const UPPER_F64: Format = Format::ieee(32, 21, 0x7fff_ffff);
pub(in crate::isa) const E5M2: Format = Format::ieee(8, 3, 0x7f);
/// Not IEEE: no infinities, one NaN, and the largest exponent holds numbers up to 448.
pub(in crate::isa) const E4M3: Format =
    Format { width: 8, precision: 4, top: 8, bottom: -6, largest: 0x7e, infinity: 0x7f, nan: 0x7f };

/// A finite number other than zero: `significand * 2^exponent`, and the sign.
///
/// The significand's highest bit is set. Its lowest bit may stand for a nonzero remainder below
/// ("sticky"): every format keeps at most 53 of the 64 bits, so that bit never decides a tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::isa) struct Number {
    pub(in crate::isa) negative: bool,
    pub(in crate::isa) exponent: i32,
    pub(in crate::isa) significand: u64,
}

impl Number {
    /// `magnitude * 2^exponent`; `None` for zero.
    pub(in crate::isa) fn new(negative: bool, magnitude: u64, exponent: i32) -> Option<Number> {
        let spare = magnitude.leading_zeros();
        (magnitude != 0).then(|| Number {
            negative,
            exponent: exponent - spare as i32,
            significand: magnitude << spare,
        })
    }
}

/// What the bits of a format stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::isa) enum Value {
    Nan,
    /// With the sign: true is negative.
    Infinite(bool),
    Zero(bool),
    Finite(Number),
}

impl Format {
    const fn ieee(width: u32, precision: u32, nan: u64) -> Format {
        let top = (1 << (width - precision - 1)) - 1;
        let infinity = ((1u64 << (width - precision)) - 1) << (precision - 1);
        Format { width, precision, top, bottom: 1 - top, largest: infinity - 1, infinity, nan }
    }

    /// The NaN that instructions make.
    pub(in crate::isa) fn nan(self) -> u64 {
        self.nan
    }

    /// The bits of the largest finite number.
    pub(in crate::isa) fn largest(self) -> u64 {
        self.largest
    }

    /// The sign bit where `negative`.
    pub(in crate::isa) fn sign(self, negative: bool) -> u64 {
        u64::from(negative) << (self.width - 1)
    }

    pub(in crate::isa) fn infinity(self, negative: bool) -> u64 {
        self.sign(negative) | self.infinity
    }

    fn magnitude(self, bits: u64) -> u64 {
        bits & (self.sign(true) - 1)
    }

    #[inline(always)]
    pub(in crate::isa) fn is_negative(self, bits: u64) -> bool {
        bits & self.sign(true) != 0
    }

    #[inline(always)]
    pub(in crate::isa) fn is_nan(self, bits: u64) -> bool {
        let magnitude = self.magnitude(bits);
        magnitude > self.infinity || (magnitude == self.infinity && self.infinity == self.nan)
    }

    #[inline(always)]
    pub(in crate::isa) fn is_subnormal(self, bits: u64) -> bool {
        let magnitude = self.magnitude(bits);
        magnitude != 0 && magnitude >> (self.precision - 1) == 0
    }

    /// A subnormal number becomes a zero of its sign.
    pub(in crate::isa) fn flush(self, bits: u64) -> u64 {
        if self.is_subnormal(bits) { bits & self.sign(true) } else { bits }
    }

    #[inline(always)]
    pub(in crate::isa) fn decode(self, bits: u64) -> Value {
        let (negative, magnitude) = (self.is_negative(bits), self.magnitude(bits));
        if self.is_nan(bits) {
            return Value::Nan;
        }
        if magnitude == self.infinity {
            return Value::Infinite(negative);
        }
        let fraction_bits = self.precision - 1;
        let fraction = magnitude & ((1 << fraction_bits) - 1);
        let (field, lowest) = (magnitude >> fraction_bits, self.bottom - fraction_bits as i32);
        let number = match field {
            0 => Number::new(negative, fraction, lowest),
            _ => Number::new(negative, fraction | (1 << fraction_bits), lowest + field as i32 - 1),
        };
        number.map_or(Value::Zero(negative), Value::Finite)
    }

    /// The bits of the number rounded once.
    #[inline]
    pub(in crate::isa) fn encode(self, number: Number, rounding: Rounding) -> u64 {
        let Number { negative, exponent, significand } = number;
        // The number lies in [2^place, 2^(place + 1)).
        let place = exponent + 63;
        // Bits that do not fit; the smallest normal's exponent holds for subnormals too.
        let dropped = 64 - self.precision as i32 + (self.bottom - place).max(0);
        let (mut kept, rest, half) = match dropped {
            ..=63 => {
                (significand >> dropped, significand & ((1 << dropped) - 1), 1 << (dropped - 1))
            }
            64 => (0, significand, 1 << 63),
            // Nothing is kept, and the rest is less than half.
            _ => (0, 1, 2),
        };
        kept += u64::from(match rounding {
            Rounding::Nearest => rest > half || (rest == half && kept & 1 == 1),
            Rounding::NearestAway => rest >= half,
            Rounding::Zero => false,
            Rounding::Down => negative && rest != 0,
            Rounding::Up => !negative && rest != 0,
        });
        // The leading one of a normal number adds itself to the exponent's field, as does a carry
        // out of the significand.
        let field = (place - self.bottom).max(0) as u64;
        let mut magnitude = (field << (self.precision - 1)).saturating_add(kept);
        if place > self.top || magnitude > self.largest {
            let to_infinity = match rounding {
                Rounding::Nearest | Rounding::NearestAway => true,
                Rounding::Zero => false,
                Rounding::Down => negative,
                Rounding::Up => !negative,
            };
            magnitude = if to_infinity { self.infinity } else { self.largest };
        }
        self.sign(negative) | magnitude
    }

    /// The distance between neighbouring numbers of this format around `value`.
    pub(in crate::isa) fn ulp(self, value: f64) -> f64 {
        match F64.decode(value.to_bits()) {
            Value::Finite(number) => {
                let place = (number.exponent + 63).max(self.bottom);
                f64::from(place - self.precision as i32 + 1).exp2()
            }
            _ => 0.0,
        }
    }

    /// An f64 rounded once to this format.
    #[inline]
    pub(in crate::isa) fn round(self, value: f64, rounding: Rounding) -> u64 {
        if self.precision == F32.precision && rounding == Rounding::Nearest {
            // What the host does.
            let bits = (value as f32).to_bits().into();
            return if self.is_nan(bits) { self.nan } else { bits };
        }
        if rounding == Rounding::Nearest
            && let Some(bits) = self.round_normal(value.to_bits())
        {
            return bits;
        }
        match F64.decode(value.to_bits()) {
            Value::Nan => self.nan,
            Value::Infinite(negative) => self.infinity(negative),
            Value::Zero(negative) => self.sign(negative),
            Value::Finite(number) => self.encode(number, rounding),
        }
    }

    /// The nearest number of a format narrower than f64, where both are normal: half a place less
    /// the least is added, ties go to even, and a carry moves into the exponent by itself.
    #[inline(always)]
    fn round_normal(self, bits: u64) -> Option<u64> {
        let size = bits & (F64.sign(true) - 1);
        let place = (size >> 52) as i32 - F64.top;
        if place < self.bottom || place > self.top || self.precision >= F64.precision {
            return None;
        }
        let dropped = F64.precision - self.precision;
        let rounded = (size + (1 << (dropped - 1)) - 1 + (size >> dropped & 1)) >> dropped;
        let below = ((F64.top + self.bottom - 1) as u64) << (self.precision - 1);
        let magnitude = rounded - below;
        (magnitude <= self.largest).then(|| self.sign(F64.is_negative(bits)) | magnitude)
    }

    /// The value as an f64, which holds those of every format.
    #[inline]
    pub(in crate::isa) fn widen(self, bits: u64) -> f64 {
        if self.precision == F32.precision {
            return f32::from_bits(bits as u32).into();
        }
        f64::from_bits(match self.decode(bits) {
            Value::Nan => F64.nan,
            Value::Infinite(negative) => F64.infinity(negative),
            Value::Zero(negative) => F64.sign(negative),
            Value::Finite(number) => F64.encode(number, Rounding::Nearest),
        })
    }
}
