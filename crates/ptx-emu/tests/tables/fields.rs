//! Fields of bits, their counts and places, bit by bit as the manual describes them.

use crate::bits::{COUNTS, WORDS, bits_of, value_of, wide};
use crate::harness::{Kind, Value, check1, check2, check3, refusal};

#[test]
fn bfe_copies_the_field_and_fills_with_its_sign() {
    fn of<T: Value>(table: &[T], width: u32) {
        for (letter, signed) in [("u", false), ("s", true)] {
            let text = format!("bfe.{letter}{width} %d, %a, %b, %c;");
            check3(&text, table, &COUNTS, &COUNTS, |a: T, pos: u32, len: u32| -> T {
                let (bits, pos, len) = (bits_of(a, width), pos & 0xff, len & 0xff);
                let top = width - 1;
                let sign = signed && len != 0 && bits[(pos + len - 1).min(top) as usize];
                value_of((0..width).map(|at| match at < len && pos + at <= top {
                    true => bits[(pos + at) as usize],
                    false => sign,
                }))
            });
        }
    }
    of(&WORDS, 32);
    of(&wide(), 64);
}

#[test]
fn bfi_puts_the_field_into_the_second_operand() {
    fn of<T: Value>(table: &[T], width: u32) {
        for (pos, len) in COUNTS.iter().flat_map(|&pos| COUNTS.map(|len| (pos, len))) {
            let text = format!("bfi.b{width} %d, %a, %b, {pos}, {len};");
            check2(&text, table, &table[8..], |a: T, b: T| -> T {
                let (from, mut bits) = (bits_of(a, width), bits_of(b, width));
                let (pos, len) = (pos & 0xff, len & 0xff);
                for at in (0..len.min(width)).filter(|at| pos + at < width) {
                    bits[(pos + at) as usize] = from[at as usize];
                }
                value_of(bits)
            });
        }
    }
    of(&WORDS, 32);
    of(&wide(), 64);
}

#[test]
fn bmsk_and_szext_clamp_or_wrap() {
    for (mode, wrap) in [("wrap", true), ("clamp", false)] {
        check2(
            &format!("bmsk.{mode}.b32 %d, %a, %b;"),
            &COUNTS,
            &COUNTS,
            |a: u32, b: u32| -> u32 {
                let limit = |n: u32| u64::from(if wrap { n % 32 } else { n.min(32) });
                let (from, to) = (limit(a), limit(a) + limit(b));
                value_of((0..32).map(|at| from <= at && at < to))
            },
        );
        for (ty, signed) in [("s32", true), ("u32", false)] {
            check2(&format!("szext.{mode}.{ty} %d, %a, %b;"), &WORDS, &COUNTS, |a: u32, n: u32| {
                let n = if wrap { n % 32 } else { n.min(32) };
                let kept = u64::from(a) % (1 << n);
                let negative = signed && n != 0 && kept >> (n - 1) == 1;
                kept.wrapping_sub(u64::from(negative) << n) as u32
            });
        }
    }
}

#[test]
fn counts_and_places_of_bits() {
    fn of<T: Value>(table: &[T], width: u32) {
        let highest = |bits: &[bool]| bits.iter().rposition(|&bit| bit).map(|at| at as u32);
        check1(&format!("popc.b{width} %d, %a;"), table, |a: T| {
            bits_of(a, width).iter().filter(|&&bit| bit).count() as u32
        });
        check1(&format!("clz.b{width} %d, %a;"), table, |a: T| {
            highest(&bits_of(a, width)).map_or(width, |at| width - 1 - at)
        });
        check1(&format!("brev.b{width} %d, %a;"), table, |a: T| -> T {
            value_of(bits_of(a, width).into_iter().rev())
        });
        for (letter, signed) in [("u", false), ("s", true)] {
            let place = |a: T| {
                let mut bits = bits_of(a, width);
                if signed && bits[width as usize - 1] {
                    bits.iter_mut().for_each(|bit| *bit = !*bit);
                }
                highest(&bits)
            };
            check1(&format!("bfind.{letter}{width} %d, %a;"), table, |a| {
                place(a).unwrap_or(u32::MAX)
            });
            check1(&format!("bfind.shiftamt.{letter}{width} %d, %a;"), table, |a| {
                place(a).map_or(u32::MAX, |at| width - 1 - at)
            });
        }
    }
    of(&WORDS, 32);
    of(&wide(), 64);
}

#[test]
fn fns_counts_up_and_down_from_a_base() {
    let n = [0, 1, 2, 3, 32, 33, -1, -2, -3, -32, i32::MAX, i32::MIN];
    check3(
        "fns.b32 %d, %a, %b, %c;",
        &WORDS,
        &[0, 1, 15, 16, 31],
        &n,
        |bits, base: u32, n: i32| {
            // The loop of the manual.
            let set = |at: i64| bits >> at & 1 == 1u32;
            if n == 0 {
                return if set(base.into()) { base } else { u32::MAX };
            }
            let (mut at, mut count) = (i64::from(base), i64::from(n).abs() - 1);
            while (0..32).contains(&at) {
                if set(at) && count == 0 {
                    return at as u32;
                }
                count -= i64::from(set(at));
                at += i64::from(n.signum());
            }
            u32::MAX
        },
    );
}

#[test]
fn forms_that_ptx_does_not_have() {
    for text in [
        "bfe.b32 %d, %a, %a, %a;",
        "bfi.u32 %d, %a, %a, %a, %a;",
        "bfind.b32 %d, %a;",
        "clz.u32 %d, %a;",
        "fns.u32 %d, %a, %a, %a;",
        "bmsk.b32 %d, %a, %a;",
        "szext.b32 %d, %a, %a;",
    ] {
        refusal(text, &[Kind::B32], &[Kind::B32]);
    }
    refusal("clz.b64 %d, %a;", &[Kind::B64], &[Kind::B64]);
}
