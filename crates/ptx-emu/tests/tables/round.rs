//! Directed roundings of f32 and f64, against exact integer arithmetic.

use crate::harness::{check, check1, check2};
use crate::oracle::{Exact, F32, F64, MODES, Mode, Noise};

/// Pairs and more of f32 numbers whose sums and products fit the oracle, cancelling now and then.
fn singles(seed: u64, count: usize, low: i32, high: i32) -> Vec<f32> {
    let mut noise = Noise(seed);
    (0..count).map(|_| noise.number(low, high) as f32).collect()
}

fn doubles(seed: u64, count: usize, low: i32, high: i32) -> Vec<f64> {
    let mut noise = Noise(seed);
    (0..count).map(|_| noise.number(low, high)).collect()
}

fn single(exact: Exact, mode: Mode) -> f32 {
    match exact.count {
        0 if mode == Mode::Down => -0.0,
        0 => 0.0,
        _ => exact.rounded(F32, mode) as f32,
    }
}

fn double(exact: Exact, mode: Mode) -> f64 {
    match exact.count {
        0 if mode == Mode::Down => -0.0,
        0 => 0.0,
        _ => exact.rounded(F64, mode),
    }
}

fn of(value: f32) -> Exact {
    Exact::of(value.into())
}

#[test]
fn f32_sums_products_and_quotients_round_as_asked() {
    let (mut a, mut b) = (singles(1, 90, -20, 20), singles(2, 90, -20, 20));
    // Sums that cancel, in part and wholly.
    b.extend(a.iter().take(20).flat_map(|a| [-a, a * 1.5, -f32::from_bits(a.to_bits() + 1)]));
    a.extend([1.0, -1.0, 3.0, 1.0 + f32::EPSILON]);
    for (word, mode) in MODES {
        let run = |name: &str, f: &dyn Fn(Exact, Exact) -> Exact| {
            let text = format!("{name}.{word}.f32 %d, %a, %b;");
            check2(&text, &a, &b, |a: f32, b: f32| single(f(of(a), of(b)), mode));
        };
        run("add", &Exact::plus);
        run("sub", &|a, b| a.plus(Exact { count: -b.count, ..b }));
        run("mul", &Exact::times);
        run("div", &Exact::over);
    }
}

#[test]
fn f32_sums_of_very_different_sizes_still_see_the_small_one() {
    // Far below the last place, the small number decides directed roundings.
    for (a, b) in [(1.0f32, 1e-30f32), (1.0, -1e-30), (-1.0, 1e-30), (-1.0, -1e-38), (3e38, 1e-45)]
    {
        let next = |value: f32, up: bool| match (value > 0.0) == up {
            true => f32::from_bits(value.to_bits() + 1),
            false => f32::from_bits(value.to_bits() - 1),
        };
        let (rp, rm) = if b > 0.0 { (next(a, true), a) } else { (a, next(a, false)) };
        let rz = if a > 0.0 { rm } else { rp };
        for (word, expected) in [("rn", a), ("rz", rz), ("rm", rm), ("rp", rp)] {
            check(&format!("add.{word}.f32 %d, %a, %b;"), &[[a].into(), [b].into()], [expected]);
        }
    }
    // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 lies halfway between two numbers; a third operand of any
    // size breaks the tie.
    let half = 1.0 + (-12.0f32).exp2();
    let (below, above) = (1.0 + (-11.0f32).exp2(), 1.0 + (-11.0f32).exp2() + f32::EPSILON);
    let cases = [
        (0.0f32, [below, below, below, above]),
        (1e-45, [above, below, below, above]),
        (-1e-45, [below, below, below, above]),
    ];
    for (c, expected) in cases {
        for ((word, _), expected) in MODES.into_iter().zip(expected) {
            let text = format!("fma.{word}.f32 %d, %a, %a, %b;");
            check(&text, &[[half].into(), [c].into()], [expected]);
        }
    }
}

#[test]
fn f32_fused_products_round_once() {
    let (a, b) = (singles(3, 4000, -14, 14), singles(4, 4000, -14, 14));
    let mut c = singles(5, 4000, -14, 14);
    for at in (0..c.len()).step_by(3) {
        // Almost the negated product.
        c[at] = -(a[at] * b[at]);
    }
    for (word, mode) in MODES {
        for name in ["fma", "mad"] {
            let expected: Vec<f32> = (0..a.len())
                .map(|at| single(of(a[at]).times(of(b[at])).plus(of(c[at])), mode))
                .collect();
            let text = format!("{name}.{word}.f32 %d, %a, %b, %c;");
            check(&text, &[a.clone().into(), b.clone().into(), c.clone().into()], expected);
        }
    }
}

