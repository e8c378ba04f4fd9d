//! `cvt` to and from registers of two floats, and the 8-bit formats, which come in pairs alone.

use half::f16;

use crate::convert_float::{NARROW, half_bits, many, rounded};
use crate::float::singles;
use crate::harness::{Column, check, check1, check2};
use crate::oracle::{Mode, Noise};

#[test]
fn two_f32_pack_into_one_register() {
    let some: Vec<f32> = many().into_iter().step_by(400).chain(singles()).collect();
    for (name, format, bits) in NARROW {
        for (word, mode) in [("rn", Mode::Nearest), ("rz", Mode::Zero)] {
            for relu in [false, true] {
                let one = |value: f32| match rounded(value.into(), format, mode) {
                    value if relu && value.is_sign_negative() && !value.is_nan() => 0,
                    value => u32::from(bits(value)),
                };
                let words = if relu { ".relu" } else { "" };
                let text = format!("cvt.{word}{words}.{name}x2.f32 %d, %a, %b;");
                // The first operand goes to the upper half.
                check2(&text, &some, &some, |a, b| one(a) << 16 | one(b));
            }
        }
    }
}

/// An 8-bit format: bits of its fraction, exponent bias, largest number.
const EIGHT: [(&str, u32, i32, f64); 2] = [("e4m3x2", 3, 7, 448.0), ("e5m2x2", 2, 15, 57_344.0)];

/// The value of a byte, from the definition of the format.
fn value8(byte: u8, (_, fraction_bits, bias, largest): (&str, u32, i32, f64)) -> f64 {
    let (field, fraction) =
        (byte >> fraction_bits & (0x7f >> fraction_bits), byte & ((1 << fraction_bits) - 1));
    let part = f64::from(fraction) / f64::from(1 << fraction_bits);
    let size = match field {
        0 => part * f64::from(1 - bias).exp2(),
        _ => (1.0 + part) * f64::from(i32::from(field) - bias).exp2(),
    };
    let size = match size > largest {
        // e5m2 has infinities, e4m3 only one NaN.
        true if fraction_bits == 2 && fraction == 0 => f64::INFINITY,
        true => f64::NAN,
        false => size,
    };
    if byte > 0x7f { -size } else { size }
}

#[test]
fn every_8_bit_pair_widens_exactly() {
    let pairs: Vec<u16> = (0..=u16::MAX).collect();
    for kind in EIGHT {
        for relu in [false, true] {
            let one = |byte: u8| match value8(byte, kind) {
                value if relu && value.is_sign_negative() && !value.is_nan() => 0,
                value => u32::from(half_bits(value)),
            };
            let text =
                format!("cvt.rn{}.f16x2.{} %d, %a;", if relu { ".relu" } else { "" }, kind.0);
            check1(&text, &pairs, |a: u16| one((a >> 8) as u8) << 16 | one(a as u8));
        }
    }
}

#[test]
fn floats_narrow_to_8_bits() {
    for kind in EIGHT {
        // The nearest of all finite values, even fraction at equal distance.
        let narrow = |value: f64| -> u16 {
            if value.is_nan() {
                return 0x7f;
            }
            let finite = (0..=0x7eu8).filter(|&byte| value8(byte, kind).is_finite());
            let error = |byte: u8| (value8(byte, kind) - value.abs()).abs();
            let best =
                finite.min_by(|&a, &b| error(a).total_cmp(&error(b)).then((a & 1).cmp(&(b & 1))));
            let size = if value.abs() > kind.3 { largest(kind) } else { best.unwrap() };
            u16::from(size) | if value.is_sign_negative() { 0x80 } else { 0 }
        };
        let relu = |byte: u16| if byte > 0x7f { 0 } else { byte };
        let mut noise = Noise(3);
        let mut some: Vec<f32> = (0..60).map(|_| noise.number(-18, 17) as f32).collect();
        some.extend((0..0x7f).step_by(5).map(|byte| value8(byte, kind) as f32));
        some.extend([
            0.0,
            -0.0,
            464.0,
            465.0,
            61_440.0,
            1e30,
            f32::INFINITY,
            -f32::INFINITY,
            f32::NAN,
        ]);
        let text = format!("cvt.rn.satfinite.{}.f32 %d, %a, %b;", kind.0);
        check2(&text, &some, &some, |a: f32, b: f32| narrow(a.into()) << 8 | narrow(b.into()));
        let text = format!("cvt.rn.satfinite.relu.{}.f32 %d, %a, %b;", kind.0);
        check2(&text, &some, &some, |a: f32, b: f32| {
            relu(narrow(a.into())) << 8 | relu(narrow(b.into()))
        });
        let halves: Vec<u32> = (0..=0xffffu32).map(|bits| bits << 16 | (bits ^ 0x8055)).collect();
        let text = format!("cvt.rn.satfinite.{}.f16x2 %d, %a;", kind.0);
        let one = |bits: u32| narrow(f16::from_bits(bits as u16).to_f64());
        let table: Vec<u16> = (0..=0xffff).map(one).collect();
        let expected: Vec<u16> = halves
            .iter()
            .map(|&pair| table[(pair >> 16) as usize] << 8 | table[(pair & 0xffff) as usize])
            .collect();
        check(&text, &[Column::new(&halves)], expected);
    }
}

fn largest(kind: (&str, u32, i32, f64)) -> u8 {
    if kind.1 == 3 { 0x7e } else { 0x7b }
}
