//! Carries: numbers of several words against 128-bit arithmetic.

use crate::harness::{Column, Kind, check3, refusal, run, run_with};
use ptx_emu::{FaultKind, Options};

const WIDE: [u128; 9] = [
    0,
    1,
    0xffff_ffff,
    0x1_0000_0000,
    0xffff_ffff_ffff_ffff,
    0x1_0000_0000_0000_0000,
    0x8000_0000_0000_0000_0000_0000_0000_0000,
    0x0123_4567_89ab_cdef_fedc_ba98_7654_3210,
    u128::MAX,
];

/// All pairs of values, as columns of 64-bit words: low and high of each.
fn pairs() -> (Vec<(u128, u128)>, Vec<Column>) {
    let pairs: Vec<(u128, u128)> =
        WIDE.iter().flat_map(|&a| WIDE.iter().map(move |&b| (a, b))).collect();
    let word = |of: &dyn Fn(&(u128, u128)) -> u128| {
        Column::from(pairs.iter().map(|pair| of(pair) as u64).collect::<Vec<u64>>())
    };
    let columns = vec![word(&|p| p.0), word(&|p| p.0 >> 64), word(&|p| p.1), word(&|p| p.1 >> 64)];
    (pairs, columns)
}

/// 128-bit values from columns of 32-bit or 64-bit words, the lowest first.
fn joined(words: &[Column], bits: u32) -> Vec<u128> {
    let word = |column: &Column, row: usize| match bits {
        64 => u128::from(column.values::<u64>()[row]),
        _ => u128::from(column.values::<u32>()[row]),
    };
    let rows = match bits {
        64 => words[0].values::<u64>().len(),
        _ => words[0].values::<u32>().len(),
    };
    (0..rows)
        .map(|row| (0..words.len()).map(|at| word(&words[at], row) << (bits * at as u32)).sum())
        .collect()
}

#[test]
fn two_words_of_64_bits_add_and_subtract() {
    let (pairs, columns) = pairs();
    for ty in ["u64", "s64"] {
        let text = format!("add.cc.{ty} %d, %a, %c; addc.{ty} %d1, %b, %e;");
        let sums = joined(&run(&text, &columns, &[Kind::B64; 2]), 64);
        let text = format!("sub.cc.{ty} %d, %a, %c; subc.{ty} %d1, %b, %e;");
        let differences = joined(&run(&text, &columns, &[Kind::B64; 2]), 64);
        for (row, (a, b)) in pairs.iter().enumerate() {
            assert_eq!(sums[row], a.wrapping_add(*b), "{a:#x} + {b:#x}");
            assert_eq!(differences[row], a.wrapping_sub(*b), "{a:#x} - {b:#x}");
        }
    }
}

#[test]
fn four_words_of_32_bits_pass_the_carry_on() {
    let (pairs, columns) = pairs();
    let split = ".reg .b32 a<4>, b<4>; mov.b64 {a0, a1}, %a; mov.b64 {a2, a3}, %b; \
                 mov.b64 {b0, b1}, %c; mov.b64 {b2, b3}, %e;";
    for (op, ty) in [("add", "u32"), ("add", "s32"), ("sub", "u32"), ("sub", "s32")] {
        let text = format!(
            "{{ {split} {op}.cc.{ty} %d, a0, b0; {op}c.cc.{ty} %d1, a1, b1; \
             {op}c.cc.{ty} %d2, a2, b2; {op}c.{ty} %d3, a3, b3; }}"
        );
        let results = joined(&run(&text, &columns, &[Kind::B32; 4]), 32);
        for (row, (a, b)) in pairs.iter().enumerate() {
            let expected = if op == "add" { a.wrapping_add(*b) } else { a.wrapping_sub(*b) };
            assert_eq!(results[row], expected, "{op}.{ty} {a:#x}, {b:#x}");
        }
    }
}