#[test]
fn f32_reciprocals_and_roots_round_as_asked() {
    let a = singles(6, 4000, -126, 127);
    let sizes: Vec<f32> = a.iter().map(|a| a.abs()).chain([1e-45, 1e-40, 4.0, f32::MAX]).collect();
    for (word, mode) in MODES {
        let one = Exact::of(1.0);
        check1(&format!("rcp.{word}.f32 %d, %a;"), &a, |a: f32| single(one.over(of(a)), mode));
        check1(&format!("sqrt.{word}.f32 %d, %a;"), &sizes, |a: f32| single(of(a).root(), mode));
    }
}

#[test]
fn f32_results_at_the_ends_of_the_range_round_as_asked() {
    let small = singles(7, 60, -90, -60);
    let tiny = singles(8, 60, -89, -60);
    let (large, huge) = (singles(9, 40, 55, 70), singles(10, 40, 55, 70));
    for (word, mode) in MODES {
        let text = format!("mul.{word}.f32 %d, %a, %b;");
        let product = |a: f32, b: f32| single(of(a).times(of(b)), mode);
        check2(&text, &small, &tiny, product);
        check2(&text, &large, &huge, product);
        let text = format!("div.{word}.f32 %d, %a, %b;");
        let quotient = |a: f32, b: f32| single(of(a).over(of(b)), mode);
        check2(&text, &small, &large, quotient);
        check2(&text, &large, &small, quotient);
        let flushed = |value: f32| if value.is_subnormal() { value * 0.0 } else { value };
        let text = format!("mul.{word}.ftz.f32 %d, %a, %b;");
        check2(&text, &small, &tiny, |a: f32, b: f32| flushed(product(a, b)));
    }
}

#[test]
fn f64_operations_round_as_asked() {
    let (mut a, b) = (doubles(11, 80, -10, 10), doubles(12, 80, -10, 10));
    a.extend(b.iter().take(20).flat_map(|b| [-b, -f64::from_bits(b.to_bits() + 1)]));
    let of = Exact::of;
    for (word, mode) in MODES {
        let run = |name: &str, f: &dyn Fn(Exact, Exact) -> Exact| {
            let text = format!("{name}.{word}.f64 %d, %a, %b;");
            check2(&text, &a, &b, |a: f64, b: f64| double(f(of(a), of(b)), mode));
        };
        run("add", &Exact::plus);
        run("sub", &|a, b| a.plus(Exact { count: -b.count, ..b }));
        run("mul", &Exact::times);
        run("div", &Exact::over);
        check1(&format!("rcp.{word}.f64 %d, %a;"), &b, |b: f64| double(of(1.0).over(of(b)), mode));
        let sizes: Vec<f64> = a.iter().map(|a| a.abs()).collect();
        check1(&format!("sqrt.{word}.f64 %d, %a;"), &sizes, |a: f64| double(of(a).root(), mode));
    }
}

#[test]
fn f64_fused_products_round_once() {
    let (a, b) = (doubles(13, 3000, -5, 5), doubles(14, 3000, -5, 5));
    let c: Vec<f64> = (0..a.len())
        .map(|at| if at % 2 == 0 { -(a[at] * b[at]) } else { Noise(at as u64).number(-5, 5) })
        .collect();
    for (word, mode) in MODES {
        for name in ["fma", "mad"] {
            let expected: Vec<f64> = (0..a.len())
                .map(|at| {
                    let product = Exact::of(a[at]).times(Exact::of(b[at]));
                    double(product.plus(Exact::of(c[at])), mode)
                })
                .collect();
            let text = format!("{name}.{word}.f64 %d, %a, %b, %c;");
            check(&text, &[a.clone().into(), b.clone().into(), c.clone().into()], expected);
        }
    }
}

#[test]
fn f64_results_at_the_ends_of_the_range_round_as_asked() {
    let (small, tiny) = (doubles(15, 50, -560, -500), doubles(16, 50, -560, -500));
    let (large, huge) = (doubles(17, 40, 500, 523), doubles(18, 40, 500, 523));
    for (word, mode) in MODES {
        let text = format!("mul.{word}.f64 %d, %a, %b;");
        let product = |a: f64, b: f64| double(Exact::of(a).times(Exact::of(b)), mode);
        check2(&text, &small, &tiny, product);
        check2(&text, &large, &huge, product);
        let text = format!("div.{word}.f64 %d, %a, %b;");
        let quotient = |a: f64, b: f64| double(Exact::of(a).over(Exact::of(b)), mode);
        check2(&text, &small, &large, quotient);
        check2(&text, &large, &small, quotient);
    }
}
