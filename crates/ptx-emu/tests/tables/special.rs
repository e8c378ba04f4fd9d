//! Approximate instructions: special values exact, the rest within the documented bound, and at the
//! bound when asked for the worst.

use ptx_emu::{Approx, Options};

use crate::float::{NAN, canonical, flushed};
use crate::harness::{Column, Kind, check, check1, refusal, run_with};
use crate::oracle::Noise;

const INF: f32 = f32::INFINITY;

fn options(approx: Approx) -> Options {
    Options { approx, ..Options::default() }
}

/// What `text` gives for each value.
fn results(approx: Approx, text: &str, a: &[f32]) -> Vec<f32> {
    let columns = run_with(options(approx), text, &[Column::new(a)], &[Kind::B32]);
    columns.unwrap_or_else(|fault| panic!("{fault}")).remove(0).values()
}

fn numbers(seed: u64, low: i32, high: i32) -> Vec<f32> {
    let mut noise = Noise(seed);
    (0..3000).map(|_| noise.number(low, high) as f32).collect()
}

fn ulp(value: f64) -> f64 {
    let exponent = value.abs().log2().floor().max(-126.0);
    (exponent - 23.0).exp2()
}

/// Checks both ways of approximation against an exact function and a bound on the absolute error.
fn within(text: &str, a: &[f32], exact: impl Fn(f64) -> f64, bound: impl Fn(f64, f64) -> f64) {
    let (mut above, mut below) = (0, 0);
    let (nearest, worst) = (results(Approx::Nearest, text, a), results(Approx::Worst, text, a));
    for ((&a, nearest), worst) in a.iter().zip(nearest).zip(worst) {
        let exact = exact(a.into());
        let room = bound(a.into(), exact);
        assert_eq!(nearest, exact as f32, "`{text}` of {a:e}");
        let error = f64::from(worst) - exact;
        assert!(
            error.abs() <= room * (1.0 + 1e-9),
            "`{text}` of {a:e}: {worst:e} is {error:e} from {exact:e}, allowed {room:e}"
        );
        // No number fits between the worst result and the bound.
        let step = ulp(f64::from(worst).abs().max(exact.abs()) + room);
        assert!(error.abs() + step > room * (1.0 - 1e-9), "`{text}` of {a:e} is not at its worst");
        above += usize::from(error > 0.0);
        below += usize::from(error < 0.0);
    }
    assert!(above > a.len() / 4 && below > a.len() / 4, "`{text}`: {above} above, {below} below");
}

fn bits(exponent: f64) -> f64 {
    exponent.exp2()
}

#[test]
fn results_keep_the_documented_bounds_and_reach_them() {
    let any = numbers(1, -60, 60);
    let positive: Vec<f32> = any.iter().map(|a| a.abs()).collect();
    let subnormal: Vec<f32> = numbers(2, -149, -126).iter().map(|a| a.abs()).collect();
    for text in ["rcp.approx.f32 %d, %a;", "rcp.approx.ftz.f32 %d, %a;"] {
        within(text, &any, f64::recip, |_, exact| ulp(exact));
    }
    for values in [&positive, &subnormal] {
        within("sqrt.approx.f32 %d, %a;", values, f64::sqrt, |_, exact| bits(-23.0) * exact);
        let exact = |a: f64| 1.0 / a.sqrt();
        within("rsqrt.approx.f32 %d, %a;", values, exact, |_, exact| bits(-22.9) * exact);
    }
    let exponents = numbers(3, -12, 6);
    within("ex2.approx.f32 %d, %a;", &exponents, f64::exp2, |_, exact| 2.0 * ulp(exact));
    within("ex2.approx.ftz.f32 %d, %a;", &exponents, f64::exp2, |_, exact| 2.0 * ulp(exact));
    // Relative outside (1/2, 2), absolute inside.
    let room = |a: f64, exact: f64| match a > 0.5 && a < 2.0 {
        true => bits(-22.0),
        false => bits(-22.0) * exact.abs(),
    };
    within("lg2.approx.f32 %d, %a;", &positive, f64::log2, room);
    within("lg2.approx.ftz.f32 %d, %a;", &positive, f64::log2, room);
    within("lg2.approx.f32 %d, %a;", &subnormal, f64::log2, room);
    let angles = numbers(4, -12, 8);
    let room = |a: f64, _| bits(if a.abs() <= std::f64::consts::TAU { -20.5 } else { -14.7 });
    for words in ["", ".ftz"] {
        within(&format!("sin.approx{words}.f32 %d, %a;"), &angles, f64::sin, room);
        within(&format!("cos.approx{words}.f32 %d, %a;"), &angles, f64::cos, room);
    }
    let exact_size = |_, exact: f64| bits(-11.0) * exact.abs();
    within("tanh.approx.f32 %d, %a;", &numbers(5, -30, 5), f64::tanh, exact_size);
}

