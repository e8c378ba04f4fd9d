//! Copies of runs of bytes in both directions.

use ptx_emu::{Counters, Fault, FaultKind, Gpu, LaunchConfig};

use crate::harness::{Bench, SEEDS};

/// Loads 1 KiB, adds one to each number, stores it back elsewhere.
const ROUND_TRIP: &str = "
    .shared .align 8 .b64 object;
    .shared .align 128 .b32 from[256];
    .shared .align 128 .b32 to[256];
    .reg .pred %p, %q;
    .reg .b32 %t, %at, %x;
    .reg .b64 %in, %out, %policy;
    ld.param.u64 %in, [in];
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    setp.ne.u32 %p, %t, 0;
    mov.b64 %policy, 0;
    @%p bra READY;
    mbarrier.init.shared::cta.b64 [object], 1;
    fence.proxy.async.shared::cta;
    mbarrier.arrive.expect_tx.shared::cta.b64 _, [object], 1024;
    cp.async.bulk.prefetch.L2.global [%in], 1024;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [from], [%in], 512, [object];
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [from+512], [%in+512], 512, [object], %policy;
READY:
    bar.sync 0;
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [object], 0;
    @!%q bra WAIT;
    shl.b32 %at, %t, 2;
    mov.u32 %x, from;
    add.u32 %at, %at, %x;
    ld.shared.u32 %x, [%at];
    add.u32 %x, %x, 1;
    st.shared.u32 [%at+1024], %x;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    @%p bra AFTER;
    cp.async.bulk.global.shared::cta.bulk_group [%out], [to], 768;
    cp.async.bulk.commit_group;
    cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint [%out+768], [to+768], 256, %policy;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group.read 0;
AFTER:
    bar.sync 0;
    st.shared.u32 [%at+1024], 7;
";

const WAIT: &str = "WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [object], 0;
    @!%q bra WAIT;
";

const PARAMS: &str = ".param .u64 in, .param .u64 out";

fn run(seed: u64, body: &str) -> (Result<Counters, Fault>, Vec<u32>) {
    let bench = Bench::kernel(seed, PARAMS, body);
    let numbers: Vec<u32> = (0..256).map(|index| index * index).collect();
    let from = bench.gpu.upload(&numbers).unwrap();
    let to = bench.gpu.upload(&[0u32; 256]).unwrap();
    let result = bench.launch(LaunchConfig::linear(1, 256), &[from.into(), to.into()]);
    (result, bench.gpu.download(to, 256).unwrap())
}

#[test]
fn a_round_trip_through_shared_memory() {
    for seed in SEEDS {
        let (result, found) = run(seed, ROUND_TRIP);
        let counters = result.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        let expected: Vec<u32> = (0..256).map(|index| index * index + 1).collect();
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!((counters.load_sectors, counters.load_bytes), (32, 1024));
        assert_eq!((counters.store_sectors, counters.store_bytes), (32, 1024));
    }
}

/// Each planted bug, the faults that it may show as, and words that one of the texts has.
#[test]
fn planted_bugs_are_found() {
    use FaultKind::{Deadlock, SharedRace, Uninitialised};
    let cases: &[(&str, &str, &[FaultKind], &str)] = &[
        // Nobody waits for the copy in.
        (WAIT, "", &[SharedRace, Uninitialised], ""),
        // What was stored does not reach the copy engine.
        (
            "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n    @%p bra AFTER;",
            "    bar.sync 0;\n    @%p bra AFTER;",
            &[SharedRace],
            "hint: fence.proxy.async",
        ),
        // The copy out is not waited for before its source is used again.
        ("    cp.async.bulk.wait_group.read 0;\n", "", &[SharedRace], "wrote afterwards"),
        // Only the first of two groups is waited for.
        ("wait_group.read 0", "wait_group.read 1", &[SharedRace], "that warp"),
        // A group that was never made holds nothing.
        ("    cp.async.bulk.commit_group;\n", "", &[SharedRace], "the copy of line"),
        // Nothing was announced: the phase ends before the bytes have come.
        (
            "mbarrier.arrive.expect_tx.shared::cta.b64 _, [object], 1024;",
            "mbarrier.arrive.shared::cta.b64 _, [object];",
            &[SharedRace, Uninitialised],
            "",
        ),
        // Too much was announced.
        ("[object], 1024;", "[object], 1040;", &[Deadlock], "and 16 bytes"),
        // The threads that write do not meet the one that copies.
        (
            "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n    @%p bra AFTER;",
            "    fence.proxy.async.shared::cta;\n    @%p bra AFTER;",
            &[SharedRace, Uninitialised],
            "",
        ),
    ];
    for (from, to, kinds, words) in cases {
        let body = ROUND_TRIP.replace(from, to);
        assert_ne!(body, ROUND_TRIP, "{from}");
        let faults: Vec<_> = SEEDS.filter_map(|seed| run(seed, &body).0.err()).collect();
        // A copy may happen to land early.
        let least = if from.contains("_group") { 1 } else { SEEDS.count() };
        assert!(faults.len() >= least, "{from} -> {to}: only {faults:?}");
        for fault in &faults {
            assert!(kinds.contains(&fault.kind), "{from} -> {to}: {fault}");
        }
        assert!(faults.iter().any(|fault| fault.detail.contains(words)), "{from}: {faults:?}");
    }
}

