//! Logic, shifts and permutations of bytes, bit by bit as the manual describes them.

use crate::harness::{Column, Kind, Value, check, check1, check2, check3, refusal, run};

pub const WORDS: [u32; 14] = [
    0,
    1,
    2,
    0x80,
    0xff00,
    0x8000,
    0xffff,
    0x1_0000,
    0x1234_5678,
    0x7fff_ffff,
    0x8000_0000,
    0xdead_beef,
    0xffff_fffe,
    0xffff_ffff,
];
/// Shift counts, positions and lengths, at and past the widths.
pub const COUNTS: [u32; 18] =
    [0, 1, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 257, u32::MAX];

pub fn wide() -> Vec<u64> {
    WORDS.iter().flat_map(|&word| [u64::from(word), u64::from(word) << 32 | 0x9abc_def0]).collect()
}

fn narrow() -> Vec<u16> {
    WORDS.iter().flat_map(|&word| [word as u16, (word >> 16) as u16]).collect()
}

/// The bits of a value of `width`, lowest first.
pub fn bits_of(value: impl Value, width: u32) -> Vec<bool> {
    (0..width).map(|at| value.bits() >> at & 1 == 1).collect()
}

pub fn value_of<T: Value>(bits: impl IntoIterator<Item = bool>) -> T {
    T::of(bits.into_iter().enumerate().map(|(at, bit)| u64::from(bit) << at).sum())
}

type Boolean = fn(bool, bool) -> bool;

#[test]
fn logic_of_every_width() {
    fn of<T: Value + PartialEq>(table: &[T], width: u32) {
        let cases: [(&str, Boolean); 3] =
            [("and", |a, b| a && b), ("or", |a, b| a || b), ("xor", |a, b| a != b)];
        for (name, f) in cases {
            check2(&format!("{name}.b{width} %d, %a, %b;"), table, table, |a: T, b: T| -> T {
                let (a, b) = (bits_of(a, width), bits_of(b, width));
                value_of(a.into_iter().zip(b).map(|(a, b)| f(a, b)))
            });
        }
        check1(&format!("not.b{width} %d, %a;"), table, |a: T| -> T {
            value_of(bits_of(a, width).into_iter().map(|bit| !bit))
        });
        check1(&format!("cnot.b{width} %d, %a;"), table, |a: T| T::of(u64::from(a == T::of(0))));
    }
    of(&narrow(), 16);
    of(&WORDS, 32);
    of(&wide(), 64);
}

#[test]
fn logic_of_predicates() {
    let all = [false, true];
    check2("and.pred %d, %a, %b;", &all, &all, |a, b| a && b);
    check2("or.pred %d, %a, %b;", &all, &all, |a, b| a || b);
    check2("xor.pred %d, %a, %b;", &all, &all, |a: bool, b: bool| a ^ b);
    check2("and.pred %d, !%a, %b;", &all, &all, |a: bool, b| !a && b);
    check2("or.pred %d, %a, !%b;", &all, &all, |a, b: bool| a || !b);
    check1("not.pred %d, %a;", &all, |a: bool| !a);
}

#[test]
fn every_table_of_lop3() {
    // The columns hold all eight combinations, and more.
    let (a, b, c) = (0xf0f0_1234u32, 0xcccc_5678u32, 0xaaaa_9abcu32);
    for table in 0..256u32 {
        let expected: u32 = value_of((0..32).map(|at| {
            let index = (a >> at & 1) * 4 + (b >> at & 1) * 2 + (c >> at & 1);
            table >> index & 1 == 1
        }));
        let text = format!("lop3.b32 %d, %a, %b, %c, {table};");
        check(&text, &[[a].into(), [b].into(), [c].into()], [expected]);
    }
    check("lop3.b32 %d, %a, 0xff, 3, 0x80;", &[[7u32].into()], [3u32]);
}

#[test]
fn lop3_with_a_predicate_tells_whether_anything_is_set() {
    let a = [0u32, 0, 6, 6];
    let q = [false, true, false, true];
    for (text, f) in [
        ("lop3.or.b32 %d|%d1, %a, 3, 5, 0x80, %b;", (|set, q| set || q) as fn(bool, bool) -> bool),
        ("lop3.and.b32 %d|%d1, %a, 3, 5, 0x80, %b;", |set, q| set && q),
        ("lop3.and.b32 %d|%d1, %a, 3, 5, 0x80, !%b;", |set, q| set && !q),
        ("lop3.or.b32 %d|%d1, %a, 2, 2, 0x80, %b;", |set, q| set || q),
        ("lop3.b32.and %d|%d1, %a, 2, 2, 0x80, %b;", |set, q| set && q),
    ] {
        let both = u32::from(text.contains("2, 2")) * 2;
        let results = run(text, &[a.into(), q.into()], &[Kind::B32, Kind::Pred]);
        let value = a.map(|a| a & both);
        assert_eq!(results[0], Column::new(&value), "{text}");
        let expected: Vec<bool> = value.iter().zip(q).map(|(v, q)| f(*v != 0, q)).collect();
        assert_eq!(results[1], Column::new(&expected), "{text}");
    }
    check(
        "lop3.or.b32 _|%d, %a, %a, %a, 0x80, %b;",
        &[a.into(), q.into()],
        [false, true, true, true],
    );
}

