//! `cvt` between floats, in every rounding.

use half::{bf16, f16};

use crate::convert::WHOLE;
use crate::float::{canonical, flushed, saturated, singles};
use crate::harness::{Kind, check1, refusal};
use crate::oracle::{BF16, Exact, F16, F32, Format, MODES, Mode, Noise, TF32};

/// f32 numbers of all kinds, many of them halfway between two of a narrower format.
pub fn many() -> Vec<f32> {
    let mut noise = Noise(1);
    let mut values: Vec<f32> = (0..6000).map(|_| f32::from_bits(noise.bits() as u32)).collect();
    values.extend((0..6000).map(|_| noise.number(-28, 17) as f32));
    for bits in 0..=0x7fffu16 {
        let (half, brain) = (f16::from_bits(bits).to_f32(), u32::from(bits) << 16);
        if bits % 7 == 0 {
            values.extend([half, f32::from_bits(half.to_bits() | 0x1000)]);
            values.extend([brain, brain | 0x8000, brain | 0x8001].map(f32::from_bits));
        }
    }
    values.extend(singles());
    values
}

/// The value in a narrower format: what rounding the exact value gives.
pub fn rounded(value: f64, format: Format, mode: Mode) -> f64 {
    if value == 0.0 || !value.is_finite() { value } else { Exact::of(value).rounded(format, mode) }
}

/// The 16-bit formats, with the bits of their values.
pub type Narrow = (&'static str, Format, fn(f64) -> u16);

pub const NARROW: [Narrow; 2] = [("f16", F16, half_bits), ("bf16", BF16, brain_bits)];

pub fn half_bits(value: f64) -> u16 {
    if value.is_nan() { 0x7fff } else { f16::from_f64(value).to_bits() }
}

pub fn brain_bits(value: f64) -> u16 {
    if value.is_nan() { 0x7fff } else { bf16::from_f64(value).to_bits() }
}

#[test]
fn f32_narrows_to_16_bits_with_one_rounding() {
    let all = many();
    for (name, format, bits) in NARROW {
        for (word, mode) in MODES {
            let narrow = |value: f32| rounded(value.into(), format, mode);
            let table = |words: &str, f: &dyn Fn(f32) -> f64| {
                let text = format!("cvt.{word}{words}.{name}.f32 %d, %a;");
                check1(&text, &all, |a: f32| bits(f(a)));
            };
            table("", &narrow);
            table(".ftz", &|a| narrow(flushed(a)));
            let relu =
                |value: f64| if value.is_sign_negative() && !value.is_nan() { 0.0 } else { value };
            let finite = |value: f64| {
                if value.is_nan() { value } else { value.clamp(-format.largest, format.largest) }
            };
            if matches!(mode, Mode::Nearest | Mode::Zero) {
                table(".relu", &|a| relu(narrow(a)));
                table(".satfinite", &|a| finite(narrow(a)));
                table(".relu.satfinite", &|a| relu(finite(narrow(a))));
            }
            if name == "f16" {
                table(".sat", &|a| rounded(saturated(a).into(), format, mode));
            }
        }
    }
}

#[test]
fn f64_narrows_with_one_rounding() {
    let mut noise = Noise(2);
    let mut all: Vec<f64> = (0..4000).map(|_| noise.number(-160, 140)).collect();
    all.extend((0..4000).map(|_| noise.number(-27, 17)));
    // A rounding to f32 on the way would land on a tie.
    all.extend([1.0 + 2f64.powi(-11) + 2f64.powi(-40), 1.0 + 2f64.powi(-8) - 2f64.powi(-40)]);
    all.extend([0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300, -1e-300, 5e-324]);
    for (word, mode) in MODES {
        check1(&format!("cvt.{word}.f16.f64 %d, %a;"), &all, |a| half_bits(rounded(a, F16, mode)));
        check1(&format!("cvt.{word}.bf16.f64 %d, %a;"), &all, |a| {
            brain_bits(rounded(a, BF16, mode))
        });
        let single = |a: f64| canonical(rounded(a, F32, mode) as f32);
        check1(&format!("cvt.{word}.f32.f64 %d, %a;"), &all, single);
        check1(&format!("cvt.{word}.ftz.f32.f64 %d, %a;"), &all, |a| flushed(single(a)));
        check1(&format!("cvt.{word}.sat.f32.f64 %d, %a;"), &all, |a| saturated(single(a)));
    }
}

#[test]
fn every_16_bit_float_widens_exactly() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let table = |name: &str, widen: fn(u16) -> f32| {
        check1(&format!("cvt.f32.{name} %d, %a;"), &all, |a| canonical(widen(a)));
        check1(&format!("cvt.ftz.f32.{name} %d, %a;"), &all, |a| flushed(canonical(widen(a))));
        check1(&format!("cvt.f64.{name} %d, %a;"), &all, |a| match widen(a) {
            value if value.is_nan() => f64::from_bits(0x7ff8_0000_0000_0000),
            value => value.into(),
        });
    };
    table("f16", |bits| f16::from_bits(bits).to_f32());
    table("bf16", |bits| f32::from_bits(u32::from(bits) << 16));
    check1("cvt.sat.f32.f16 %d, %a;", &all, |a| saturated(f16::from_bits(a).to_f32()));
    // The widened value in a register that is wider than f32: zeros above.
    check1("cvt.f32.f16 %d, %a;", &all, |a: u16| {
        u64::from(canonical(f16::from_bits(a).to_f32()).to_bits())
    });
}