#[test]
fn a_reading_fence_by_the_copying_thread_will_do() {
    let body = ROUND_TRIP.replace(
        "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n    @%p bra AFTER;",
        "    bar.sync 0;\n    @%p bra AFTER;\n    fence.proxy.async;",
    );
    assert_ne!(body, ROUND_TRIP);
    for seed in SEEDS {
        run(seed, &body).0.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
}

#[test]
fn a_kernel_that_leaves_a_copy_behind_is_told() {
    let body = ROUND_TRIP.replace(WAIT, "    exit;\n");
    let faults: Vec<_> = SEEDS.filter_map(|seed| run(seed, &body).0.err()).collect();
    assert!(!faults.is_empty());
    assert!(faults[0].detail.contains("on its way into shared memory"), "{}", faults[0]);
}

/// Adds 64 numbers of each CTA to the same place.
fn reduction(operation: &str) -> String {
    format!(
        "
    .shared .align 16 .b32 data[64];
    .reg .pred %p;
    .reg .b32 %t, %at, %x;
    .reg .b64 %in, %out, %wide;
    ld.param.u64 %in, [in];
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    mul.wide.u32 %wide, %t, 4;
    add.u64 %in, %in, %wide;
    ld.global.u32 %x, [%in];
    mov.u32 %at, data;
    mad.lo.u32 %at, %t, 4, %at;
    st.shared.u32 [%at], %x;
    fence.proxy.async;
    bar.sync 0;
    setp.ne.u32 %p, %t, 0;
    @%p bra END;
    cp.reduce.async.bulk.global.shared::cta.bulk_group.{operation} [%out], [data], 256;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group 0;
END:
"
    )
}

fn reduced<T: ptx_emu::Plain>(
    operation: &str,
    seed: u64,
    ctas: u32,
    old: &[T],
    new: &[T],
) -> Vec<T> {
    let bench = Bench::kernel(seed, PARAMS, &reduction(operation));
    let upload = |gpu: &Gpu, values: &[T]| gpu.upload(values).unwrap();
    let (to, from) = (upload(&bench.gpu, old), upload(&bench.gpu, new));
    bench.run(LaunchConfig::linear(ctas, 64), &[from.into(), to.into()]);
    bench.gpu.download(to, old.len()).unwrap()
}

#[test]
fn reductions_of_whole_runs() {
    let numbers: Vec<u32> = (0..64).map(|index| index * 3 + 1).collect();
    let tens = [10u32; 64];
    let expect = |f: &dyn Fn(u32) -> u32| numbers.iter().map(|&x| f(x)).collect::<Vec<u32>>();
    for seed in SEEDS {
        assert_eq!(reduced("add.u32", seed, 3, &tens, &numbers), expect(&|x| 10 + 3 * x));
        assert_eq!(reduced("max.u32", seed, 2, &tens, &numbers), expect(&|x| x.max(10)));
        assert_eq!(reduced("min.u32", seed, 2, &tens, &numbers), expect(&|x| x.min(10)));
        assert_eq!(reduced("xor.b32", seed, 3, &tens, &numbers), expect(&|x| 10 ^ x));
        assert_eq!(reduced("or.b32", seed, 3, &tens, &numbers), expect(&|x| 10 | x));
        let inc = |x| if 10 >= x { 0 } else { 11 };
        assert_eq!(reduced("inc.u32", seed, 1, &tens, &numbers), expect(&inc));
    }
    let floats: Vec<f32> = (0..64).map(|index| index as f32 * 0.5).collect();
    let found = reduced("add.f32", 1, 4, &[1f32; 64], &floats);
    assert_eq!(found, floats.iter().map(|x| 1.0 + 4.0 * x).collect::<Vec<_>>());
    // Subnormal numbers are flushed.
    let tiny = [f32::from_bits(5); 64];
    assert_eq!(reduced("add.f32", 1, 1, &[0f32; 64], &tiny), [0f32; 64]);
    let halves: Vec<half::f16> = (0..128).map(|x| half::f16::from_f32(x as f32)).collect();
    let found = reduced("add.noftz.f16", 1, 1, &[half::f16::from_f32(2048.0); 128], &halves);
    // Above 2048, halves are two apart; ties go to the even one.
    let expected = |x: u32| 2048.0 + 2.0 * ((x / 2) + ((x % 2) & (x / 2 % 2))) as f32;
    assert_eq!(found, (0..128).map(|x| half::f16::from_f32(expected(x))).collect::<Vec<_>>());
}