#[test]
fn shifts_past_the_width_leave_zeros_or_the_sign() {
    fn of<T: Value>(table: &[T], width: u32) {
        let at = |bits: &[bool], index: i64, fill: bool| match index {
            index if index < 0 => false,
            index => bits.get(index as usize).copied().unwrap_or(fill),
        };
        check2(&format!("shl.b{width} %d, %a, %b;"), table, &COUNTS, |a: T, n: u32| -> T {
            let bits = bits_of(a, width);
            value_of((0..i64::from(width)).map(|to| at(&bits, to - i64::from(n), false)))
        });
        for (letter, signed) in [("b", false), ("u", false), ("s", true)] {
            let text = format!("shr.{letter}{width} %d, %a, %b;");
            check2(&text, table, &COUNTS, |a: T, n: u32| -> T {
                let bits = bits_of(a, width);
                let fill = signed && bits[width as usize - 1];
                value_of((0..i64::from(width)).map(|to| at(&bits, to + i64::from(n), fill)))
            });
        }
    }
    of(&narrow(), 16);
    of(&WORDS, 32);
    of(&wide(), 64);
    check("shr.s32 %d, %a, 4;", &[[-17i32].into()], [-2i32]);
    check("shl.b64 %d, %a, 3;", &[[1u64 << 61].into()], [0u64]);
}

#[test]
fn funnel_shifts_clamp_or_wrap() {
    for (mode, wrap) in [("wrap", true), ("clamp", false)] {
        let amount = |n: u32| if wrap { n % 32 } else { n.min(32) };
        let text = format!("shf.l.{mode}.b32 %d, %a, %b, %c;");
        check3(&text, &WORDS, &WORDS, &COUNTS, |a: u32, b: u32, n| {
            let both = u128::from(b) << 32 | u128::from(a);
            (both << amount(n) >> 32) as u32
        });
        let text = format!("shf.r.{mode}.b32 %d, %a, %b, %c;");
        check3(&text, &WORDS, &WORDS, &COUNTS, |a: u32, b: u32, n| {
            let both = u128::from(b) << 32 | u128::from(a);
            (both >> amount(n)) as u32
        });
    }
}

#[test]
fn prmt_picks_bytes_by_digits() {
    let (a, b) = (0x8374_7261u32, 0xf746_0542u32);
    let bytes: Vec<u8> = a.to_le_bytes().into_iter().chain(b.to_le_bytes()).collect();
    let selectors = [0x3210u32, 0x7654, 0x0123, 0xba98, 0xfedc, 0x8f3c, 0xffff_1032, 0x0];
    let expected = selectors.map(|selector| {
        u32::from_le_bytes(std::array::from_fn(|index| {
            let digit = (selector >> (4 * index) & 15) as usize;
            let byte = bytes[digit % 8];
            if digit < 8 { byte } else { (byte as i8 >> 7) as u8 }
        }))
    });
    check("prmt.b32 %d, %a, %b, %c;", &[[a; 8].into(), [b; 8].into(), selectors.into()], expected);
}

#[test]
fn prmt_modes_are_the_rows_of_the_manual() {
    // Bytes of the result, the highest first, for the four low values of the selector.
    let modes: [(&str, [[u8; 4]; 4]); 6] = [
        ("f4e", [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]),
        ("b4e", [[5, 6, 7, 0], [6, 7, 0, 1], [7, 0, 1, 2], [0, 1, 2, 3]]),
        ("rc8", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecl", [[3, 2, 1, 0], [3, 2, 1, 1], [3, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecr", [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 1, 0], [3, 2, 1, 0]]),
        ("rc16", [[1, 0, 1, 0], [3, 2, 3, 2], [1, 0, 1, 0], [3, 2, 3, 2]]),
    ];
    for (mode, rows) in modes {
        // Byte n holds n + 0x10.
        let (a, b) = ([0x1312_1110u32; 8], [0x1716_1514u32; 8]);
        let selectors: [u32; 8] = std::array::from_fn(|row| row as u32);
        let expected =
            selectors.map(|row| u32::from_be_bytes(rows[row as usize % 4].map(|byte| byte + 0x10)));
        let columns = [a.into(), b.into(), selectors.into()];
        check(&format!("prmt.b32.{mode} %d, %a, %b, %c;"), &columns, expected);
    }
}

#[test]
fn forms_that_ptx_does_not_have() {
    for text in [
        "and.u32 %d, %a, %a;",
        "shl.u32 %d, %a, %a;",
        "shf.l.b32 %d, %a, %a, %a;",
        "shf.l.wrap.u32 %d, %a, %a, %a;",
        "lop3.b32 %d, %a, %a, %a, 256;",
        "lop3.b32 %d, %a, %a, %a, %a;",
        "prmt.b32.f8e %d, %a, %a, %a;",
    ] {
        refusal(text, &[Kind::B32], &[Kind::B32]);
    }
    refusal("cnot.pred %d, %a;", &[Kind::Pred], &[Kind::Pred]);
    refusal("shl.b16 %d, %a, %a;", &[Kind::B16], &[Kind::B16]);
}
