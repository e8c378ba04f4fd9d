//! f32 and f64 arithmetic in the default rounding, and what is no arithmetic.

use crate::harness::{Kind, check, check1, check2, check3, refusal};

pub const NAN: f32 = f32::from_bits(0x7fff_ffff);

/// Every kind of f32.
pub fn singles() -> Vec<f32> {
    let mut values: Vec<f32> = [
        0,
        1,
        0x7f_ffff,
        0x80_0000,
        0x80_0001,
        0x3f7f_ffff,
        0x3f80_0000,
        0x3f80_0001,
        0x4049_0fdb,
        0x4b80_0001,
        0x7e80_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7f80_0001,
        0x7fc0_0000,
        0x7fff_ffff,
    ]
    .map(f32::from_bits)
    .to_vec();
    values.extend(values.clone().iter().map(|value| -value));
    values.extend([0.5, 0.1, -2.5, 1e-20, -3e19]);
    values
}

/// Every kind of f64.
pub fn doubles() -> Vec<f64> {
    let mut values: Vec<f64> = [
        0,
        1,
        0xf_ffff_ffff_ffff,
        0x10_0000_0000_0000,
        0x3fef_ffff_ffff_ffff,
        0x3ff0_0000_0000_0001,
        0x7fef_ffff_ffff_ffff,
        0x7ff0_0000_0000_0000,
        0x7ff0_0000_0000_0007,
        0x7ff8_0000_0000_0000,
        0x7fff_ffff_ffff_ffff,
    ]
    .map(f64::from_bits)
    .to_vec();
    values.extend(values.clone().iter().map(|value| -value));
    values.extend([1.0, 0.1, -2.5, 1e-200, -3e190]);
    values
}

pub fn flushed(value: f32) -> f32 {
    if value.is_subnormal() { 0.0f32.copysign(value) } else { value }
}

/// By bits, since the compiler may take one NaN for another.
pub fn canonical(value: f32) -> f32 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 { NAN } else { f32::from_bits(bits) }
}

/// To [0, 1]; NaN and -0 become 0.
pub fn saturated(value: f32) -> f32 {
    match value {
        value if value >= 1.0 => 1.0,
        value if value > 0.0 => value,
        _ => 0.0,
    }
}

#[test]
fn f32_arithmetic_is_that_of_ieee() {
    let all = singles();
    type Operation = fn(f32, f32) -> f32;
    let operations: [(&str, Operation); 7] = [
        ("add", |a, b| a + b),
        ("add.rn", |a, b| a + b),
        ("sub", |a, b| a - b),
        ("sub.rn", |a, b| a - b),
        ("mul", |a, b| a * b),
        ("mul.rn", |a, b| a * b),
        ("div.rn", |a, b| a / b),
    ];
    for (name, f) in operations {
        let table = |words: &str, f: &dyn Fn(f32, f32) -> f32| {
            check2(&format!("{name}{words}.f32 %d, %a, %b;"), &all, &all, f);
        };
        table("", &|a, b| canonical(f(a, b)));
        table(".ftz", &|a, b| canonical(flushed(f(flushed(a), flushed(b)))));
        if !name.starts_with("div") {
            table(".sat", &|a, b| saturated(f(a, b)));
            table(".ftz.sat", &|a, b| flushed(saturated(f(flushed(a), flushed(b)))));
        }
    }
    let some: Vec<f32> = singles().into_iter().step_by(2).collect();
    for name in ["fma.rn", "mad.rn"] {
        let table = |words: &str, f: &dyn Fn(f32, f32, f32) -> f32| {
            check3(&format!("{name}{words}.f32 %d, %a, %b, %c;"), &some, &some, &some, f);
        };
        table("", &|a, b, c| canonical(a.mul_add(b, c)));
        table(".sat", &|a, b, c| saturated(a.mul_add(b, c)));
        table(".ftz", &|a, b, c| canonical(flushed(flushed(a).mul_add(flushed(b), flushed(c)))));
    }
    for (name, f) in [("rcp.rn", (|a| 1.0 / a) as fn(f32) -> f32), ("sqrt.rn", f32::sqrt)] {
        check1(&format!("{name}.f32 %d, %a;"), &all, |a| canonical(f(a)));
        check1(&format!("{name}.ftz.f32 %d, %a;"), &all, |a| canonical(flushed(f(flushed(a)))));
    }
}

