//! `mma.sync`: every shape, with the fragments as the PTX manual writes them.

use half::{bf16, f16};
use ptx_emu::{Approx, Options};

use crate::harness::{Column, Kind, refusal, run_with};

/// Row and column of element `i` of a fragment in the lane of group `g` and place `t`.
type Place = fn(usize, usize, usize) -> (usize, usize);

/// A shape: its words, M and K, bits of an element of A and B, bits of one of C and D, and where the
/// elements of A and B lie.
struct Shape {
    words: &'static str,
    m: usize,
    k: usize,
    bits: usize,
    sum_bits: usize,
    a: Place,
    b: Place,
}

// 9.7.15.5 of the manual, figure by figure: "row = groupID for ..., groupID + 8 otherwise" and so on.
const A_K16: Place = |i, g, t| {
    (
        if i < 2 || (4..6).contains(&i) { g } else { g + 8 },
        2 * t + (i & 1) + if i >= 4 { 8 } else { 0 },
    )
};
const B_K16: Place = |i, g, t| (2 * t + (i & 1) + if i >= 2 { 8 } else { 0 }, g);
const A_K8: Place = |i, g, t| (if i < 2 { g } else { g + 8 }, 2 * t + (i & 1));
const B_K8: Place = |i, g, t| (2 * t + i, g);
const A_TF32_K4: Place = |i, g, t| (if i == 0 { g } else { g + 8 }, t);
const A_TF32_K8: Place =
    |i, g, t| (if i == 0 || i == 2 { g } else { g + 8 }, if i < 2 { t } else { t + 4 });
const B_TF32_K4: Place = |_, g, t| (t, g);
const B_TF32_K8: Place = |i, g, t| (if i == 0 { t } else { t + 4 }, g);
const A_S8_K32: Place = |i, g, t| {
    let row = if i < 4 || (8..12).contains(&i) { g } else { g + 8 };
    (row, 4 * t + (i & 3) + if i < 8 { 0 } else { 16 })
};
const B_S8_K32: Place = |i, g, t| (4 * t + (i & 3) + if i < 4 { 0 } else { 16 }, g);
const A_S8_K16: Place = |i, g, t| (if i < 4 { g } else { g + 8 }, 4 * t + (i & 3));
const A_S8_M8: Place = |i, g, t| (g, 4 * t + i);
const B_S8_K16: Place = |i, g, t| (4 * t + i, g);
const A_F64_M8: Place = |_, g, t| (g, t);
const A_F64_K16: Place = |i, g, t| match i % 2 {
    0 => (g, 2 * i + t),
    _ => (g + 8, 2 * i - 2 + t),
};
const B_F64: Place = |i, g, t| (t + 4 * i, g);
const C: Place = |i, g, t| (if i < 2 { g } else { g + 8 }, 2 * t + (i & 1));

const fn shape(words: &'static str, m: usize, k: usize, bits: usize, a: Place, b: Place) -> Shape {
    Shape { words, m, k, bits, sum_bits: 32, a, b }
}

/// The registers of a matrix: `bits` an element, packed low first.
fn pack(matrix: &[Vec<u64>], bits: usize, place: Place) -> Vec<Column> {
    let elements = matrix.len() * matrix[0].len() / 32;
    let width = bits.max(32);
    let register = |index: usize, lane: usize| {
        (0..width / bits).fold(0u64, |all, part| {
            let (row, column) = place(index * (width / bits) + part, lane / 4, lane % 4);
            all | matrix[row][column] << (part * bits)
        })
    };
    (0..elements * bits / width)
        .map(|index| match width {
            64 => Column::from((0..32).map(|lane| register(index, lane)).collect::<Vec<u64>>()),
            _ => {
                Column::from((0..32).map(|lane| register(index, lane) as u32).collect::<Vec<u32>>())
            }
        })
        .collect()
}

