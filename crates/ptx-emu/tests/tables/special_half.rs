//! `ex2` and `tanh` of f16 and bf16, on every number.

use half::{bf16, f16};
use ptx_emu::{Approx, Options};

use crate::harness::{Column, Kind, run_with};

/// Every pattern, and what `text` gives for it.
fn all(approx: Approx, text: &str) -> Vec<(u16, u16)> {
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let options = Options { approx, ..Options::default() };
    let got = run_with(options, text, &[Column::new(&patterns)], &[Kind::B16]);
    let got = got.unwrap_or_else(|fault| panic!("{fault}")).remove(0).values::<u16>();
    patterns.into_iter().zip(got).collect()
}

fn check(
    text: &str,
    widen: fn(u16) -> f64,
    exact: fn(f64) -> f64,
    room: impl Fn(f64) -> f64,
    smallest_normal: f64,
) {
    let ftz = text.contains("ftz");
    for approx in [Approx::Nearest, Approx::Worst] {
        let mut off = 0;
        for (bits, got) in all(approx, text) {
            let mut a = widen(bits);
            if ftz && a.abs() < smallest_normal {
                a *= 0.0;
            }
            let exact = exact(a);
            let got = widen(got);
            if a.is_nan() {
                assert!(got.is_nan(), "`{text}` of NaN {bits:#x} is {got}");
                continue;
            }
            if a == 0.0 || a.is_infinite() {
                assert_eq!(got, exact, "`{text}` of {a}");
                continue;
            }
            let error = (got - exact).abs();
            // Overflow and underflow are no errors.
            let largest = widen(if smallest_normal > 1e-30 { 0x7bff } else { 0x7f7f });
            let flushed = exact.abs() < smallest_normal;
            let room = room(exact).max(if flushed { smallest_normal } else { 0.0 });
            let overflows = exact > largest && got.is_infinite();
            assert!(error <= room || overflows, "`{text}` of {a}: {got}, exact {exact}");
            off += usize::from(error > room / 2.0);
        }
        let most = if approx == Approx::Nearest { 0..65_536 } else { 10_000..65_536 };
        assert!(most.contains(&off), "`{text}`: {off} results are off, {approx:?}");
    }
}

#[test]
fn every_result_is_within_the_documented_bound() {
    let half = |bits| f16::from_bits(bits).to_f64();
    let brain = |bits| bf16::from_bits(bits).to_f64();
    let bits = |exponent: f64| exponent.exp2();
    let (f16_normal, bf16_normal) = (bits(-14.0), bits(-126.0));
    check("ex2.approx.f16 %d, %a;", half, f64::exp2, |exact| bits(-9.9) * exact, f16_normal);
    check("ex2.approx.ftz.bf16 %d, %a;", brain, f64::exp2, |exact| bits(-7.0) * exact, bf16_normal);
    check("tanh.approx.f16 %d, %a;", half, f64::tanh, |_| bits(-10.987), f16_normal);
    check("tanh.approx.bf16 %d, %a;", brain, f64::tanh, |_| bits(-8.0), bf16_normal);
}

#[test]
fn pairs_are_two_halves() {
    for name in ["ex2.approx.f16", "tanh.approx.bf16", "ex2.approx.ftz.bf16"] {
        let single = all(Approx::Worst, &format!("{name} %d, %a;"));
        let pairs: Vec<u32> =
            single.iter().map(|&(bits, _)| u32::from(bits) << 16 | u32::from(!bits)).collect();
        let options = Options { approx: Approx::Worst, ..Options::default() };
        let text = format!("{name}x2 %d, %a;");
        let got = run_with(options, &text, &[Column::new(&pairs)], &[Kind::B32]).unwrap().remove(0);
        for (at, got) in got.values::<u32>().into_iter().enumerate() {
            let expected = u32::from(single[at].1) << 16 | u32::from(single[65_535 - at].1);
            assert_eq!(got, expected, "`{text}` of {:#x}", pairs[at]);
        }
    }
}