#[test]
fn quotients_keep_the_documented_bounds() {
    let (a, b) = (numbers(6, -60, 60), numbers(7, -60, 60));
    for text in ["div.approx.f32", "div.full.f32", "div.approx.ftz.f32", "div.full.ftz.f32"] {
        for approx in [Approx::Nearest, Approx::Worst] {
            let text = format!("{text} %d, %a, %b;");
            let columns = [Column::new(&a), Column::new(&b)];
            let got = run_with(options(approx), &text, &columns, &[Kind::B32]).unwrap();
            for (at, got) in got[0].values::<f32>().into_iter().enumerate() {
                let exact = f64::from(a[at]) / f64::from(b[at]);
                let error = (f64::from(got) - exact).abs() / ulp(exact);
                match approx {
                    Approx::Nearest => assert_eq!(got, a[at] / b[at]),
                    Approx::Worst => assert!(error > 0.9 && error <= 2.0, "{text}: {error} ulp"),
                }
            }
        }
    }
}

#[test]
fn special_values_are_exact_in_both_ways() {
    let tiny = f32::from_bits(1);
    // The operand, and the results of rcp, sqrt, rsqrt, ex2, lg2, sin, cos, tanh.
    let table: [(f32, [f32; 8]); 6] = [
        (-INF, [-0.0, NAN, NAN, 0.0, NAN, NAN, NAN, -1.0]),
        (-0.0, [-INF, -0.0, -INF, 1.0, -INF, -0.0, 1.0, -0.0]),
        (0.0, [INF, 0.0, INF, 1.0, -INF, 0.0, 1.0, 0.0]),
        (INF, [0.0, INF, 0.0, INF, INF, NAN, NAN, 1.0]),
        (f32::from_bits(0xff80_0001), [NAN; 8]),
        (f32::NAN, [NAN; 8]),
    ];
    let names = ["rcp", "sqrt", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh"];
    for approx in [Approx::Nearest, Approx::Worst] {
        for (index, name) in names.into_iter().enumerate() {
            let operands: Vec<f32> = table.iter().map(|row| row.0).collect();
            let expected: Vec<u32> = table.iter().map(|row| row.1[index].to_bits()).collect();
            for words in ["", ".ftz"] {
                if name == "tanh" && words == ".ftz" {
                    continue;
                }
                let text = format!("{name}.approx{words}.f32 %d, %a;");
                let got: Vec<u32> =
                    results(approx, &text, &operands).into_iter().map(f32::to_bits).collect();
                assert_eq!(got, expected, "`{text}`");
                if words == ".ftz" {
                    // Subnormal operands are zeros of their sign.
                    let got = results(approx, &text, &[-tiny, tiny]);
                    let expected = [table[1].1[index], table[2].1[index]];
                    assert_eq!(got.map_bits(), expected.to_vec().map_bits(), "`{text}`");
                }
            }
        }
        for name in ["sqrt", "rsqrt", "lg2"] {
            let got = results(approx, &format!("{name}.approx.f32 %d, %a;"), &[-1.0, -tiny]);
            assert_eq!(got.map_bits(), vec![NAN.to_bits(); 2], "{name} of negative numbers");
        }
        // Overflow, underflow, and results that are flushed.
        let text = "ex2.approx.f32 %d, %a;";
        assert_eq!(results(approx, text, &[128.0, 1e30, -151.0, -1e30]), [INF, INF, 0.0, 0.0]);
        assert_eq!(results(approx, "ex2.approx.ftz.f32 %d, %a;", &[-126.5, -130.0]), [0.0, 0.0]);
        let got = results(approx, "rcp.approx.ftz.f32 %d, %a;", &[2e38, -2e38]);
        assert_eq!(got.map_bits(), [0.0f32, -0.0].to_vec().map_bits());
        assert_eq!(results(approx, "rcp.approx.f32 %d, %a;", &[tiny, -tiny]), [INF, -INF]);
        assert_eq!(results(approx, "tanh.approx.f32 %d, %a;", &[tiny, -tiny]), [tiny, -tiny]);
    }
}

trait MapBits {
    fn map_bits(&self) -> Vec<u32>;
}

impl MapBits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|value| value.to_bits()).collect()
    }
}