/// D of A, B and C, all as bits.
fn multiply(options: Options, shape: &Shape, [a, b, c]: [&[Vec<u64>]; 3]) -> Vec<Vec<u64>> {
    let Shape { words, m, bits, sum_bits, .. } = *shape;
    let fragments = [pack(a, bits, shape.a), pack(b, bits, shape.b), pack(c, sum_bits, C)];
    let mut letters = ('a'..='z').filter(|&letter| letter != 'd');
    let mut list = |count: usize| {
        let names: Vec<String> =
            letters.by_ref().take(count).map(|name| format!("%{name}")).collect();
        format!("{{{}}}", names.join(", "))
    };
    let sources = fragments.each_ref().map(|fragment| list(fragment.len()));
    let outputs: Vec<String> = (0..fragments[2].len())
        .map(|at| if at == 0 { "%d".to_owned() } else { format!("%d{at}") })
        .collect();
    let text =
        format!("mma.sync.aligned.{words} {{{}}}, {};", outputs.join(", "), sources.join(", "));
    let kind = if sum_bits == 64 { Kind::B64 } else { Kind::B32 };
    let results = vec![kind; outputs.len()];
    let out = run_with(options, &text, &fragments.concat(), &results)
        .unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let mut d = vec![vec![0; 8]; m];
    let parts = sum_bits.max(32) / sum_bits;
    for (index, column) in out.iter().enumerate() {
        let values: Vec<u64> = match kind {
            Kind::B64 => column.values(),
            _ => column.values::<u32>().into_iter().map(u64::from).collect(),
        };
        for (lane, value) in values.into_iter().enumerate() {
            for part in 0..parts {
                let (row, column) = C(index * parts + part, lane / 4, lane % 4);
                let field = if sum_bits == 64 { u64::MAX } else { (1 << sum_bits) - 1 };
                d[row][column] = value >> (part * sum_bits) & field;
            }
        }
    }
    d
}

/// Small whole numbers that follow no pattern.
fn noise(rows: usize, columns: usize, salt: u64, most: i64) -> Vec<Vec<i64>> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64 % (2 * most + 1) - most
    };
    (0..rows).map(|_| (0..columns).map(|_| next()).collect()).collect()
}

fn bits(matrix: &[Vec<i64>], of: impl Fn(i64) -> u64) -> Vec<Vec<u64>> {
    matrix.iter().map(|row| row.iter().map(|&value| of(value)).collect()).collect()
}

/// A B + C in whole numbers.
fn exact(a: &[Vec<i64>], b: &[Vec<i64>], c: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let sum = |row: usize, column: usize| {
        (0..b.len()).map(|at| a[row][at] * b[at][column]).sum::<i64>() + c[row][column]
    };
    (0..a.len()).map(|row| (0..8).map(|column| sum(row, column)).collect()).collect()
}

#[track_caller]
fn check(
    shape: &Shape,
    most: [i64; 3],
    element: impl Fn(i64) -> u64,
    sum: impl Fn(i64) -> u64 + Copy,
) {
    let a = noise(shape.m, shape.k, 1, most[0]);
    let b = noise(shape.k, 8, 2, most[1]);
    let c = noise(shape.m, 8, 3, most[2]);
    let got = multiply(
        Options::default(),
        shape,
        [&bits(&a, &element), &bits(&b, &element), &bits(&c, sum)],
    );
    assert_eq!(got, bits(&exact(&a, &b, &c), sum), "{}", shape.words);
}

const BF16_K16: Shape = shape("m16n8k16.row.col.f32.bf16.bf16.f32", 16, 16, 16, A_K16, B_K16);
const F16_K16: Shape = shape("m16n8k16.row.col.f32.f16.f16.f32", 16, 16, 16, A_K16, B_K16);
const TF32_K8: Shape = shape("m16n8k8.row.col.f32.tf32.tf32.f32", 16, 8, 32, A_TF32_K8, B_TF32_K8);

#[test]
fn sixteen_bit_numbers() {
    let f32_bits = |value: i64| u64::from((value as f32).to_bits());
    let f16_bits = |value: i64| u64::from(f16::from_f64(value as f64).to_bits());
    let bf16_bits = |value: i64| u64::from(bf16::from_f64(value as f64).to_bits());
    check(&F16_K16, [900, 900, 100_000], f16_bits, f32_bits);
    check(&BF16_K16, [200, 200, 100_000], bf16_bits, f32_bits);
    let k8 = |words| shape(words, 16, 8, 16, A_K8, B_K8);
    check(&k8("m16n8k8.row.col.f32.f16.f16.f32"), [900, 900, 100_000], f16_bits, f32_bits);
    check(&k8("m16n8k8.row.col.f32.bf16.bf16.f32"), [200, 200, 100_000], bf16_bits, f32_bits);
    let f16_sum = |shape| Shape { sum_bits: 16, ..shape };
    let words = "m16n8k16.row.col.f16.f16.f16.f16";
    check(&f16_sum(shape(words, 16, 16, 16, A_K16, B_K16)), [9, 9, 100], f16_bits, f16_bits);
    check(&f16_sum(k8("m16n8k8.row.col.f16.f16.f16.f16")), [9, 9, 100], f16_bits, f16_bits);
}

