//! f16 and bf16 arithmetic: one rounding, exhaustively where there is one operand.

use half::{bf16, f16};

use crate::harness::{Column, Kind, check, check1, refusal};
use crate::oracle::{BF16, Exact, F16, Format, Mode, Noise};

/// A 16-bit format, as bits.
#[derive(Clone, Copy)]
struct Narrow {
    name: &'static str,
    format: Format,
    widen: fn(u16) -> f64,
    /// Of a value that the format holds.
    bits: fn(f64) -> u16,
    /// The bits of an infinity.
    infinity: u16,
}

const HALF: Narrow = Narrow {
    name: "f16",
    format: F16,
    widen: |bits| f16::from_bits(bits).to_f64(),
    bits: |value| f16::from_f64(value).to_bits(),
    infinity: 0x7c00,
};
const BRAIN: Narrow = Narrow {
    name: "bf16",
    format: BF16,
    widen: |bits| bf16::from_bits(bits).to_f64(),
    bits: |value| bf16::from_f64(value).to_bits(),
    infinity: 0x7f80,
};

impl Narrow {
    fn is_nan(self, bits: u16) -> bool {
        bits & 0x7fff > self.infinity
    }

    fn flush(self, bits: u16) -> u16 {
        let smallest_normal = if self.name == "f16" { 0x400 } else { 0x80 };
        if bits & 0x7fff < smallest_normal { bits & 0x8000 } else { bits }
    }

    /// The result of an operation: what IEEE says of special values, else the exact value rounded.
    fn result(self, ieee: f64, exact: impl FnOnce() -> Exact) -> u16 {
        if ieee.is_nan() {
            return 0x7fff;
        }
        if ieee.is_infinite() || ieee == 0.0 {
            return (self.bits)(ieee);
        }
        (self.bits)(exact().rounded(self.format, Mode::Nearest))
    }

    /// The value of a finite number.
    fn exact(self, bits: u16) -> Exact {
        Exact::of((self.widen)(bits))
    }

    fn add(self, a: u16, b: u16) -> u16 {
        let ieee = (self.widen)(a) + (self.widen)(b);
        self.result(ieee, || self.exact(a).plus(self.exact(b)))
    }

    fn mul(self, a: u16, b: u16) -> u16 {
        let ieee = (self.widen)(a) * (self.widen)(b);
        self.result(ieee, || self.exact(a).times(self.exact(b)))
    }

    fn fma(self, a: u16, b: u16, c: u16) -> u16 {
        let ieee = (self.widen)(a).mul_add((self.widen)(b), (self.widen)(c));
        self.result(ieee, || self.exact(a).times(self.exact(b)).plus(self.exact(c)))
    }

    fn saturated(self, bits: u16) -> u16 {
        let value = (self.widen)(bits);
        if value > 0.0 { (self.bits)(value.min(1.0)) } else { 0 }
    }

    fn relu(self, bits: u16) -> u16 {
        if !self.is_nan(bits) && bits & 0x8000 != 0 { 0 } else { bits }
    }

    /// Numbers of all kinds; bf16 within the range that the oracle's sums span.
    fn numbers(self, seed: u64, count: usize) -> Vec<u16> {
        let mut noise = Noise(seed);
        let any = |bits: u64| match self.name {
            "f16" => bits as u16,
            _ => (bits as u16 & 0x8fff) | if bits >> 20 & 1 == 1 { 0x3000 } else { 0x3800 },
        };
        let infinity = self.infinity;
        let special = [0, 0x8000, infinity, infinity | 0x8000, 0x7fff, infinity | 0x8001, 0x3c00];
        special.into_iter().chain((0..count).map(|_| any(noise.bits()))).collect()
    }
}

/// All pairs of `a` and `b`.
fn pairs(a: &[u16], b: &[u16]) -> (Vec<u16>, Vec<u16>) {
    a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b))).unzip()
}

/// A register of two numbers for each number: itself above, its successor in the list below.
fn packed(values: &[u16]) -> Vec<u32> {
    let next = values.iter().cycle().skip(1);
    values.iter().zip(next).map(|(&high, &low)| u32::from(high) << 16 | u32::from(low)).collect()
}

