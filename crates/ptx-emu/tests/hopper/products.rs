//! Products of warpgroups against plain sums, with operands laid out by formulas of their own.

use ptx_emu::{Arg, LaunchConfig};

use crate::harness::{Bench, SEEDS};
use crate::layout::{Kind, Layout, Place};

#[derive(Debug, Clone, Copy)]
pub enum Left {
    Registers,
    Shared(Layout),
}

#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub kind: Kind,
    pub columns: usize,
    pub a: Left,
    pub b: Layout,
    pub negate_a: bool,
    pub negate_b: bool,
    pub accumulates: bool,
}

/// Bytes before the second operand.
pub const SECOND: usize = 32 * 1024;

/// A kernel of one warpgroup: operands from global to shared memory, accumulator and fragments of A
/// from global memory, `times` products, and the accumulator back.
pub fn body(case: &Case, times: usize) -> String {
    let registers: Vec<String> = (0..case.columns / 2).map(|index| format!("%d{index}")).collect();
    let shape = format!("m64n{}k{}", case.columns, case.kind.depth());
    let name = case.kind.name();
    let (a, turns) = match case.a {
        Left::Registers => ("{%a0, %a1, %a2, %a3}".to_owned(), String::new()),
        Left::Shared(layout) => ("%ad".to_owned(), format!(", {}", u8::from(layout.transposed))),
    };
    let turns = match case.kind {
        Kind::Tf32 => String::new(),
        _ => format!("{turns}, {}", u8::from(case.b.transposed)),
    };
    let sign = |negated: bool| if negated { -1 } else { 1 };
    let product = format!(
        "    wgmma.mma_async.sync.aligned.{shape}.f32.{name}.{name} {{{}}}, {a}, %bd, %accumulates, {}, {}{turns};\n",
        registers.join(", "),
        sign(case.negate_a),
        sign(case.negate_b)
    );
    let count = case.columns / 2;
    let load: String = (0..count)
        .map(|index| format!("    ld.global.f32 %d{index}, [%c+{}];\n", 4 * index))
        .collect();
    let store: String = (0..count)
        .map(|index| format!("    st.global.f32 [%c+{}], %d{index};\n", 4 * index))
        .collect();
    format!(
        "    .reg .pred %p, %q, %accumulates;
    .reg .b32 %t, %at, %end, %x, %a<4>, %flag;
    .reg .f32 %d<128>;
    .reg .b64 %raw, %c, %fragments, %wide, %ad, %bd;
    ld.param.u64 %raw, [raw];
    ld.param.u64 %c, [c];
    ld.param.u64 %fragments, [fragments];
    ld.param.u64 %ad, [a];
    ld.param.u64 %bd, [b];
    ld.param.u32 %flag, [flag];
    setp.ne.u32 %accumulates, %flag, 0;
    mov.u32 %t, %tid.x;
    mul.wide.u32 %wide, %t, 4;
    add.u64 %raw, %raw, %wide;
    mul.wide.u32 %wide, %t, {row};
    add.u64 %c, %c, %wide;
    mul.wide.u32 %wide, %t, 16;
    add.u64 %fragments, %fragments, %wide;
    mov.u32 %at, tile;
    add.u32 %end, %at, 65536;
    mad.lo.u32 %at, %t, 4, %at;
FILL:
    ld.global.u32 %x, [%raw];
    st.shared.u32 [%at], %x;
    add.u64 %raw, %raw, 512;
    add.u32 %at, %at, 512;
    setp.lt.u32 %q, %at, %end;
    @%q bra FILL;
    ld.global.v4.u32 {{%a0, %a1, %a2, %a3}}, [%fragments];
{load}    fence.proxy.async.shared::cta;
    bar.sync 0;
    wgmma.fence.sync.aligned;
{products}    wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 0;
{store}",
        row = 4 * count,
        products = product.repeat(times)
    )
}

pub const PARAMS: &str = ".param .u64 raw, .param .u64 c, .param .u64 fragments, .param .u64 a, .param .u64 b, .param .u32 flag";

/// Small whole numbers, so that every sum is exact.
fn left(row: usize, k: usize) -> f32 {
    ((row * 5 + k * 3 + row * k) % 17) as f32 - 8.0
}

fn right(column: usize, k: usize) -> f32 {
    ((column * 7 + k * 11 + column * k / 3) % 13) as f32 - 6.0
}

fn old(row: usize, column: usize) -> f32 {
    (row * 100 + column) as f32
}

/// Row and column of a thread's accumulator register.
fn of_accumulator(thread: usize, register: usize) -> (usize, usize) {
    let (warp, lane) = (thread / 32, thread % 32);
    let row = 16 * warp + lane / 4 + 8 * (register / 2 % 2);
    (row, 8 * (register / 4) + 2 * (lane % 4) + register % 2)
}

pub struct Operands {
    pub raw: Vec<u8>,
    pub fragments: Vec<u8>,
    pub a: u64,
    pub b: u64,
}