#[test]
fn tf32_numbers() {
    let f32_bits = |value: i64| u64::from((value as f32).to_bits());
    check(&TF32_K8, [900, 900, 100_000], f32_bits, f32_bits);
    let k4 = shape("m16n8k4.row.col.f32.tf32.tf32.f32", 16, 4, 32, A_TF32_K4, B_TF32_K4);
    check(&k4, [900, 900, 100_000], f32_bits, f32_bits);
    // The lower 13 bits of an operand are not read.
    let noisy = |value: i64| f32_bits(value) | 0x1fff;
    let (a, b, c) = (noise(16, 8, 1, 900), noise(8, 8, 2, 900), vec![vec![0; 8]; 16]);
    let got = multiply(Options::default(), &TF32_K8, [&bits(&a, noisy), &bits(&b, noisy), &c]);
    assert_eq!(got, bits(&exact(&a, &b, &vec![vec![0; 8]; 16]), f32_bits));
}

#[test]
fn f64_numbers() {
    let f64_bits = |value: i64| (value as f64).to_bits();
    for (words, m, k, a) in [
        ("m8n8k4.row.col.f64.f64.f64.f64", 8, 4, A_F64_M8),
        ("m16n8k4.row.col.f64.f64.f64.f64", 16, 4, A_TF32_K4),
        ("m16n8k8.row.col.f64.f64.f64.f64", 16, 8, A_TF32_K8),
        ("m16n8k16.row.col.f64.f64.f64.f64", 16, 16, A_F64_K16),
        ("m8n8k4.row.col.rn.f64.f64.f64.f64", 8, 4, A_F64_M8),
    ] {
        let shape = Shape { sum_bits: 64, ..shape(words, m, k, 64, a, B_F64) };
        check(&shape, [1 << 20, 1 << 20, 1 << 40], f64_bits, f64_bits);
    }
}

#[test]
fn bytes() {
    let byte = |value: i64| value as u64 & 0xff;
    let word = |value: i64| value as u64 & 0xffff_ffff;
    for (m, k, a, b) in
        [(16, 32, A_S8_K32, B_S8_K32), (16, 16, A_S8_K16, B_S8_K16), (8, 16, A_S8_M8, B_S8_K16)]
    {
        for (types, signed) in
            [("s8.s8", [true; 2]), ("u8.s8", [false, true]), ("u8.u8", [false; 2])]
        {
            for (limit, start) in [("", 0), (".satfinite", i64::from(i32::MAX) - 5000)] {
                let words = format!("m{m}n8k{k}.row.col{limit}.s32.{types}.s32");
                let shape = shape(Box::leak(words.into_boxed_str()), m, k, 8, a, b);
                let element = |signed: bool, value: i64| if signed { value } else { value + 128 };
                let mapped = |matrix: Vec<Vec<i64>>, signed| -> Vec<Vec<i64>> {
                    let row = |row: Vec<i64>| row.into_iter().map(|v| element(signed, v)).collect();
                    matrix.into_iter().map(row).collect()
                };
                let a = mapped(noise(m, k, 4, 127), signed[0]);
                let b = mapped(noise(k, 8, 5, 127), signed[1]);
                let c = vec![vec![start; 8]; m];
                let got = multiply(
                    Options::default(),
                    &shape,
                    [&bits(&a, byte), &bits(&b, byte), &bits(&c, word)],
                );
                let sums = exact(&a, &b, &c);
                let most = i64::from(i32::MAX);
                assert!(limit.is_empty() || sums.iter().flatten().any(|&sum| sum > most));
                let held =
                    bits(&sums, |sum| word(if limit.is_empty() { sum } else { sum.min(most) }));
                assert_eq!(got, held, "{}", shape.words);
            }
        }
    }
    // Without .satfinite a sum wraps.
    let shape = shape("m8n8k16.row.col.s32.s8.s8.s32", 8, 16, 8, A_S8_M8, B_S8_K16);
    let (a, b, c) = (vec![vec![1; 16]; 8], vec![vec![1; 8]; 16], vec![vec![0x7fff_ffff; 8]; 8]);
    let got = multiply(Options::default(), &shape, [&a, &b, &c]);
    assert_eq!(got, vec![vec![0x8000_000f; 8]; 8]);
}

