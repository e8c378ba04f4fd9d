//! Integer arithmetic, against 128-bit arithmetic.

use crate::harness::{Kind, Value, check, check1, check2, check3, refusal};

/// Integers near everything that can go wrong.
const VALUES: [u64; 22] = [
    0,
    1,
    2,
    3,
    7,
    10,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x00c0_ffee,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xdead_beef,
    0xffff_fff9,
    0xffff_ffff,
    0x1234_5678_9abc_def0,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// An integer of PTX with its exact value.
trait Exact: Value {
    const BITS: u32;
    const NAME: &'static str;
    /// The value.
    fn exact(self) -> i128;
    /// The low bits of a value.
    fn wrap(value: i128) -> Self {
        Self::of(value as u64)
    }
    /// The values of the table, cut to this type.
    fn table() -> Vec<Self> {
        VALUES.iter().map(|&bits| Self::of(bits)).collect()
    }
}

macro_rules! exact {
    ($($type:ty, $name:literal;)*) => {$(
        impl Exact for $type {
            const BITS: u32 = <$type>::BITS;
            const NAME: &'static str = $name;
            fn exact(self) -> i128 {
                self.into()
            }
        }
    )*};
}

exact!(u16, "u16"; u32, "u32"; u64, "u64"; i16, "s16"; i32, "s32"; i64, "s64";);

/// Calls a function of one type parameter for every integer type.
macro_rules! for_all {
    ($function:ident) => {
        $function::<u16>();
        $function::<u32>();
        $function::<u64>();
        $function::<i16>();
        $function::<i32>();
        $function::<i64>();
    };
}

fn sums<T: Exact>() {
    let (table, ty) = (T::table(), T::NAME);
    let add = |a: T, b: T| T::wrap(a.exact() + b.exact());
    check2(&format!("add.{ty} %d, %a, %b;"), &table, &table, add);
    let sub = |a: T, b: T| T::wrap(a.exact() - b.exact());
    check2(&format!("sub.{ty} %d, %a, %b;"), &table, &table, sub);
    let min = |a: T, b: T| T::wrap(a.exact().min(b.exact()));
    check2(&format!("min.{ty} %d, %a, %b;"), &table, &table, min);
    let max = |a: T, b: T| T::wrap(a.exact().max(b.exact()));
    check2(&format!("max.{ty} %d, %a, %b;"), &table, &table, max);
    let sad = |a: T, b: T, c: T| T::wrap(c.exact() + (a.exact() - b.exact()).abs());
    check3(&format!("sad.{ty} %d, %a, %b, %c;"), &table, &table, &table[..5], sad);
}

#[test]
fn sums_and_extrema_of_every_type() {
    for_all!(sums);
}

fn products<T: Exact>() {
    let (table, ty) = (T::table(), T::NAME);
    let low = |a: T, b: T| T::wrap(a.exact().wrapping_mul(b.exact()));
    check2(&format!("mul.lo.{ty} %d, %a, %b;"), &table, &table, low);
    let high = |a: T, b: T| T::wrap(high(a, b));
    check2(&format!("mul.hi.{ty} %d, %a, %b;"), &table, &table, high);
    let few = &table[17..];
    let mad = |a: T, b: T, c: T| T::wrap(a.exact().wrapping_mul(b.exact()).wrapping_add(c.exact()));
    check3(&format!("mad.lo.{ty} %d, %a, %b, %c;"), &table, &table, few, mad);
    let mad = |a: T, b: T, c: T| T::wrap(self::high(a, b) + c.exact());
    check3(&format!("mad.hi.{ty} %d, %a, %b, %c;"), &table, &table, few, mad);
}

/// The upper half of a product. That of two u64 is below 2^128, so its bits are right as i128 too.
fn high<T: Exact>(a: T, b: T) -> i128 {
    let product = a.exact().wrapping_mul(b.exact());
    match T::NAME {
        "u64" => (product as u128 >> 64) as i128,
        _ => product >> T::BITS,
    }
}

#[test]
fn halves_of_products_of_every_type() {
    for_all!(products);
}

fn wide<T: Exact, W: Exact>() {
    let (table, ty) = (T::table(), T::NAME);
    let product = |a: T, b: T| W::wrap(a.exact() * b.exact());
    check2(&format!("mul.wide.{ty} %d, %a, %b;"), &table, &table, product);
    let mad = |a: T, b: T, c: W| W::wrap(a.exact() * b.exact() + c.exact());
    check3(&format!("mad.wide.{ty} %d, %a, %b, %c;"), &table, &table, &W::table()[17..], mad);
}

#[test]
fn wide_products_hold_all_bits() {
    wide::<u16, u32>();
    wide::<i16, i32>();
    wide::<u32, u64>();
    wide::<i32, i64>();
}

#[test]
fn products_of_24_bits_drop_the_upper_8() {
    let unsigned = |a: u32, b: u32| u64::from(a % (1 << 24)) * u64::from(b % (1 << 24));
    let u = u32::table();
    check2("mul24.lo.u32 %d, %a, %b;", &u, &u, |a, b| unsigned(a, b) as u32);
    check2("mul24.hi.u32 %d, %a, %b;", &u, &u, |a, b| (unsigned(a, b) >> 16) as u32);
    let few = &u[15..];
    check3("mad24.lo.u32 %d, %a, %b, %c;", &u, &u, few, |a, b, c: u32| {
        (unsigned(a, b) as u32).wrapping_add(c)
    });
    check3("mad24.hi.u32 %d, %a, %b, %c;", &u, &u, few, |a, b, c: u32| {
        ((unsigned(a, b) >> 16) as u32).wrapping_add(c)
    });
    // The sign of 24 bits is bit 23.
    let value = |x: i32| {
        let low = i64::from(x).rem_euclid(1 << 24);
        if low >= 1 << 23 { low - (1 << 24) } else { low }
    };
    let signed = |a: i32, b: i32| value(a) * value(b);
    let s = i32::table();
    check2("mul24.lo.s32 %d, %a, %b;", &s, &s, |a, b| signed(a, b) as i32);
    check2("mul24.hi.s32 %d, %a, %b;", &s, &s, |a, b| (signed(a, b) >> 16) as i32);
    let few = &s[12..18];
    check3("mad24.hi.s32 %d, %a, %b, %c;", &s, &s, few, |a, b, c: i32| {
        ((signed(a, b) >> 16) as i32).wrapping_add(c)
    });
    check3("mad24.hi.sat.s32 %d, %a, %b, %c;", &s, &s, few, |a, b, c: i32| {
        clamp((signed(a, b) >> 16) + i64::from(c))
    });
}

fn clamp(value: i64) -> i32 {
    value.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

#[test]
fn saturation_stops_at_the_ends() {
    let s = i32::table();
    check2("add.sat.s32 %d, %a, %b;", &s, &s, |a: i32, b: i32| clamp(i64::from(a) + i64::from(b)));
    check2("sub.sat.s32 %d, %a, %b;", &s, &s, |a: i32, b: i32| clamp(i64::from(a) - i64::from(b)));
    check3("mad.hi.sat.s32 %d, %a, %b, %c;", &s, &s, &s[10..18], |a: i32, b: i32, c: i32| {
        clamp(((i64::from(a) * i64::from(b)) >> 32) + i64::from(c))
    });
}

fn quotients<T: Exact>() {
    let (table, ty) = (T::table(), T::NAME);
    // Quotients go towards zero, remainders take the sign of the dividend.
    let div = |a: T, b: T| T::wrap(a.exact().checked_div(b.exact()).unwrap_or(-1));
    check2(&format!("div.{ty} %d, %a, %b;"), &table, &table, div);
    let rem = |a: T, b: T| T::wrap(a.exact().checked_rem(b.exact()).unwrap_or(-1));
    check2(&format!("rem.{ty} %d, %a, %b;"), &table, &table, rem);
}

#[test]
fn quotients_and_remainders_of_every_type() {
    for_all!(quotients);
}

fn signs<T: Exact>() {
    let (table, ty) = (T::table(), T::NAME);
    check1(&format!("abs.{ty} %d, %a;"), &table, |a: T| T::wrap(a.exact().abs()));
    check1(&format!("neg.{ty} %d, %a;"), &table, |a: T| T::wrap(-a.exact()));
}

#[test]
fn the_least_integer_stays_itself() {
    signs::<i16>();
    signs::<i32>();
    signs::<i64>();
    check("abs.s32 %d, %a;", &[[i32::MIN].into()], [i32::MIN]);
}

type Pairwise = fn(i128, i128) -> i128;

#[test]
fn relu_and_pairs_of_16_bits() {
    let s = i32::table();
    check2("min.relu.s32 %d, %a, %b;", &s, &s, |a: i32, b| a.min(b).max(0));
    check2("max.relu.s32 %d, %a, %b;", &s, &s, |a: i32, b| a.max(b).max(0));
    let pairs: Vec<u32> = u32::table().into_iter().chain([0x7fff_8000, 0x8000_7fff]).collect();
    let both = |a: u32, b: u32, f: Pairwise, signed: bool| {
        let part = |shift: u32| {
            let (a, b) = ((a >> shift) as u16, (b >> shift) as u16);
            let result = match signed {
                true => f((a as i16).into(), (b as i16).into()),
                false => f(a.into(), b.into()),
            };
            u32::from(result as u16) << shift
        };
        part(0) | part(16)
    };
    let relu_min = |a: i128, b: i128| a.min(b).max(0);
    let relu_max = |a: i128, b: i128| a.max(b).max(0);
    let cases: [(&str, Pairwise, bool); 8] = [
        ("add.u16x2", |a, b| a + b, false),
        ("add.s16x2", |a, b| a + b, true),
        ("min.u16x2", |a, b| a.min(b), false),
        ("min.s16x2", |a, b| a.min(b), true),
        ("max.u16x2", |a, b| a.max(b), false),
        ("max.s16x2", |a, b| a.max(b), true),
        ("min.relu.s16x2", relu_min, true),
        ("max.relu.s16x2", relu_max, true),
    ];
    for (name, f, signed) in cases {
        let text = format!("{name} %d, %a, %b;");
        check2(&text, &pairs, &pairs, |a, b| both(a, b, f, signed));
    }
}

#[test]
fn dot_products_of_bytes() {
    let value = |bits: u32, shift: u32, width: u32, signed: bool| {
        let field = i64::from(bits >> shift) & ((1 << width) - 1);
        if signed && field >> (width - 1) == 1 { field - (1 << width) } else { field }
    };
    let table: Vec<u32> = u32::table().into_iter().chain([0x80ff_7f01, 0x0102_0304]).collect();
    for (a_type, a_signed) in [("s32", true), ("u32", false)] {
        for (b_type, b_signed) in [("s32", true), ("u32", false)] {
            let text = format!("dp4a.{a_type}.{b_type} %d, %a, %b, %c;");
            check3(&text, &table, &table, &[0, 7, u32::MAX], |a, b, c: u32| {
                let terms = (0..4).map(|index| {
                    value(a, 8 * index, 8, a_signed) * value(b, 8 * index, 8, b_signed)
                });
                (i64::from(c) + terms.sum::<i64>()) as u32
            });
            for (half, skip) in [("lo", 0), ("hi", 16)] {
                let text = format!("dp2a.{half}.{a_type}.{b_type} %d, %a, %b, %c;");
                check3(&text, &table, &table, &[0, 7, u32::MAX], |a, b, c: u32| {
                    let terms = (0..2).map(|index| {
                        let right = value(b, skip + 8 * index, 8, b_signed);
                        value(a, 16 * index, 16, a_signed) * right
                    });
                    (i64::from(c) + terms.sum::<i64>()) as u32
                });
            }
        }
    }
}

#[test]
fn constants_stand_for_registers() {
    check("add.s16 %d, %a, -3;", &[[1i16, -32768].into()], [-2i16, 32765]);
    check("mad.lo.s32 %d, %a, -5, 9;", &[[2i32, i32::MAX].into()], [-1i32, -2147483634]);
    check("mul.wide.s32 %d, %a, -4;", &[[5i32, -7].into()], [-20i64, 28]);
    check("sub.s64 %d, -1, %a;", &[[1i64, i64::MIN].into()], [-2i64, i64::MAX]);
}

#[test]
fn forms_that_ptx_does_not_have() {
    use Kind::{B16, B32, B64};
    for (text, kind) in [
        ("add.b32 %d, %a, %a;", B32),
        ("add.sat.u32 %d, %a, %a;", B32),
        ("sub.u16x2 %d, %a, %a;", B32),
        ("abs.u32 %d, %a;", B32),
        ("mul.s32 %d, %a, %a;", B32),
        ("mul.wide.u64 %d, %a, %a;", B64),
        ("mad.lo.sat.s32 %d, %a, %a, %a;", B32),
        ("mad24.lo.sat.s32 %d, %a, %a, %a;", B32),
        ("min.relu.s64 %d, %a, %a;", B64),
        ("min.relu.u16x2 %d, %a, %a;", B32),
        ("min.relu.s16 %d, %a, %a;", B16),
        ("add.u32 %d, %a;", B32),
        ("add.u32 %d, %a, 1.0;", B32),
    ] {
        let message = refusal(text, &[kind], &[kind]);
        assert!(message.starts_with("table.ptx:"), "{text}: {message}");
    }
    let message = refusal("add.u64 %d, %a, %a;", &[B32], &[B64]);
    assert!(message.contains("%a is .b32, expected 64 bits for .u64"), "{message}");
}