#[test]
fn every_16_bit_float_converts_to_the_other_format() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for (word, mode) in MODES
        .into_iter()
        .map(|(word, mode)| (format!(".{word}"), mode))
        .chain([(String::new(), Mode::Nearest)])
    {
        check1(&format!("cvt{word}.bf16.f16 %d, %a;"), &all, |a| {
            brain_bits(rounded(f16::from_bits(a).to_f64(), BF16, mode))
        });
        check1(&format!("cvt{word}.f16.bf16 %d, %a;"), &all, |a| {
            half_bits(rounded(bf16::from_bits(a).to_f64(), F16, mode))
        });
    }
}

#[test]
fn floats_round_to_whole_floats() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for (word, round) in WHOLE {
        check1(&format!("cvt.{word}.f16.f16 %d, %a;"), &all, |a| {
            half_bits(round(f16::from_bits(a).to_f64()))
        });
        check1(&format!("cvt.{word}.bf16.bf16 %d, %a;"), &all, |a| {
            brain_bits(round(bf16::from_bits(a).to_f64()))
        });
        let single = |a: f32| canonical(round(a.into()) as f32);
        check1(&format!("cvt.{word}.f32.f32 %d, %a;"), &many(), single);
        check1(&format!("cvt.{word}.ftz.f32.f32 %d, %a;"), &many(), |a| single(flushed(a)));
        check1(&format!("cvt.{word}.sat.f32.f32 %d, %a;"), &many(), |a| saturated(single(a)));
        let doubles = [0.5, -0.5, 2.5, -7.5, 1e300, 0.0, -0.0, f64::INFINITY, 4e15 + 0.5];
        check1(&format!("cvt.{word}.f64.f64 %d, %a;"), &doubles, round);
    }
    check1("cvt.f32.f32 %d, %a;", &many(), canonical);
    check1("cvt.ftz.f32.f32 %d, %a;", &many(), |a| canonical(flushed(a)));
    check1("cvt.sat.f32.f32 %d, %a;", &many(), saturated);
    check1("cvt.ftz.f64.f32 %d, %a;", &[1e-40f32, -1e-40, 1.5], |a: f32| f64::from(flushed(a)));
}

#[test]
fn f32_rounds_to_tf32() {
    let all = many();
    for (word, mode) in [("rn", Mode::Nearest), ("rz", Mode::Zero), ("rna", Mode::Away)] {
        let narrow = |value: f32| rounded(value.into(), TF32, mode) as f32;
        let text = |words: &str| format!("cvt.{word}{words}.tf32.f32 %d, %a;");
        check1(&text(""), &all, |a| canonical(narrow(a)));
        if word == "rna" {
            check1(&text(".satfinite"), &all, |a: f32| match narrow(a) {
                value if value.is_infinite() => (TF32.largest as f32).copysign(value),
                value => canonical(value),
            });
        } else {
            check1(&text(".relu"), &all, |a| match narrow(a) {
                value if value.is_nan() => canonical(value),
                value if value.is_sign_negative() => 0.0,
                value => value,
            });
        }
    }
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let (wide, word, half) = (Kind::B64, Kind::B32, Kind::B16);
    for (text, from, to) in [
        ("cvt.f16.f32 %d, %a;", word, half),
        ("cvt.rn.f32.f16 %d, %a;", half, word),
        ("cvt.rn.f32.f32 %d, %a;", word, word),
        ("cvt.rni.f16.f32 %d, %a;", word, half),
        ("cvt.rn.ftz.f16.f64 %d, %a;", wide, half),
        ("cvt.rn.sat.bf16.f32 %d, %a;", word, half),
        ("cvt.rn.relu.f16.f64 %d, %a;", wide, half),
        ("cvt.rm.tf32.f32 %d, %a;", word, word),
        ("cvt.rna.relu.tf32.f32 %d, %a;", word, word),
        ("cvt.rn.satfinite.tf32.f32 %d, %a;", word, word),
        ("cvt.rn.f16.f16 %d, %a;", half, half),
        ("cvt.tf32.f32 %d, %a;", word, word),
        ("cvt.rm.f16x2.f32 %d, %a, %a;", word, word),
        ("cvt.rs.f16x2.f32 %d, %a, %a, %a;", word, word),
        ("cvt.rn.e4m3x2.f32 %d, %a, %a;", word, half),
        ("cvt.rn.satfinite.e2m1x2.f32 %d, %a, %a;", word, half),
        ("cvt.rn.bf16x2.e4m3x2 %d, %a;", half, word),
    ] {
        refusal(text, &[from], &[to]);
    }
}
