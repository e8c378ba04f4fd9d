//! Exact roundings by integer arithmetic.

/// A direction of rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Nearest,
    Away,
    Zero,
    Down,
    Up,
}

/// The four that instructions name, with their words.
pub const MODES: [(&str, Mode); 4] =
    [("rn", Mode::Nearest), ("rz", Mode::Zero), ("rm", Mode::Down), ("rp", Mode::Up)];

/// A format: bits of the significand, the exponent of the smallest number, the largest number.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    pub precision: u32,
    pub lowest: i32,
    pub largest: f64,
}

pub const F16: Format = Format { precision: 11, lowest: -24, largest: 65504.0 };
pub const BF16: Format = Format { precision: 8, lowest: -133, largest: 3.389_531_389_251_535_5e38 };
pub const TF32: Format =
    Format { precision: 11, lowest: -136, largest: 3.401_162_134_214_653_5e38 };
pub const F32: Format = Format { precision: 24, lowest: -149, largest: f32::MAX as f64 };
pub const F64: Format = Format { precision: 53, lowest: -1074, largest: f64::MAX };

/// A number: `count * 2^unit`, plus something less than a unit away from zero where `more`.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    pub count: i128,
    pub unit: i32,
    pub more: bool,
}

impl Exact {
    pub fn of(value: f64) -> Exact {
        let bits = value.to_bits();
        let field = (bits >> 52 & 0x7ff) as i32;
        let fraction = i128::from(bits & ((1 << 52) - 1));
        let size = if field == 0 { fraction } else { fraction | 1 << 52 };
        let count = if value < 0.0 { -size } else { size };
        Exact { count, unit: field.max(1) - 1075, more: false }.short()
    }

    /// Without zeros below.
    fn short(self) -> Exact {
        match self.count {
            0 => Exact { unit: 0, ..self },
            count => {
                let spare = count.trailing_zeros();
                Exact { count: count >> spare, unit: self.unit + spare as i32, ..self }
            }
        }
    }

    /// The exact product; operands of up to 63 bits.
    pub fn times(self, other: Exact) -> Exact {
        Exact { count: self.count * other.count, unit: self.unit + other.unit, more: false }
    }

    /// The exact sum; panics where the two do not fit 127 bits together.
    pub fn plus(self, other: Exact) -> Exact {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let (high, low) = if self.unit >= other.unit { (self, other) } else { (other, self) };
        let shift = high.unit.abs_diff(low.unit);
        assert!(high.count.unsigned_abs().leading_zeros() > shift + 1, "too far apart");
        Exact { count: (high.count << shift) + low.count, unit: low.unit, more: false }
    }

    /// The quotient of numbers of up to 53 bits, neither zero.
    pub fn over(self, other: Exact) -> Exact {
        let shift = self.count.unsigned_abs().leading_zeros() - 3;
        let (dividend, divisor) = (self.count.unsigned_abs() << shift, other.count.unsigned_abs());
        let size = (dividend / divisor) as i128;
        Exact {
            count: if (self.count < 0) == (other.count < 0) { size } else { -size },
            unit: self.unit - shift as i32 - other.unit,
            more: dividend % divisor != 0,
        }
    }

    /// The root of a positive number of up to 53 bits.
    pub fn root(self) -> Exact {
        // An even exponent is left, and a root of at least 60 bits.
        let room = self.count.leading_zeros() as i32 - 4;
        let shift = room + (self.unit - room) % 2;
        let square = (self.count as u128) << shift;
        let root = square.isqrt();
        let more = root * root != square;
        Exact { count: root as i128, unit: (self.unit - shift) / 2, more }
    }

    /// Rounded to a format; a zero has the sign of the number.
    pub fn rounded(self, format: Format, mode: Mode) -> f64 {
        let (negative, size) = (self.count < 0, self.count.unsigned_abs());
        let length = 128 - size.leading_zeros() as i32;
        let shift = (length - format.precision as i32).max(format.lowest - self.unit);
        let (kept, unit) = match shift {
            ..=0 => {
                assert!(!self.more, "the number is cut off too early");
                (size, self.unit)
            }
            _ => {
                // Twice the rest, against one unit of what is kept.
                let (kept, rest, one) = match shift {
                    1..=126 => (size >> shift, (size & ((1 << shift) - 1)) * 2, 1u128 << shift),
                    _ => (0, u128::from(size != 0), u128::MAX),
                };
                let above = rest > one || (rest == one && self.more);
                let up = match mode {
                    Mode::Nearest => above || (rest == one && kept % 2 == 1),
                    Mode::Away => above || rest == one,
                    Mode::Zero => false,
                    Mode::Down => negative && (rest > 0 || self.more),
                    Mode::Up => !negative && (rest > 0 || self.more),
                };
                (kept + u128::from(up), self.unit + shift)
            }
        };
        let size = scaled(kept as f64, unit);
        let size = match size > format.largest {
            true => match mode {
                Mode::Nearest | Mode::Away => f64::INFINITY,
                Mode::Zero => format.largest,
                Mode::Down => {
                    if negative {
                        f64::INFINITY
                    } else {
                        format.largest
                    }
                }
                Mode::Up => {
                    if negative {
                        format.largest
                    } else {
                        f64::INFINITY
                    }
                }
            },
            false => size,
        };
        if negative { -size } else { size }
    }
}

/// `value * 2^steps` in exact steps.
fn scaled(mut value: f64, mut steps: i32) -> f64 {
    while steps > 0 {
        let step = steps.min(1000);
        value *= f64::from(step).exp2();
        steps -= step;
    }
    while steps < 0 {
        let step = steps.max(-1000);
        value *= f64::from(step).exp2();
        steps -= step;
    }
    value
}

/// Seeded noise (splitmix64).
pub struct Noise(pub u64);

impl Noise {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number with an exponent of `low..high` and a random significand, often a short one.
    pub fn number(&mut self, low: i32, high: i32) -> f64 {
        let bits = self.bits();
        let exponent = low + (bits % (high - low) as u64) as i32;
        let cut = [0, 0, 30, 44, 50][(bits >> 32) as usize % 5];
        let fraction = (self.bits() >> 12) >> cut << cut;
        let size = f64::from_bits(1.0f64.to_bits() | fraction) * f64::from(exponent).exp2();
        if bits >> 40 & 1 == 1 { -size } else { size }
    }
}