/// Runs a form on single numbers and on pairs.
fn both(narrow: Narrow, head: &str, operands: &[Vec<u16>], expected: Vec<u16>) {
    let names = ["%a", "%b", "%c"][..operands.len()].join(", ");
    let text = |pair: &str| format!("{head}.{}{pair} %d, {names};", narrow.name);
    let columns: Vec<Column> = operands.iter().map(|values| Column::new(values)).collect();
    check(&text(""), &columns, expected.clone());
    let columns: Vec<Column> = operands.iter().map(|values| packed(values).into()).collect();
    check(&text("x2"), &columns, packed(&expected));
}

#[test]
fn sums_and_products_round_once() {
    for narrow in [HALF, BRAIN] {
        let (a, b) = pairs(&narrow.numbers(1, 150), &narrow.numbers(2, 150));
        let run = |head: &str, f: &dyn Fn(u16, u16) -> u16| {
            let expected = a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect();
            both(narrow, head, &[a.clone(), b.clone()], expected);
        };
        for head in ["add", "add.rn"] {
            run(head, &|a, b| narrow.add(a, b));
        }
        run("sub", &|a, b| narrow.add(a, b ^ 0x8000));
        run("mul", &|a, b| narrow.mul(a, b));
        if narrow.name == "f16" {
            let flush = |bits| narrow.flush(bits);
            run("add.sat", &|a, b| narrow.saturated(narrow.add(a, b)));
            run("sub.ftz", &|a, b| flush(narrow.add(flush(a), flush(b) ^ 0x8000)));
            run("mul.rn.ftz.sat", &|a, b| flush(narrow.saturated(narrow.mul(flush(a), flush(b)))));
        }
    }
}

#[test]
fn fused_products_round_once() {
    for narrow in [HALF, BRAIN] {
        let (mut a, mut b) = (narrow.numbers(3, 20_000), narrow.numbers(4, 20_000));
        let mut c = narrow.numbers(5, 20_000);
        for at in (20..c.len()).step_by(2) {
            // Almost the negated product.
            c[at] = narrow.mul(a[at], b[at]) ^ 0x8000;
        }
        if narrow.name == "f16" {
            // Halfway between two numbers, and far below it a bit that decides: 0x1p-24 each way.
            a.extend([0x3c01, 0x3c01, 0x3c01, 0x6801]);
            b.extend([0x3c10, 0x3c10, 0x3c10, 0x6410]);
            c.extend([0x0001, 0x8001, 0x0000, 0x0001]);
        }
        let run = |head: &str, f: &dyn Fn(u16, u16, u16) -> u16| {
            let rows = a.iter().zip(&b).zip(&c);
            let expected = rows.map(|((&a, &b), &c)| f(a, b, c)).collect();
            both(narrow, head, &[a.clone(), b.clone(), c.clone()], expected);
        };
        run("fma.rn", &|a, b, c| narrow.fma(a, b, c));
        run("fma.rn.relu", &|a, b, c| narrow.relu(narrow.fma(a, b, c)));
        if narrow.name == "f16" {
            let flush = |bits| narrow.flush(bits);
            run("fma.rn.sat", &|a, b, c| narrow.saturated(narrow.fma(a, b, c)));
            run("fma.rn.ftz.relu", &|a, b, c| {
                narrow.relu(flush(narrow.fma(flush(a), flush(b), flush(c))))
            });
        }
    }
}

#[test]
fn bf16_sums_of_very_different_sizes_see_the_small_one() {
    // (1 + 2^-4) (1 + 2^-4) = 1 + 2^-3 + 2^-8: halfway; anything else, however small, decides.
    let value = |value: f32| bf16::from_f32(value).to_bits();
    let (a, low, high) = (value(1.0625), value(1.125), value(1.132_812_5));
    let tiny = 0x0001u16;
    let columns = |c: u16| [vec![a].into(), vec![a].into(), vec![c].into()];
    for (c, expected) in [(tiny, high), (tiny | 0x8000, low), (0, low), (0x8000, low)] {
        check("fma.rn.bf16 %d, %a, %b, %c;", &columns(c), [expected]);
    }
    let largest = 0x7f7fu16;
    check("add.bf16 %d, %a, %b;", &[[largest].into(), [tiny].into()], [largest]);
    check("add.bf16 %d, %a, %b;", &[[largest].into(), [largest].into()], [0x7f80u16]);
    check("mul.bf16 %d, %a, %b;", &[[tiny].into(), [tiny].into()], [0u16]);
}

