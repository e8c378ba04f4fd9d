//! `cvt` to and from integers, in registers of the type's width and wider ones.

use crate::harness::{Column, Kind, check, refusal};
use crate::oracle::{BF16, Exact, F16, F32, F64, Format, MODES};

/// A rounding to whole numbers, with its name in PTX.
pub type Whole = (&'static str, fn(f64) -> f64);

/// A 16-bit float type, with the values of its bits.
type Narrow = (&'static str, fn(u16) -> f64);

/// An integer type.
#[derive(Debug, Clone, Copy)]
struct Integer {
    name: &'static str,
    signed: bool,
    bits: u32,
}

const INTEGERS: [Integer; 8] = [
    Integer { name: "u8", signed: false, bits: 8 },
    Integer { name: "s8", signed: true, bits: 8 },
    Integer { name: "u16", signed: false, bits: 16 },
    Integer { name: "s16", signed: true, bits: 16 },
    Integer { name: "u32", signed: false, bits: 32 },
    Integer { name: "s32", signed: true, bits: 32 },
    Integer { name: "u64", signed: false, bits: 64 },
    Integer { name: "s64", signed: true, bits: 64 },
];

impl Integer {
    fn least(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn most(self) -> i128 {
        (1i128 << (self.bits - u32::from(self.signed))) - 1
    }

    /// The value of the low bits.
    fn of(self, bits: u64) -> i128 {
        let low = i128::from(bits) & ((1i128 << self.bits) - 1);
        if low > self.most() { low - (1i128 << self.bits) } else { low }
    }

    /// Register widths that take the type.
    fn registers(self) -> impl Iterator<Item = u32> {
        [16, 32, 64].into_iter().filter(move |&width| width >= self.bits)
    }
}

/// A column of registers of this width, from the low bits.
fn column(width: u32, values: &[u64]) -> Column {
    match width {
        16 => values.iter().map(|&value| value as u16).collect::<Vec<_>>().into(),
        32 => values.iter().map(|&value| value as u32).collect::<Vec<_>>().into(),
        _ => values.to_vec().into(),
    }
}

/// Patterns around the ends of every integer type.
fn patterns() -> Vec<u64> {
    let mut values = vec![0x1234_5678_9abc_def0, 0xfedc_ba98_7654_3210];
    for shift in [0, 1, 7, 8, 15, 16, 31, 32, 63] {
        let power = 1u64 << shift;
        values.extend([power, power - 1, power + 1, power.wrapping_neg(), !power]);
    }
    values
}

#[test]
fn integers_are_cut_extended_and_clamped() {
    let values = patterns();
    for from in INTEGERS {
        for to in INTEGERS {
            let widths = from.registers().flat_map(|from| to.registers().map(move |to| (from, to)));
            for (from_width, to_width) in widths {
                let text = format!("cvt.{}.{} %d, %a;", to.name, from.name);
                let operands = [column(from_width, &values)];
                let cut: Vec<u64> =
                    values.iter().map(|&bits| to.of(from.of(bits) as u64) as u64).collect();
                check(&text, &operands, column(to_width, &cut));
                if from.least() < to.least() || from.most() > to.most() {
                    let text = format!("cvt.sat.{}.{} %d, %a;", to.name, from.name);
                    let clamp = |&bits: &u64| from.of(bits).clamp(to.least(), to.most()) as u64;
                    let clamped: Vec<u64> = values.iter().map(clamp).collect();
                    check(&text, &operands, column(to_width, &clamped));
                }
            }
        }
    }
}

/// A float type: its name, register width, format, and a value of the format as bits.
type Float = (&'static str, u32, Format, fn(f64) -> u64);

const FLOATS: [Float; 4] = [
    ("f16", 16, F16, |value| half::f16::from_f64(value).to_bits().into()),
    ("bf16", 16, BF16, |value| half::bf16::from_f64(value).to_bits().into()),
    ("f32", 32, F32, |value| (value as f32).to_bits().into()),
    ("f64", 64, F64, |value| value.to_bits()),
];

#[test]
fn integers_become_floats_with_one_rounding() {
    let mut values = patterns();
    // Ties and neighbours of ties in every format.
    for precision in [8, 11, 24, 53] {
        let even = 1u64 << precision;
        values.extend([even + 1, even + 3, (even + 1) << 9, ((even + 3) << 10) - 1]);
    }
    for from in INTEGERS {
        for (name, width, format, bits) in FLOATS {
            for (word, mode) in MODES {
                let result = |&raw: &u64| match from.of(raw) {
                    0 => 0,
                    count => bits(Exact { count, unit: 0, more: false }.rounded(format, mode)),
                };
                let operands = [column(from.bits.max(16), &values)];
                let expected: Vec<u64> = values.iter().map(result).collect();
                let text = format!("cvt.{word}.{name}.{} %d, %a;", from.name);
                check(&text, &operands, column(width, &expected));
                if name != "bf16" {
                    let clamp = |&raw: &u64| bits(if from.of(raw) > 0 { 1.0 } else { 0.0 });
                    let expected: Vec<u64> = values.iter().map(clamp).collect();
                    let text = format!("cvt.{word}.sat.{name}.{} %d, %a;", from.name);
                    check(&text, &operands, column(width, &expected));
                }
            }
        }
    }
}

/// Values around halves, the ends of integer types, and special ones.
fn reals() -> Vec<f64> {
    let mut values = vec![0.0, 1e-310, 1e-40, 1e-5, 0.49999999999999994, 1e10, 1e30, 1e300];
    values.extend((0..20).map(|at| f64::from(at) / 4.0));
    for exponent in [7, 8, 15, 16, 31, 32, 63, 64] {
        let power = f64::from(exponent).exp2();
        values.extend([power, power - 1.0, power - 0.5, power + 0.5, power.next_down()]);
    }
    values.extend([f64::INFINITY, f64::NAN]);
    let negative: Vec<f64> = values.iter().map(|value| -value).collect();
    values.extend(negative);
    values
}

pub const WHOLE: [Whole; 4] =
    [("rni", f64::round_ties_even), ("rzi", f64::trunc), ("rmi", f64::floor), ("rpi", f64::ceil)];

/// The integer for a value of a float type; what NaN becomes is the manual's rule.
fn whole(value: f64, round: fn(f64) -> f64, to: Integer, double: bool) -> u64 {
    if value.is_nan() {
        let result = if double || to.bits == 64 { 1u64 << (to.bits - 1) } else { 0 };
        return to.of(result) as u64;
    }
    (round(value) as i128).clamp(to.least(), to.most()) as u64
}

#[test]
fn floats_become_integers_within_the_range() {
    for to in INTEGERS {
        for (word, round) in WHOLE {
            let table = |name: &str, words: &str, operands: Column, values: Vec<f64>| {
                let result = |&value: &f64| whole(value, round, to, name == "f64");
                let expected: Vec<u64> = values.iter().map(result).collect();
                for width in to.registers() {
                    let text = format!("cvt.{word}{words}.{}.{name} %d, %a;", to.name);
                    check(&text, std::slice::from_ref(&operands), column(width, &expected));
                }
            };
            table("f64", "", reals().into(), reals());
            table("f64", ".sat", reals().into(), reals());
            let singles: Vec<f32> = reals().iter().map(|&value| value as f32).collect();
            let widened: Vec<f64> = singles.iter().map(|&value| value.into()).collect();
            table("f32", "", singles.clone().into(), widened.clone());
            let zeros = |&value: &f64| if value.abs() < 1.2e-38 { value * 0.0 } else { value };
            let flushed = widened.iter().map(zeros).collect();
            table("f32", ".ftz", singles.into(), flushed);
        }
    }
}

#[test]
fn every_16_bit_float_becomes_an_integer() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let kinds: [Narrow; 2] = [
        ("f16", |bits| half::f16::from_bits(bits).to_f64()),
        ("bf16", |bits| half::bf16::from_bits(bits).to_f64()),
    ];
    for (name, widen) in kinds {
        for (word, round) in WHOLE {
            for to in INTEGERS {
                let expected: Vec<u64> =
                    all.iter().map(|&bits| whole(widen(bits), round, to, false)).collect();
                let text = format!("cvt.{word}.{}.{name} %d, %a;", to.name);
                check(&text, &[Column::new(&all)], column(to.bits.max(16), &expected));
            }
        }
    }
}

#[test]
fn packing_clamps_and_shifts() {
    let some: Vec<i32> = vec![
        0,
        1,
        -1,
        3,
        -2,
        7,
        -8,
        127,
        128,
        -128,
        -129,
        255,
        256,
        65_535,
        65_536,
        i32::MIN,
        i32::MAX,
    ];
    let pairs: Vec<(i32, i32)> =
        some.iter().flat_map(|&a| some.iter().map(move |&b| (a, b))).collect();
    let (a, b): (Vec<i32>, Vec<i32>) = pairs.iter().copied().unzip();
    let c: Vec<u32> = (0..a.len() as u32).map(|at| at.wrapping_mul(0x9e37_79b9)).collect();
    for (name, signed, bits) in [
        ("u2", false, 2),
        ("s2", true, 2),
        ("u4", false, 4),
        ("s4", true, 4),
        ("u8", false, 8),
        ("s8", true, 8),
    ] {
        let to = Integer { name, signed, bits };
        let field =
            |value: i32| i128::from(value).clamp(to.least(), to.most()) as u32 & ((1 << bits) - 1);
        let expected: Vec<u32> = (0..a.len())
            .map(|at| c[at] << (2 * bits) | field(a[at]) << bits | field(b[at]))
            .collect();
        let text = format!("cvt.pack.sat.{name}.s32.b32 %d, %a, %b, %c;");
        check(&text, &[a.clone().into(), b.clone().into(), c.clone().into()], expected);
    }
    for (name, least, most) in [("u16", 0, 65_535), ("s16", -32_768, 32_767)] {
        let field = |value: i32| value.clamp(least, most) as u32 & 0xffff;
        let expected: Vec<u32> = pairs.iter().map(|&(a, b)| field(a) << 16 | field(b)).collect();
        let text = format!("cvt.pack.sat.{name}.s32 %d, %a, %b;");
        check(&text, &[a.clone().into(), b.clone().into()], expected);
    }
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let (wide, word, half) = (Kind::B64, Kind::B32, Kind::B16);
    for (text, from, to) in [
        ("cvt.s32.f32 %d, %a;", word, word),
        ("cvt.rn.s32.f32 %d, %a;", word, word),
        ("cvt.f32.s32 %d, %a;", word, word),
        ("cvt.rni.f32.s32 %d, %a;", word, word),
        ("cvt.rn.s32.u8 %d, %a;", half, word),
        ("cvt.sat.s32.s16 %d, %a;", half, word),
        ("cvt.ftz.s32.s16 %d, %a;", half, word),
        ("cvt.rni.ftz.s32.f64 %d, %a;", wide, word),
        ("cvt.relu.s32.s16 %d, %a;", half, word),
        ("cvt.u32.pred %d, %a;", word, word),
        ("cvt.u32.u64 %d, %a;", word, word),
        ("cvt.u64.u32 %d, %a;", word, word),
        ("cvt.rni.s32.bf16 %d, %a;", word, word),
        ("cvt.rn.bf16.s32 %d, %a;", word, word),
        ("cvt.pack.u16.s32 %d, %a, %a;", word, word),
        ("cvt.pack.sat.u8.s32 %d, %a, %a;", word, word),
    ] {
        refusal(text, &[from], &[to]);
    }
    let message = refusal("cvt.s32.f32 %d, %a;", &[word], &[word]);
    assert!(message.contains("lacks a rounding to integers, such as .rni"), "{message}");
}