#[test]
fn a_product_of_64_bits_out_of_32() {
    let values: Vec<u64> = WIDE.iter().flat_map(|&a| [a as u64, (a >> 64) as u64]).collect();
    let pairs: Vec<(u64, u64)> =
        values.iter().flat_map(|&a| values.iter().map(move |&b| (a, b))).collect();
    let (a, b): (Vec<u64>, Vec<u64>) = pairs.iter().copied().unzip();
    // Schoolbook: each column of the product collects the halves of the products below it.
    let text = "{ .reg .b32 a<2>, b<2>; mov.b64 {a0, a1}, %a; mov.b64 {b0, b1}, %b;
        mul.lo.u32 %d, a0, b0;
        mul.hi.u32 %d1, a0, b0;
        mad.lo.cc.u32 %d1, a0, b1, %d1;
        madc.hi.u32 %d2, a0, b1, 0;
        mad.lo.cc.u32 %d1, a1, b0, %d1;
        madc.hi.cc.u32 %d2, a1, b0, %d2;
        addc.u32 %d3, 0, 0;
        mad.lo.cc.u32 %d2, a1, b1, %d2;
        madc.hi.u32 %d3, a1, b1, %d3; }";
    let results = joined(&run(text, &[a.into(), b.into()], &[Kind::B32; 4]), 32);
    for (result, (a, b)) in results.iter().zip(pairs) {
        assert_eq!(*result, u128::from(a) * u128::from(b), "{a:#x} * {b:#x}");
    }
}

#[test]
fn halves_of_products_of_every_type_with_a_carry() {
    let u = [0, 1, 0xffff_ffff, 0x8000_0000, 0x7fff_ffffu32, 0xdead_beef];
    // Sets the carry: addc sees it and adds one.
    let one = "{ .reg .b32 x; add.cc.u32 x, -1, 1;";
    for ty in ["u32", "s32"] {
        let signed = ty == "s32";
        let high = |a: u32, b: u32| match signed {
            true => ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32,
            false => ((u64::from(a) * u64::from(b)) >> 32) as u32,
        };
        check3(&format!("{one} madc.hi.{ty} %d, %a, %b, %c; }}"), &u, &u, &u, |a, b, c: u32| {
            high(a, b).wrapping_add(c).wrapping_add(1)
        });
        check3(&format!("{one} madc.lo.{ty} %d, %a, %b, %c; }}"), &u, &u, &u, |a, b, c: u32| {
            a.wrapping_mul(b).wrapping_add(c).wrapping_add(1)
        });
        let carry = format!("{{ .reg .b32 x; mad.hi.cc.{ty} x, %a, %b, %c; addc.u32 %d, 0, 0; }}");
        check3(&carry, &u, &u, &u, |a, b, c: u32| {
            u32::from(u64::from(high(a, b)) + u64::from(c) > 0xffff_ffff)
        });
    }
    let w = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 0x0123_4567_89ab_cdef];
    for (ty, signed) in [("u64", false), ("s64", true)] {
        let high = |a: u64, b: u64| match signed {
            true => ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64,
            false => ((u128::from(a) * u128::from(b)) >> 64) as u64,
        };
        check3(&format!("{one} madc.hi.{ty} %d, %a, %b, %c; }}"), &w, &w, &w, |a, b, c: u64| {
            high(a, b).wrapping_add(c).wrapping_add(1)
        });
        let carry = format!("{{ .reg .b64 x; mad.lo.cc.{ty} x, %a, %b, %c; addc.{ty} %d, 0, 0; }}");
        check3(&carry, &w, &w, &w, |a, b, c: u64| {
            u64::from(u128::from(a.wrapping_mul(b)) + u128::from(c) > u128::from(u64::MAX))
        });
    }
}

#[test]
fn lanes_that_do_not_execute_keep_their_carry() {
    let text = "{ .reg .b32 x; .reg .pred odd; add.cc.u32 x, -1, 1; setp.eq.u32 odd, %a, 1;
        @odd add.cc.u32 x, 1, 1; addc.u32 %d, 0, 0; }";
    let lanes: Vec<u32> = (0..32).map(|lane| lane % 2).collect();
    let got = run(text, &[Column::new(&lanes)], &[Kind::B32]).remove(0).values::<u32>();
    let expected: Vec<u32> = (0..32).map(|lane| 1 - lane % 2).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_carry_that_nothing_has_set_is_named() {
    let columns = [Column::new(&[1u32; 32])];
    let text = "addc.u32 %d, %a, %a;";
    let fault = run_with(Options::default(), text, &columns, &[Kind::B32]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Uninitialised);
    assert!(fault.to_string().contains("CC.CF"), "{fault}");
}

#[test]
fn forms_that_ptx_does_not_have() {
    for text in ["add.cc.u16 %d, %a, %a;", "addc.u16 %d, %a, %a;"] {
        refusal(text, &[Kind::B16], &[Kind::B16]);
    }
    for text in
        ["mad.wide.cc.u32 %d, %a, %a, %a;", "madc.u32 %d, %a, %a, %a;", "add.cc.b32 %d, %a, %a;"]
    {
        refusal(text, &[Kind::B32], &[Kind::B32]);
    }
}