#[test]
fn extremes_follow_their_modifiers() {
    for narrow in [HALF, BRAIN] {
        let (a, b) = pairs(&narrow.numbers(6, 60), &narrow.numbers(7, 60));
        for (name, max) in [("min", false), ("max", true)] {
            let extreme = move |a: u16, b: u16| {
                let (x, y) = ((narrow.widen)(a), (narrow.widen)(b));
                match (x.is_nan(), y.is_nan()) {
                    (true, true) => 0x7fff,
                    (true, false) => b,
                    (false, true) => a,
                    // At equal size the sign decides between zeros.
                    _ if x == y => {
                        if (a >> 15 == 1) == max {
                            b
                        } else {
                            a
                        }
                    }
                    _ => {
                        if (x > y) == max {
                            a
                        } else {
                            b
                        }
                    }
                }
            };
            let run = |words: &str, f: &dyn Fn(u16, u16) -> u16| {
                let expected = a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect();
                both(narrow, &format!("{name}{words}"), &[a.clone(), b.clone()], expected);
            };
            let nan = |a, b| narrow.is_nan(a) || narrow.is_nan(b);
            let sizes = |a: u16, b: u16| match extreme(a & 0x7fff, b & 0x7fff) {
                0x7fff => 0x7fff,
                size => size | ((a ^ b) & 0x8000),
            };
            run("", &extreme);
            run(".NaN", &|a, b| if nan(a, b) { 0x7fff } else { extreme(a, b) });
            run(".xorsign.abs", &sizes);
            run(".NaN.xorsign.abs", &|a, b| if nan(a, b) { 0x7fff } else { sizes(a, b) });
            if narrow.name == "f16" {
                run(".ftz", &|a, b| extreme(narrow.flush(a), narrow.flush(b)));
            }
        }
    }
}

#[test]
fn signs_change_on_every_number() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for narrow in [HALF, BRAIN] {
        let table = |head: &str, f: &dyn Fn(u16) -> u16| {
            let expected =
                all.iter().map(|&a| if narrow.is_nan(a) { 0x7fff } else { f(a) }).collect();
            both(narrow, head, std::slice::from_ref(&all), expected);
        };
        table("abs", &|a| a & 0x7fff);
        table("neg", &|a| a ^ 0x8000);
        if narrow.name == "f16" {
            table("abs.ftz", &|a| narrow.flush(a) & 0x7fff);
            table("neg.ftz", &|a| narrow.flush(a) ^ 0x8000);
        }
    }
}

#[test]
fn registers_of_type_f16_hold_halves() {
    let text = "{ .reg .f16 x; mov.b16 x, %a; add.f16 x, x, x; mov.b16 %d, x; }";
    check1(text, &[0x3c00u16, 0x0001], |a| HALF.add(a, a));
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    for text in [
        "fma.f16 %d, %a, %b, %c;",
        "fma.rz.f16 %d, %a, %b, %c;",
        "fma.rn.sat.relu.f16 %d, %a, %b, %c;",
        "fma.rn.sat.bf16 %d, %a, %b, %c;",
        "fma.rn.oob.f16 %d, %a, %b, %c;",
        "add.rz.f16 %d, %a, %b;",
        "add.ftz.bf16 %d, %a, %b;",
        "add.relu.f16 %d, %a, %b;",
        "min.ftz.bf16 %d, %a, %b;",
        "max.abs.f16 %d, %a, %b;",
        "div.rn.f16 %d, %a, %b;",
        "add.f32.bf16 %d, %a, %b;",
    ] {
        refusal(text, &[Kind::B16; 3], &[Kind::B16]);
    }
}