#[test]
fn a_sum_is_rounded_once_to_the_nearest() {
    // Operands of 8 bits at very different sizes: sums of 40 bits or so, exact in whole numbers.
    let spread = |salt: u64| -> Vec<Vec<i64>> {
        let (value, shift) = (noise(16, 16, salt, 127), noise(16, 16, salt + 1, 5));
        let scaled = |v: &i64, s: &i64| v << (s + 5);
        value
            .iter()
            .zip(&shift)
            .map(|(v, s)| v.iter().zip(s).map(|(v, s)| scaled(v, s)).collect())
            .collect()
    };
    let (a, b) = (spread(11), spread(21));
    let b: Vec<Vec<i64>> = b.iter().map(|row| row[..8].to_vec()).collect();
    let c = noise(16, 8, 31, (1 << 24) - 1);
    let bf16_bits = |value: i64| u64::from(bf16::from_f64(value as f64).to_bits());
    let f32_bits = |value: i64| u64::from((value as f32).to_bits());
    let matrices = [&bits(&a, bf16_bits), &bits(&b, bf16_bits), &bits(&c, f32_bits)];
    let sums = exact(&a, &b, &c);
    assert!(sums.iter().flatten().any(|&sum| sum as f32 as i64 != sum), "some are rounded");
    let got = multiply(Options::default(), &BF16_K16, matrices.map(Vec::as_slice));
    assert_eq!(got, bits(&sums, f32_bits));

    // As hardware cuts bits off: never above the exact size by more than the blocks that were cut.
    let worst = Options { approx: Approx::Worst, ..Options::default() };
    let cut = multiply(worst, &BF16_K16, matrices.map(Vec::as_slice));
    assert_ne!(cut, got);
    for (cut, sum) in cut.iter().flatten().zip(sums.iter().flatten()) {
        let error = f64::from(f32::from_bits(*cut as u32)) - *sum as f64;
        let largest = 16.0 * f64::from(127 << 10) * f64::from(127 << 10) + f64::from(1 << 24);
        assert!(error.abs() <= largest / f64::from(1 << 22), "{error}");
    }
}

#[test]
fn infinities_and_numbers_out_of_range() {
    let f16_bits = |value: f32| u64::from(f16::from_f32(value).to_bits());
    let mut a = vec![vec![0; 16]; 16];
    let mut b = vec![vec![0; 8]; 16];
    (a[3][5], b[5][0]) = (f16_bits(f32::INFINITY), f16_bits(1.0));
    (a[4][6], b[6][7]) = (f16_bits(65504.0), f16_bits(65504.0));
    let c = vec![vec![0; 8]; 16];
    let d = multiply(Options::default(), &F16_K16, [&a, &b, &c]);
    assert_eq!(d[3][0], f32::INFINITY.to_bits().into());
    assert_eq!(d[3][1], 0x7fff_ffff, "infinity times zero");
    assert_eq!(d[4][7], (65504.0f32 * 65504.0).to_bits().into());
    assert_eq!(d[0], [0; 8]);
    let words = "m16n8k16.row.col.f16.f16.f16.f16";
    let narrow = Shape { sum_bits: 16, ..shape(words, 16, 16, 16, A_K16, B_K16) };
    let d = multiply(Options::default(), &narrow, [&a, &b, &c]);
    assert_eq!((d[3][0], d[3][1], d[4][7]), (0x7c00, 0x7fff, 0x7c00));
}

#[test]
fn shapes_and_types_that_do_not_exist_are_refused() {
    for words in [
        "m16n8k32.row.col.f32.bf16.bf16.f32",
        "m16n8k16.row.row.f32.bf16.bf16.f32",
        "m16n8k16.row.col.f32.bf16.f16.f32",
        "m16n8k16.row.col.f16.bf16.bf16.f16",
        "m16n8k16.row.col.f32.e4m3.e4m3.f32",
        "m16n8k8.row.col.satfinite.f32.f16.f16.f32",
        "m8n8k4.row.col.rz.f64.f64.f64.f64",
    ] {
        let text = format!("mma.sync.aligned.{words} {{%d}}, {{%a}}, {{%a}}, {{%a}};");
        assert!(refusal(&text, &[Kind::B32], &[Kind::B32]).starts_with("table.ptx:"), "{text}");
    }
}
