//! All of it together: a producing warp loads tiles of A and B under a swizzle, a warpgroup multiplies
//! them two stages deep, and the result leaves by a copy of a tensor.

use half::bf16;
use ptx_emu::{Arg, Counters, Fault, FaultKind, LaunchConfig, Swizzle, TensorType};

use crate::harness::{Bench, SEEDS};
use crate::tensor::dense;

/// Rows of A, columns of B, and K, of which a stage takes 64.
const M: usize = 100;
const N: usize = 72;
const K: usize = 320;

const PARAMS: &str =
    ".param .align 64 .b8 ma[128], .param .align 64 .b8 mb[128], .param .align 64 .b8 mc[128]";

fn body() -> String {
    let accumulator: Vec<String> = (0..32).map(|index| format!("%d{index}")).collect();
    let products: String = (0..4)
        .map(|step| {
            format!(
                "    add.u64 %da, %sa, {step2};\n    add.u64 %db, %sb, {step2};\n    \
                 wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {{{}}}, %da, %db, %later, 1, 1, 0, 0;\n    \
                 setp.eq.u32 %later, %k, %k;\n",
                accumulator.join(", "),
                step2 = 2 * step
            )
        })
        .collect();
    // Registers 4j to 4j + 3 of a thread: rows lane / 4 and eight further on, columns 8j + ...
    let stores: String = (0..8)
        .map(|group| {
            format!(
                "    st.shared.v2.f32 [%at+{}], {{%d{}, %d{}}};\n    st.shared.v2.f32 [%at+{}], {{%d{}, %d{}}};\n",
                32 * group,
                4 * group,
                4 * group + 1,
                32 * group + 8 * 256,
                4 * group + 2,
                4 * group + 3
            )
        })
        .collect();
    format!(
        "    .shared .align 8 .b64 full[2];
    .shared .align 8 .b64 empty[2];
    .reg .pred %p, %q, %more, %later;
    .reg .b32 %t, %lane, %warp, %k, %stage, %phase, %other, %full, %empty, %a, %b, %x, %row, %column;
    .reg .b32 %before, %at;
    .reg .f32 %d<32>;
    .reg .b64 %ma, %mb, %mc, %sa, %sb, %da, %db;
    mov.b64 %ma, ma;
    cvta.param.u64 %ma, %ma;
    mov.b64 %mb, mb;
    cvta.param.u64 %mb, %mb;
    mov.b64 %mc, mc;
    cvta.param.u64 %mc, %mc;
    mov.u32 %t, %tid.x;
    and.b32 %lane, %t, 31;
    shr.u32 %warp, %t, 5;
    mov.u32 %row, %ctaid.x;
    shl.b32 %row, %row, 6;
    mov.u32 %column, %ctaid.y;
    shl.b32 %column, %column, 6;
    setp.ne.u32 %p, %t, 0;
    @%p bra READY;
    mbarrier.init.shared::cta.b64 [full], 1;
    mbarrier.init.shared::cta.b64 [full+8], 1;
    mbarrier.init.shared::cta.b64 [empty], 4;
    mbarrier.init.shared::cta.b64 [empty+8], 4;
    fence.mbarrier_init.release.cluster;
READY:
    bar.sync 0;
    mov.u32 %k, 0;
    mov.u32 %before, empty;
    setp.lt.u32 %q, %warp, 4;
    @%q bra MULTIPLY;
    setp.ne.u32 %p, %lane, 0;
    @%p bra END;
LOAD:
    shr.u32 %stage, %k, 6;
    shr.u32 %phase, %stage, 1;
    not.b32 %phase, %phase;
    and.b32 %phase, %phase, 1;
    and.b32 %stage, %stage, 1;
    mov.u32 %full, full;
    mad.lo.u32 %full, %stage, 8, %full;
    mov.u32 %empty, empty;
    mad.lo.u32 %empty, %stage, 8, %empty;
    mov.u32 %a, tile;
    mad.lo.u32 %a, %stage, 16384, %a;
FREE:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [%empty], %phase;
    @!%q bra FREE;
    mbarrier.arrive.expect_tx.shared::cta.b64 _, [%full], 16384;
    cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%a], [%ma, {{%k, %row}}], [%full];
    cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%a+8192], [%mb, {{%k, %column}}], [%full];
    add.u32 %k, %k, 64;
    setp.lt.u32 %more, %k, {K};
    @%more bra LOAD;
    bra END;
MULTIPLY:
    setp.ne.u32 %later, %k, %k;
    wgmma.fence.sync.aligned;