#[test]
fn directed_roundings_of_f32_treat_special_values_as_ieee_does() {
    let special = [0.0f32, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for word in ["rz", "rm", "rp"] {
        // None of these results is rounded; sums that cancel are negative under .rm alone.
        let sum = |a: f32, b: f32| match a + b {
            sum if sum == 0.0 && (a != b || a.to_bits() != b.to_bits()) && word == "rm" => -0.0,
            sum => canonical(sum),
        };
        check2(&format!("add.{word}.f32 %d, %a, %b;"), &special, &special, sum);
        check2(&format!("sub.{word}.f32 %d, %a, %b;"), &special, &special, |a, b| sum(a, -b));
        let text = format!("mul.{word}.f32 %d, %a, %b;");
        check2(&text, &special, &special, |a, b| canonical(a * b));
        let text = format!("div.{word}.f32 %d, %a, %b;");
        check2(&text, &special, &special, |a, b| canonical(a / b));
        let text = format!("fma.{word}.f32 %d, %a, %b, %c;");
        check3(&text, &special, &special, &special, |a, b, c| sum(a * b, c));
        check1(&format!("sqrt.{word}.f32 %d, %a;"), &special, |a: f32| canonical(a.sqrt()));
        check1(&format!("rcp.{word}.f32 %d, %a;"), &special, |a: f32| canonical(1.0 / a));
    }
}

/// The first NaN operand, quiet; 0x7ff8... where there is none. By bits, as [`canonical`].
fn payload<const N: usize>(result: f64, operands: [f64; N]) -> f64 {
    let is_nan = |bits: u64| bits << 1 > 0xffe0_0000_0000_0000;
    f64::from_bits(match operands.map(f64::to_bits).into_iter().find(|&bits| is_nan(bits)) {
        Some(bits) => bits | 0x8_0000_0000_0000,
        None if is_nan(result.to_bits()) => 0x7ff8_0000_0000_0000,
        None => result.to_bits(),
    })
}

#[test]
fn f64_arithmetic_is_that_of_ieee_and_keeps_nan_payloads() {
    let all = doubles();
    type Operation = fn(f64, f64) -> f64;
    let operations: [(&str, Operation); 7] = [
        ("add", |a, b| a + b),
        ("add.rn", |a, b| a + b),
        ("sub", |a, b| a - b),
        ("mul", |a, b| a * b),
        ("div.rn", |a, b| a / b),
        ("min", |a, b| if a.is_nan() && b.is_nan() { a } else { lower(a, b) }),
        ("max", |a, b| if a.is_nan() && b.is_nan() { a } else { -lower(-a, -b) }),
    ];
    for (name, f) in operations {
        let drops_nan = name.starts_with('m') && name != "mul";
        check2(&format!("{name}.f64 %d, %a, %b;"), &all, &all, |a: f64, b: f64| {
            if drops_nan && !(a.is_nan() && b.is_nan()) {
                f(a, b)
            } else {
                payload(f(a, b), [a, b])
            }
        });
    }
    for name in ["fma.rn", "mad.rn"] {
        let some: Vec<f64> = doubles().into_iter().step_by(2).collect();
        check3(&format!("{name}.f64 %d, %a, %b, %c;"), &some, &some, &some, |a: f64, b, c| {
            payload(a.mul_add(b, c), [a, b, c])
        });
    }
    check1("rcp.rn.f64 %d, %a;", &all, |a: f64| payload(1.0 / a, [a]));
    check1("sqrt.rn.f64 %d, %a;", &all, |a: f64| payload(a.sqrt(), [a]));
    // A NaN passes unchanged, its sign too.
    check1("abs.f64 %d, %a;", &all, |a: f64| if a.is_nan() { a } else { a.abs() });
    check1("neg.f64 %d, %a;", &all, |a: f64| if a.is_nan() { a } else { -a });
    check2("copysign.f64 %d, %a, %b;", &all, &all, |a: f64, b: f64| b.copysign(a));
}

/// The lower number; -0 is lower than 0, and NaN is no number.
fn lower(a: f64, b: f64) -> f64 {
    match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ if a == b => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        _ => {
            if a < b {
                a
            } else {
                b
            }
        }
    }
}

