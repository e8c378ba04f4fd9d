//! Clusters: each other's shared memory, and their barrier.

use ptx_emu::{Counters, Fault, FaultKind, LaunchConfig};

use crate::harness::{Bench, SEEDS, expect_fault};

pub const PARAMS: &str = ".param .u64 in, .param .u64 out";

pub fn config(ctas: u32, threads: u32, cluster: u32) -> LaunchConfig {
    LaunchConfig { cluster: Some([cluster, 1, 1]), ..LaunchConfig::linear(ctas, threads) }
}

/// Each CTA sums its numbers, then rank 0 sums those of the cluster: by reading, and by atomics.
const SUM: &str = "
    .shared .align 4 .b32 mine;
    .shared .align 4 .b32 all;
    .reg .pred %p, %q;
    .reg .b32 %t, %x, %y, %rank, %ranks, %at, %cta, %other;
    .reg .b64 %in, %out, %wide, %far;
    ld.param.u64 %in, [in];
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    mov.u32 %cta, %ctaid.x;
    mov.u32 %rank, %cluster_ctarank;
    mov.u32 %ranks, %cluster_nctarank;
    setp.ne.u32 %p, %t, 0;
    @!%p st.shared.u32 [mine], 0;
    @!%p st.shared.u32 [all], 0;
    bar.sync 0;
    mov.u32 %x, %ntid.x;
    mad.lo.u32 %x, %cta, %x, %t;
    mul.wide.u32 %wide, %x, 4;
    add.u64 %wide, %in, %wide;
    ld.global.u32 %x, [%wide];
    atom.shared.add.u32 %y, [mine], %x;
    barrier.cluster.arrive.release.aligned;
    barrier.cluster.wait.acquire.aligned;
    @%p bra LEAVE;
    mov.u32 %at, all;
    mapa.shared::cluster.u32 %at, %at, 0;
    ld.shared.u32 %x, [mine];
    atom.shared::cluster.add.u32 %y, [%at], %x;
    setp.ne.u32 %q, %rank, 0;
    @%q bra LEAVE;
    mov.u32 %other, 0;
    mov.u32 %x, 0;
READ:
    mov.u64 %far, mine;
    cvta.shared.u64 %far, %far;
    mapa.u64 %far, %far, %other;
    ld.u32 %y, [%far];
    add.u32 %x, %x, %y;
    add.u32 %other, %other, 1;
    setp.lt.u32 %q, %other, %ranks;
    @%q bra READ;
    mov.u32 %y, %clusterid.x;
    mul.wide.u32 %wide, %y, 8;
    add.u64 %out, %out, %wide;
    st.global.u32 [%out], %x;
LEAVE:
    barrier.cluster.arrive;
    barrier.cluster.wait;
    mov.u32 %y, %clusterid.x;
    setp.ne.u32 %q, %rank, 0;
    or.pred %q, %q, %p;
    @%q exit;
    ld.shared.u32 %x, [all];
    st.global.u32 [%out+4], %x;
";

fn sums(body: &str, seed: u64) -> (Result<Counters, Fault>, Vec<u32>) {
    let bench = Bench::kernel(seed, PARAMS, body);
    let numbers: Vec<u32> = (0..8 * 64).map(|x| x * x % 1000).collect();
    let from = bench.gpu.upload(&numbers).unwrap();
    let to = bench.gpu.upload(&[0u32; 4]).unwrap();
    let result = bench.launch(config(8, 64, 4), &[from.into(), to.into()]);
    (result, bench.gpu.download(to, 4).unwrap())
}

#[test]
fn a_sum_over_distributed_shared_memory() {
    let half = |from: u32| (from..from + 256).map(|x| x * x % 1000).sum::<u32>();
    for seed in SEEDS {
        let (result, found) = sums(SUM, seed);
        result.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        assert_eq!(found, [half(0), half(0), half(256), half(256)], "seed {seed}");
    }
}

#[test]
fn a_cta_that_leaves_early_takes_its_memory_along() {
    let body = SUM.replace(
        "    @%p bra LEAVE;\n",
        "    @%p exit;\n    setp.ne.u32 %q, %rank, 0;\n    @%q exit;\n    nanosleep.u32 100;\n",
    );
    let faults: Vec<_> = SEEDS.filter_map(|seed| sums(&body, seed).0.err()).collect();
    assert!(!faults.is_empty());
    for fault in faults {
        assert_eq!(fault.kind, FaultKind::OutOfBounds, "{fault}");
        assert!(fault.detail.contains("threads have all exited"), "{fault}");
    }
}

#[test]
fn steps_at_the_barrier_alternate() {
    let twice = "    barrier.cluster.arrive;\n    barrier.cluster.arrive;\n";
    let never = "    barrier.cluster.wait;\n";
    for (body, words) in [(twice, "wait first"), (never, "arrive first")] {
        expect_fault(sums(body, 1).0, FaultKind::BarrierDivergence, &[words]);
    }
}

#[test]
fn an_address_past_the_cluster_is_out_of_bounds() {
    let body = SUM.replace("%at, %at, 0;", "%at, %at, 4;");
    expect_fault(sums(&body, 1).0, FaultKind::OutOfBounds, &["of CTA 4, the cluster has 4"]);
}

/// Warps may work, and wait for other CTAs, between arriving and waiting.
#[test]
fn work_between_arriving_and_waiting() {
    let body = "
    .shared .align 8 .b64 object;
    .reg .pred %p, %q;
    .reg .b32 %t, %rank, %at, %next;
    .reg .b64 %out, %wide;
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    mov.u32 %rank, %cluster_ctarank;
    setp.ne.u32 %p, %t, 0;
    @!%p mbarrier.init.shared::cta.b64 [object], 32;
    fence.mbarrier_init.release.cluster;
    barrier.cluster.arrive;
    barrier.cluster.wait;
    barrier.cluster.arrive;
    add.u32 %next, %rank, 1;
    and.b32 %next, %next, 3;
    mov.u32 %at, object;
    mapa.shared::cluster.u32 %at, %at, %next;
    setp.ge.u32 %q, %t, 32;
    @%q bra WAIT;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%at];
    bra DONE;
WAIT:
    mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %q, [object], 0;
    @!%q bra WAIT;
DONE:
    barrier.cluster.wait;
    @%p exit;
    mul.wide.u32 %wide, %rank, 4;
    add.u64 %out, %out, %wide;
    st.global.u32 [%out], %next;
";
    for seed in SEEDS {
        let bench = Bench::kernel(seed, PARAMS, body);
        let out = bench.gpu.upload(&[9u32; 4]).unwrap();
        bench.run(config(4, 64, 4), &[out.into(), out.into()]);
        assert_eq!(bench.gpu.download::<u32>(out, 4).unwrap(), [1, 2, 3, 0]);
    }
}