#[test]
fn special_quotients_are_exact() {
    let huge = 1.5 * 2.0f32.powi(126);
    let cases = [
        // Beyond 2^126, the divisor's reciprocal is zero.
        ("approx", 1.0, huge, 0.0),
        ("approx", -1.0, huge, -0.0),
        ("approx", f32::MAX, -huge, -0.0),
        ("approx", INF, huge, NAN),
        ("approx", INF, INF, NAN),
        ("full", INF, huge, INF),
        ("approx", 1.0, 0.0, INF),
        ("approx", -1.0, 0.0, -INF),
        ("approx", 0.0, 0.0, NAN),
        ("approx", 0.0, -3.0, -0.0),
        ("approx", INF, -3.0, -INF),
        ("approx", 7.0, INF, 0.0),
        ("approx", f32::NAN, 1.0, NAN),
        ("full", 1.0, f32::NAN, NAN),
        ("full", -0.0, 2.0, -0.0),
        ("full.ftz", 1.0, 1e-40, INF),
        ("full.ftz", 1e-40, 1e-40, NAN),
        ("approx.ftz", 1e-40, -1.0, -0.0),
        ("approx.ftz", 1e-38, 4.0, 0.0),
    ];
    for approx in [Approx::Nearest, Approx::Worst] {
        for (words, a, b, expected) in cases {
            let text = format!("div.{words}.f32 %d, %a, %b;");
            let columns = [Column::new(&[a]), Column::new(&[b])];
            let got = run_with(options(approx), &text, &columns, &[Kind::B32]).unwrap();
            let got = got[0].values::<f32>()[0];
            assert_eq!(got.to_bits(), expected.to_bits(), "{a:e} {words} {b:e}: {got:e}");
        }
    }
    let a = numbers(8, 80, 120);
    let b: Vec<f32> = numbers(9, -30, 30);
    let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| flushed(canonical(a / b))).collect();
    check("div.full.ftz.f32 %d, %a, %b;", &[a.into(), b.into()], expected);
}

#[test]
fn f64_forms_work_on_the_upper_half() {
    let nan = 0x7fff_ffff_0000_0000u64;
    let inf = f64::INFINITY.to_bits();
    let sign = 1u64 << 63;
    let rcp = [
        (inf | sign, sign),
        (sign | 5, inf | sign),
        (sign, inf | sign),
        (0, inf),
        (5, inf),
        (inf, 0),
        (0x7ff8_0000_0000_0001, nan),
        (2.0f64.to_bits(), 0.5f64.to_bits()),
        // 1/3 to 20 bits; the operand's lower half does not count.
        (3.0f64.to_bits() | 0xffff_ffff, 0x3fd5_5555_0000_0000),
        (f64::MAX.to_bits(), 0),
    ];
    let (operands, expected): (Vec<u64>, Vec<u64>) = rcp.into_iter().unzip();
    check("rcp.approx.ftz.f64 %d, %a;", &[operands.into()], expected);
    let rsqrt = [
        (inf | sign, nan),
        (sign | 5, inf | sign),
        (sign, inf | sign),
        (5, inf),
        (inf, 0),
        ((-1.0f64).to_bits(), nan),
        (4.0f64.to_bits(), 0.5f64.to_bits()),
        (2.0f64.to_bits(), 0x3fe6_a09e_0000_0000),
    ];
    let (operands, expected): (Vec<u64>, Vec<u64>) = rsqrt.into_iter().unzip();
    check("rsqrt.approx.ftz.f64 %d, %a;", &[operands.into()], expected);
    let some = [4.0f64, 1e-310, 0.0, -0.0, f64::INFINITY];
    check1("rsqrt.approx.f64 %d, %a;", &some, |a: f64| 1.0 / a.sqrt());
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    for text in [
        "ex2.f32 %d, %a;",
        "tanh.approx.ftz.f32 %d, %a;",
        "sin.approx.sat.f32 %d, %a;",
        "lg2.approx.f16 %d, %a;",
        "div.approx.full.f32 %d, %a, %b;",
        "div.approx.rn.f32 %d, %a, %b;",
        "ex2.approx.bf16 %d, %a;",
        "ex2.approx.ftz.f16 %d, %a;",
        "tanh.approx.ftz.bf16 %d, %a;",
    ] {
        refusal(text, &[Kind::B32; 2], &[Kind::B32]);
    }
    for text in ["rcp.approx.f64 %d, %a;", "sqrt.approx.f64 %d, %a;", "sqrt.approx.ftz.f64 %d, %a;"]
    {
        refusal(text, &[Kind::B64; 2], &[Kind::B64]);
    }
}