#[test]
fn f32_extremes_follow_their_modifiers() {
    let all = singles();
    for (name, max) in [("min", false), ("max", true)] {
        let extreme = |a: f32, b: f32| match max {
            true => -lower(-f64::from(a), -f64::from(b)) as f32,
            false => lower(a.into(), b.into()) as f32,
        };
        let nan = |a: f32, b: f32| if a.is_nan() || b.is_nan() { NAN } else { extreme(a, b) };
        let sizes = |a: f32, b: f32| {
            let size = extreme(a.abs(), b.abs());
            let negative = a.is_sign_negative() != b.is_sign_negative();
            if size.is_nan() { NAN } else { size.copysign(if negative { -1.0 } else { 1.0 }) }
        };
        let table = |words: &str, f: &dyn Fn(f32, f32) -> f32| {
            check2(&format!("{name}{words}.f32 %d, %a, %b;"), &all, &all, f);
        };
        table("", &|a, b| canonical(extreme(a, b)));
        table(".ftz", &|a, b| canonical(extreme(flushed(a), flushed(b))));
        table(".NaN", &nan);
        table(".ftz.NaN", &|a, b| nan(flushed(a), flushed(b)));
        table(".xorsign.abs", &sizes);
        table(".NaN.xorsign.abs", &|a, b| {
            if a.is_nan() || b.is_nan() { NAN } else { sizes(a, b) }
        });
    }
}

#[test]
fn signs_and_tests_look_at_the_bits() {
    let all = singles();
    check1("abs.f32 %d, %a;", &all, |a: f32| canonical(a.abs()));
    check1("abs.ftz.f32 %d, %a;", &all, |a: f32| canonical(flushed(a).abs()));
    check1("neg.f32 %d, %a;", &all, |a: f32| canonical(-a));
    check1("neg.ftz.f32 %d, %a;", &all, |a: f32| canonical(-flushed(a)));
    // The sign of the first operand on the second.
    check2("copysign.f32 %d, %a, %b;", &all, &all, |a: f32, b: f32| b.copysign(a));
    type Test = fn(f64, bool) -> bool;
    let tests: [(&str, Test); 6] = [
        ("finite", |a, _| a.is_finite()),
        ("infinite", |a, _| a.is_infinite()),
        ("number", |a, _| !a.is_nan()),
        ("notanumber", |a, _| a.is_nan()),
        ("normal", |a, subnormal| a.is_finite() && !subnormal),
        ("subnormal", |_, subnormal| subnormal),
    ];
    for (name, f) in tests {
        check1(&format!("testp.{name}.f32 %d, %a;"), &all, |a: f32| f(a.into(), a.is_subnormal()));
        let text = format!("testp.{name}.f64 %d, %a;");
        check1(&text, &doubles(), |a: f64| f(a, a.is_subnormal()));
    }
}

#[test]
fn a_destination_may_be_a_source() {
    check("mul.f32 %a, %a, %a; mov.b32 %d, %a;", &[[3.0f32].into()], [9.0f32]);
    check("fma.rn.f64 %a, %a, %a, %a; mov.b64 %d, %a;", &[[3.0f64].into()], [12.0f64]);
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let (f32s, f64s) = ([Kind::B32; 3], [Kind::B64; 3]);
    for text in [
        "fma.f32 %d, %a, %b, %c;",
        "div.f32 %d, %a, %b;",
        "div.rn.sat.f32 %d, %a, %b;",
        "min.xorsign.f32 %d, %a, %b;",
        "max.f32 %d, %a, %b, %c;",
        "add.rna.f32 %d, %a, %b;",
        "abs.rn.f32 %d, %a;",
        "neg.sat.f32 %d, %a;",
        "sqrt.f32 %d, %a;",
        "rcp.rn.sat.f32 %d, %a;",
        "copysign.ftz.f32 %d, %a, %b;",
    ] {
        assert!(refusal(text, &f32s, &[Kind::B32]).starts_with("table.ptx:"), "{text}");
    }
    for text in [
        "add.ftz.f64 %d, %a, %b;",
        "mul.sat.f64 %d, %a, %b;",
        "min.NaN.f64 %d, %a, %b;",
        "neg.ftz.f64 %d, %a;",
        "sqrt.rn.ftz.f64 %d, %a;",
        "fma.f64 %d, %a, %b, %c;",
    ] {
        refusal(text, &f64s, &[Kind::B64]);
    }
    let message = refusal("fma.f32 %d, %a, %b, %c;", &f32s, &[Kind::B32]);
    assert!(message.contains("`fma.f32` lacks a rounding, such as .rn"), "{message}");
}
