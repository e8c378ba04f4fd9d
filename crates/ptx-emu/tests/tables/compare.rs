//! Comparisons: integers against `i128`, floating-point numbers against `f64`, which holds all but
//! the widest exactly.

use half::{bf16, f16};

use crate::harness::{Column, Kind, Value, check, check2, check3, refusal, run};

const INTEGERS: [u64; 9] =
    [0, 1, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_8000, 0x8000_0000_8000_8000, u64::MAX];

/// A number that compares as the `f64` of the same value.
trait Float: Value {
    const NAME: &'static str;
    /// Bits of the exponent and of the fraction.
    const EXPONENT: u32;
    const FRACTION: u32;

    fn exact(self) -> f64 {
        let bits = self.bits();
        let sign = if bits >> (Self::EXPONENT + Self::FRACTION) & 1 == 1 { -1.0 } else { 1.0 };
        let most = (1 << Self::EXPONENT) - 1;
        let exponent = (bits >> Self::FRACTION & most) as i32;
        let fraction = (bits & ((1 << Self::FRACTION) - 1)) as f64;
        let step = 2f64.powi(1 - most as i32 / 2 - Self::FRACTION as i32);
        sign * match exponent {
            0 => fraction * step,
            at if at == most as i32 && fraction != 0.0 => f64::NAN,
            at if at == most as i32 => f64::INFINITY,
            at => (fraction + 2f64.powi(Self::FRACTION as i32)) * step * 2f64.powi(at - 1),
        }
    }

    /// Zeros, subnormal and normal numbers, infinities and NaNs, of both signs.
    fn table() -> Vec<Self> {
        let one = ((1u64 << Self::EXPONENT) / 2 - 1) << Self::FRACTION;
        let infinity = ((1u64 << Self::EXPONENT) - 1) << Self::FRACTION;
        let least = 1u64 << Self::FRACTION;
        let magnitudes =
            [0, 1, least - 1, least, one, one + 1, infinity - 1, infinity, infinity + 1];
        let sign = 1u64 << (Self::EXPONENT + Self::FRACTION);
        magnitudes.into_iter().flat_map(|bits| [Self::of(bits), Self::of(bits | sign)]).collect()
    }

    /// Its value, with zero for a subnormal.
    fn flushed(self) -> f64 {
        let exponent = self.bits() >> Self::FRACTION & ((1 << Self::EXPONENT) - 1);
        if exponent == 0 { 0.0 } else { self.exact() }
    }
}

macro_rules! floats {
    ($($type:ty, $name:literal, $exponent:literal, $fraction:literal;)*) => {$(
        impl Float for $type {
            const NAME: &'static str = $name;
            const EXPONENT: u32 = $exponent;
            const FRACTION: u32 = $fraction;
        }
    )*};
}

floats!(f16, "f16", 5, 10; bf16, "bf16", 8, 7; f32, "f32", 8, 23;);

type Relation = fn(f64, f64) -> bool;
type Order = fn(i128, i128) -> bool;
type Boolean = fn(bool, bool) -> bool;
/// The number that an operand stands for.
type Reading<T> = fn(T) -> f64;