pub fn operands(case: &Case) -> Operands {
    let kind = case.kind;
    let mut raw = vec![0; SECOND];
    let mut a = 0;
    if let Left::Shared(layout) = case.a {
        let place = Place::new(kind, layout, 64);
        raw = place.image(kind, 64, &left);
        a = place.descriptor(0);
    }
    let place = Place::new(kind, case.b, case.columns);
    raw.extend(place.image(kind, case.columns, &right));
    let mut fragments = Vec::new();
    for thread in 0..128 {
        let (warp, lane) = (thread / 32, thread % 32);
        for register in 0..4 {
            let row = 16 * warp + lane / 4 + 8 * (register % 2);
            // Two neighbours of each eight, or one of each four.
            let first = match kind {
                Kind::Tf32 => lane % 4 + 4 * (register / 2),
                _ => 2 * (lane % 4) + 8 * (register / 2),
            };
            for k in first..first + 4 / kind.bytes() {
                fragments.extend(kind.encode(left(row, k)).0);
            }
        }
    }
    Operands { raw, fragments, a, b: place.descriptor(SECOND) }
}

fn check(case: &Case, seed: u64) {
    let Operands { raw, fragments, a, b } = operands(case);
    let bench = Bench::kernel(seed, PARAMS, &body(case, 2));
    let count = case.columns / 2;
    let mut before = Vec::new();
    for thread in 0..128 {
        for register in 0..count {
            let (row, column) = of_accumulator(thread, register);
            before.push(old(row, column));
        }
    }
    let (raw, c) = (bench.gpu.upload(&raw).unwrap(), bench.gpu.upload(&before).unwrap());
    let fragments = bench.gpu.upload(&fragments).unwrap();
    let arguments: [Arg; 6] = [
        raw.into(),
        c.into(),
        fragments.into(),
        a.into(),
        b.into(),
        u32::from(case.accumulates).into(),
    ];
    let config = LaunchConfig::linear(1, 128).with_shared(65536);
    let counters = bench.run(config, &arguments);
    let depth = case.kind.depth();
    assert_eq!(counters.mma_flop, (2 * 2 * 64 * case.columns * depth) as u64);
    let found: Vec<f32> = bench.gpu.download(c, before.len()).unwrap();
    let sign = if case.negate_a != case.negate_b { -1.0 } else { 1.0 };
    for thread in 0..128 {
        for register in 0..count {
            let (row, column) = of_accumulator(thread, register);
            let sum: f64 = (0..depth)
                .map(|k| case.kind.encode(left(row, k)).1 * case.kind.encode(right(column, k)).1)
                .sum();
            let expected = match case.accumulates {
                true => f64::from(old(row, column)) + 2.0 * sign * sum,
                false => sign * sum,
            };
            let got = f64::from(found[thread * count + register]);
            assert_eq!(got, expected, "{case:?}: row {row}, column {column}");
        }
    }
}

const PLAIN: Layout = Layout { transposed: false, span: 0 };

#[test]
fn every_layout_of_b() {
    for kind in [Kind::F16, Kind::Bf16, Kind::Tf32] {
        for transposed in [false, true] {
            for span in [0, 32, 64, 128] {
                for columns in [8, 24, 64, 128, 256] {
                    // Elements along N come in whole spans.
                    let whole = !transposed || columns * kind.bytes() % span.max(16) == 0;
                    if transposed && kind == Kind::Tf32 || !whole {
                        continue;
                    }
                    let b = Layout { transposed, span };
                    let mut case = Case {
                        kind,
                        columns,
                        a: Left::Registers,
                        b,
                        negate_a: false,
                        negate_b: false,
                        accumulates: true,
                    };
                    check(&case, columns as u64);
                    case.a = Left::Shared(PLAIN);
                    check(&case, columns as u64);
                }
            }
        }
    }
}

#[test]
fn every_layout_of_a() {
    for kind in [Kind::F16, Kind::Bf16, Kind::Tf32] {
        for transposed in [false, true] {
            for span in [0, 32, 64, 128] {
                if transposed && kind == Kind::Tf32 {
                    continue;
                }
                let a = Left::Shared(Layout { transposed, span });
                let b = Layout { transposed: false, span: 64 };
                let case = Case {
                    kind,
                    columns: 16,
                    a,
                    b,
                    negate_a: true,
                    negate_b: false,
                    accumulates: true,
                };
                check(&case, 3);
            }
        }
    }
}

#[test]
fn signs_and_a_fresh_accumulator_under_every_seed() {
    for seed in SEEDS {
        for (negate_a, negate_b) in [(false, false), (true, false), (false, true), (true, true)] {
            for accumulates in [false, true] {
                let (a, b) = (Left::Registers, Layout { transposed: true, span: 0 });
                let kind = Kind::Bf16;
                check(&Case { kind, columns: 40, a, b, negate_a, negate_b, accumulates }, seed);
            }
        }
    }
}