NEXT:
    shr.u32 %stage, %k, 6;
    shr.u32 %phase, %stage, 1;
    and.b32 %phase, %phase, 1;
    and.b32 %stage, %stage, 1;
    mov.u32 %full, full;
    mad.lo.u32 %full, %stage, 8, %full;
    mov.u32 %empty, empty;
    mad.lo.u32 %empty, %stage, 8, %empty;
    mov.u32 %a, tile;
    mad.lo.u32 %a, %stage, 16384, %a;
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [%full], %phase;
    @!%q bra WAIT;
    shr.u32 %x, %a, 4;
    cvt.u64.u32 %sa, %x;
    or.b64 %sa, %sa, 0x4000004000010000;
    add.u64 %sb, %sa, 512;
{products}    wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 1;
    setp.eq.u32 %q, %k, 0;
    setp.ne.or.u32 %q, %lane, 0, %q;
    @!%q mbarrier.arrive.shared::cta.b64 _, [%before];
    mov.u32 %before, %empty;
    add.u32 %k, %k, 64;
    setp.lt.u32 %more, %k, {K};
    @%more bra NEXT;
    wgmma.wait_group.sync.aligned 0;
    bar.sync 1, 128;
    shl.b32 %at, %warp, 4;
    shr.u32 %x, %lane, 2;
    add.u32 %at, %at, %x;
    mov.u32 %x, tile;
    mad.lo.u32 %at, %at, 256, %x;
    and.b32 %x, %lane, 3;
    mad.lo.u32 %at, %x, 8, %at;
{stores}    fence.proxy.async.shared::cta;
    bar.sync 1, 128;
    @%p bra END;
    mov.u32 %x, tile;
    cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%mc, {{%column, %row}}], [%x];
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group.read 0;
END:
"
    )
}

fn left(row: usize, k: usize) -> f32 {
    ((row * 13 + k * 7 + row * k % 11) % 19) as f32 - 9.0
}

fn right(column: usize, k: usize) -> f32 {
    ((column * 3 + k * 5 + column * k % 7) % 15) as f32 - 7.0
}

fn matrix(rows: usize, value: fn(usize, usize) -> f32) -> Vec<bf16> {
    (0..rows * K).map(|index| bf16::from_f32(value(index / K, index % K))).collect()
}

fn run(body: &str, seed: u64) -> (Result<Counters, Fault>, Vec<f32>) {
    let bench = Bench::kernel(seed, PARAMS, body);
    let (a, b) = (matrix(M, left), matrix(N, right));
    let (a, b) = (bench.gpu.upload(&a).unwrap(), bench.gpu.upload(&b).unwrap());
    let c = bench.gpu.upload(&[f32::NAN; M * N]).unwrap();
    let operand = |address, rows: usize| {
        let mut map = dense(TensorType::Bf16, address, &[K as u64, rows as u64], &[64, 64]);
        map.swizzle = Swizzle::Bytes128;
        Arg::Bytes(map.encode().unwrap().to_vec())
    };
    let result = dense(TensorType::F32, c, &[N as u64, M as u64], &[64, 64]);
    let arguments = [operand(a, M), operand(b, N), Arg::Bytes(result.encode().unwrap().to_vec())];
    let grid = [M.div_ceil(64) as u32, N.div_ceil(64) as u32, 1];
    let config = LaunchConfig::new(grid, [160, 1, 1]).with_shared(32768);
    (bench.launch(config, &arguments), bench.gpu.download(c, M * N).unwrap())
}

#[test]
fn a_product_of_matrices_with_edges() {
    for seed in SEEDS {
        let (result, found) = run(&body(), seed);
        let counters = result.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        assert_eq!(counters.mma_flop, (2 * 128 * 128 * K) as u64);
        for (index, got) in found.iter().enumerate() {
            let (row, column) = (index / N, index % N);
            let expected: f32 = (0..K).map(|k| left(row, k) * right(column, k)).sum();
            assert_eq!(*got, expected, "seed {seed}: row {row}, column {column}");
        }
    }
}

/// Each planted bug is found under some seed, by a fault of one of these kinds.
#[test]
fn planted_bugs_are_found() {
    use FaultKind::{Deadlock, SharedRace, Uninitialised, Unsupported};
    let cases: [(&str, &str, &[FaultKind]); 7] = [
        // A stage is freed while its own products may still read it.
        ("    wgmma.wait_group.sync.aligned 1;\n", "", &[SharedRace]),
        ("    @!%q bra FREE;\n", "", &[SharedRace, Unsupported]),
        ("    @!%q bra WAIT;\n", "", &[SharedRace, Uninitialised]),
        ("_, [%full], 16384;", "_, [%full], 8192;", &[SharedRace, Uninitialised, Unsupported]),
        ("_, [%full], 16384;", "_, [%full], 16400;", &[Deadlock]),
        ("    fence.proxy.async.shared::cta;\n", "", &[SharedRace]),
        ("    wgmma.wait_group.sync.aligned 0;\n", "", &[Uninitialised]),
    ];
    for (from, to, kinds) in cases {
        let spoilt = body().replace(from, to);
        assert_ne!(spoilt, body(), "{from}");
        let faults: Vec<_> = SEEDS.filter_map(|seed| run(&spoilt, seed).0.err()).collect();
        assert!(!faults.is_empty(), "{from} -> {to}");
        for fault in faults {
            assert!(kinds.contains(&fault.kind), "{from} -> {to}: {fault}");
        }
    }
}