/// The comparisons of floating-point numbers as the manual defines them.
fn relations() -> [(&'static str, Relation); 14] {
    [
        ("eq", |a, b| a == b),
        ("ne", |a, b| a != b && !a.is_nan() && !b.is_nan()),
        ("lt", |a, b| a < b),
        ("le", |a, b| a <= b),
        ("gt", |a, b| a > b),
        ("ge", |a, b| a >= b),
        ("equ", |a, b| a == b || a.is_nan() || b.is_nan()),
        ("neu", |a, b| a != b || a.is_nan() || b.is_nan()),
        ("ltu", |a, b| a < b || a.is_nan() || b.is_nan()),
        ("leu", |a, b| a <= b || a.is_nan() || b.is_nan()),
        ("gtu", |a, b| a > b || a.is_nan() || b.is_nan()),
        ("geu", |a, b| a >= b || a.is_nan() || b.is_nan()),
        ("num", |a, b| !a.is_nan() && !b.is_nan()),
        ("nan", |a, b| a.is_nan() || b.is_nan()),
    ]
}

fn integers<T: Value>(ty: &str, exact: fn(T) -> i128) {
    let table: Vec<T> = INTEGERS.iter().map(|&bits| T::of(bits)).collect();
    let mut words: Vec<(&str, Order)> = vec![("eq", |a, b| a == b), ("ne", |a, b| a != b)];
    if !ty.starts_with('b') {
        words.extend::<[(&str, Order); 4]>([
            ("lt", |a, b| a < b),
            ("le", |a, b| a <= b),
            ("gt", |a, b| a > b),
            ("ge", |a, b| a >= b),
        ]);
    }
    if ty.starts_with('u') {
        words.extend::<[(&str, Order); 4]>([
            ("lo", |a, b| a < b),
            ("ls", |a, b| a <= b),
            ("hi", |a, b| a > b),
            ("hs", |a, b| a >= b),
        ]);
    }
    for (word, f) in words {
        let holds = |a: T, b: T| f(exact(a), exact(b));
        check2(&format!("setp.{word}.{ty} %d, %a, %b;"), &table, &table, holds);
        let all_ones = |a: T, b: T| if holds(a, b) { u32::MAX } else { 0 };
        check2(&format!("set.{word}.u32.{ty} %d, %a, %b;"), &table, &table, all_ones);
        let one = |a: T, b: T| if holds(a, b) { 1f32 } else { 0.0 };
        check2(&format!("set.{word}.f32.{ty} %d, %a, %b;"), &table, &table, one);
    }
}

#[test]
fn integers_of_every_type() {
    integers::<u16>("u16", i128::from);
    integers::<u32>("u32", i128::from);
    integers::<u64>("u64", i128::from);
    integers::<i16>("s16", i128::from);
    integers::<i32>("s32", i128::from);
    integers::<i64>("s64", i128::from);
    integers::<u16>("b16", i128::from);
    integers::<u32>("b32", i128::from);
    integers::<u64>("b64", i128::from);
}

fn floats<T: Float>(flush: bool) {
    let (table, ty) = (T::table(), T::NAME);
    for (word, f) in relations() {
        check2(&format!("setp.{word}.{ty} %d, %a, %b;"), &table, &table, |a: T, b: T| {
            f(a.exact(), b.exact())
        });
        check2(&format!("set.{word}.s32.{ty} %d, %a, %b;"), &table, &table, |a: T, b: T| {
            -i32::from(f(a.exact(), b.exact()))
        });
        if flush {
            check2(&format!("setp.{word}.ftz.{ty} %d, %a, %b;"), &table, &table, |a: T, b: T| {
                f(a.flushed(), b.flushed())
            });
        }
    }
}

#[test]
fn floats_with_and_without_order() {
    floats::<f16>(true);
    floats::<bf16>(false);
    floats::<f32>(true);
}

#[test]
fn doubles_with_and_without_order() {
    let table =
        [0.0, -0.0, 5e-324, 1.0, -1.5, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    for (word, f) in relations() {
        check2(&format!("setp.{word}.f64 %d, %a, %b;"), &table, &table, f);
        check2(&format!("set.{word}.f32.f64 %d, %a, %b;"), &table, &table, |a, b| {
            f32::from(u8::from(f(a, b)))
        });
    }
    check("setp.lt.f64 %d, %a, 0d3FF0000000000000;", &[[0.5, 1.0].into()], [true, false]);
    check("setp.lt.f64 %d, %a, 0f3F800000;", &[[0.5, 1.0].into()], [true, false]);
    check("setp.lt.f32 %d, %a, 1.0;", &[[0.5f32, 1.0].into()], [true, false]);
}

fn halves<T: Float>(flush: bool) {
    let ty = T::NAME;
    let pack = |low: T, high: T| (low.bits() | high.bits() << 16) as u32;
    let table = T::table();
    let (mut a, mut b, mut low, mut high) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &x in &table {
        for &y in &table {
            a.push(pack(x, table[3]));
            b.push(pack(y, x));
            low.push((x, y));
            high.push((table[3], x));
        }
    }
    let columns = [Column::from(a), Column::from(b)];
    let modes: &[(&str, Reading<T>)] = match flush {
        true => &[("", T::exact), (".ftz", T::flushed)],
        false => &[("", T::exact)],
    };
    for (word, f) in relations() {
        for (mode, value) in modes {
            let holds = |pairs: &[(T, T)]| -> Vec<bool> {
                pairs.iter().map(|&(x, y)| f(value(x), value(y))).collect()
            };
            let (low, high) = (holds(&low), holds(&high));
            let text = format!("setp.{word}{mode}.{ty}x2 %d|%d1, %a, %b;");
            let results = run(&text, &columns, &[Kind::Pred; 2]);
            assert_eq!(results[0].values::<bool>(), low, "{text}");
            assert_eq!(results[1].values::<bool>(), high, "{text}");
            check(&format!("setp.{word}{mode}.{ty}x2 %d, %a, %b;"), &columns, low.clone());
            let values = |one: u32| -> Vec<u32> {
                let both = low.iter().zip(&high);
                both.map(|(&low, &high)| (u32::from(low) * one) | (u32::from(high) * (one << 16)))
                    .collect()
            };
            check(&format!("set.{word}{mode}.u32.{ty}x2 %d, %a, %b;"), &columns, values(0xffff));
            let one = if ty == "f16" { 0x3c00 } else { 0x3f80 };
            check(&format!("set.{word}{mode}.{ty}x2.{ty}x2 %d, %a, %b;"), &columns, values(one));
        }
    }
}

#[test]
fn pairs_of_halves_give_a_predicate_each() {
    halves::<f16>(true);
    halves::<bf16>(false);
}

#[test]
fn a_comparison_combines_with_a_predicate() {
    let (a, b, flags) = ([1, 1, 2, 2], [1, 2, 1, 2], [false, true]);
    let booleans: [(&str, Boolean); 3] =
        [("and", |t, c| t && c), ("or", |t, c| t || c), ("xor", |t, c| t != c)];
    for (name, f) in booleans {
        for negated in [false, true] {
            let c = if negated { "!%c" } else { "%c" };
            let text = format!("setp.lt.{name}.s32 %d, %a, %b, {c};");
            check3(&text, &a, &b, &flags, |a: i32, b, c: bool| f(a < b, c != negated));
            // The second predicate takes the opposite comparison, combined in the same way.
            let text = format!("setp.lt.{name}.s32 _|%d, %a, %b, {c};");
            check3(&text, &a, &b, &flags, |a: i32, b, c: bool| f(a >= b, c != negated));
            let text = format!("set.lt.{name}.u32.s32 %d, %a, %b, {c};");
            check3(
                &text,
                &a,
                &b,
                &flags,
                |a: i32, b, c: bool| {
                    if f(a < b, c != negated) { u32::MAX } else { 0 }
                },
            );
        }
        // Not less is not "greater or equal" where a NaN is compared.
        let text = format!("setp.lt.{name}.f32 %d1|%d, %a, %b, %c; and.pred %d1, %d1, %d;");
        let results =
            run(&text, &[[f32::NAN; 2].into(), [1f32; 2].into(), flags.into()], &[Kind::Pred; 2]);
        assert_eq!(results[0], Column::from(flags.map(|c| f(true, c))), "{text}");
    }
    let pairs = [[0x3c00_4000u32; 2].into(), [0x4000_3c00u32; 2].into(), flags.into()];
    let results = run("setp.gt.and.f16x2 %d|%d1, %a, %b, %c;", &pairs, &[Kind::Pred; 2]);
    assert_eq!(results[0], Column::from([false, true]));
    assert_eq!(results[1], Column::from([false, false]));
}

#[test]
fn set_gives_what_its_destination_holds() {
    let (a, b) = ([1f32, 2.0, f32::NAN], [2f32, 1.0, 1.0]);
    let columns = || [Column::from(a), Column::from(b)];
    check("set.lt.u32.f32 %d, %a, %b;", &columns(), [u32::MAX, 0, 0]);
    check("set.ltu.f32.f32 %d, %a, %b;", &columns(), [1f32, 0.0, 1.0]);
    check("set.lt.f16.f32 %d, %a, %b;", &columns(), [0x3c00u16, 0, 0]);
    check("set.lt.bf16.f32 %d, %a, %b;", &columns(), [0x3f80u16, 0, 0]);
    let halves = || [Column::from([0x3c00u16, 0x4000]), Column::from([0x4000u16, 0x3c00])];
    check("set.lt.f16.f16 %d, %a, %b;", &halves(), [0x3c00u16, 0]);
    check("set.lt.u16.f16 %d, %a, %b;", &halves(), [0xffffu16, 0]);
    check("set.lt.s16.bf16 %d, %a, %b;", &halves(), [-1i16, 0]);
    check("set.lt.bf16.bf16 %d, %a, %b;", &halves(), [0x3f80u16, 0]);
    check("set.lt.bf16.f16 %d, %a, %b;", &halves(), [0x3f80u16, 0]);
    check("set.lt.f16.s64 %d, %a, 5;", &[[4i64, 5].into()], [0x3c00u16, 0]);
}

#[test]
fn forms_that_ptx_does_not_have() {
    for text in [
        "setp.lt.b32 %d, %a, %a;",
        "setp.lo.s32 %d, %a, %a;",
        "setp.lo.f32 %d, %a, %a;",
        "setp.ltu.s32 %d, %a, %a;",
        "setp.lt.s32 %d, %a, 1.0;",
        "setp.lt.s32 %d, %a, 0f3f800000;",
        "setp.lt.ftz.bf16x2 %d, %a, %a;",
        "setp.lt.ftz.s32 %d, %a, %a;",
        "setp.lt.and.s32 %d, %a, %a;",
        "setp.lt.s32 %d, %a, %a, %d;",
    ] {
        refusal(text, &[Kind::B32], &[Kind::Pred]);
    }
    refusal("setp.lt.ftz.f64 %d, %a, %a;", &[Kind::B64], &[Kind::Pred]);
    for text in
        ["setp.lt.f16 %d, %a, 1.0;", "setp.lt.f16 %d, %a, 1;", "setp.lt.ftz.bf16 %d, %a, %a;"]
    {
        refusal(text, &[Kind::B16], &[Kind::Pred]);
    }
    for text in [
        "set.lt.u16.f32 %d, %a, %a;",
        "set.lt.f16x2.bf16x2 %d, %a, %a;",
        "set.lt.f32.f16x2 %d, %a, %a;",
    ] {
        refusal(text, &[Kind::B32, Kind::Pred], &[Kind::B32]);
    }
    for text in ["set.lt.f32.f16 %d, %a, %a;", "set.lt.f16.bf16 %d, %a, %a;"] {
        refusal(text, &[Kind::B16], &[Kind::B32]);
    }
}
