//! Copies by the copy engine between the CTAs of a cluster.

use ptx_emu::{Counters, Fault};

use crate::cluster::{PARAMS, config};
use crate::harness::{Bench, SEEDS};

/// Each CTA loads a quarter of 256 numbers and sends it to all four, round after round; the quarter
/// of round `r` is that of numbers `r` further on.
const MULTICAST: &str = "
    .shared .align 8 .b64 full;
    .shared .align 8 .b64 empty;
    .shared .align 128 .b32 data[256];
    .reg .pred %p, %q;
    .reg .b32 %t, %rank, %at, %x, %sum, %round, %parity, %other, %far;
    .reg .b16 %mask;
    .reg .b64 %in, %out, %wide;
    ld.param.u64 %in, [in];
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    mov.u32 %rank, %cluster_ctarank;
    mov.b16 %mask, 15;
    setp.ne.u32 %p, %t, 0;
    @%p bra READY;
    mbarrier.init.shared::cta.b64 [full], 1;
    mbarrier.init.shared::cta.b64 [empty], 1024;
    fence.mbarrier_init.release.cluster;
READY:
    barrier.cluster.arrive.release;
    barrier.cluster.wait.acquire;
    mov.u32 %sum, 0;
    mov.u32 %round, 0;
    shl.b32 %at, %rank, 8;
    cvt.u64.u32 %wide, %at;
    add.u64 %in, %in, %wide;
    mov.u32 %x, data;
    add.u32 %at, %at, %x;
LOOP:
    and.b32 %parity, %round, 1;
    xor.b32 %other, %parity, 1;
    @%p bra WAIT;
FREE:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [empty], %other;
    @!%q bra FREE;
    mbarrier.arrive.expect_tx.shared::cta.b64 _, [full], 1024;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%at], [%in], 256, [full], %mask;
    add.u64 %in, %in, 16;
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [full], %parity;
    @!%q bra WAIT;
    mov.u32 %x, data;
    mad.lo.u32 %x, %t, 4, %x;
    ld.shared.u32 %x, [%x];
    mad.lo.u32 %sum, %sum, 3, %x;
    mov.u32 %x, empty;
    mapa.shared::cluster.u32 %far, %x, 0;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%far];
    mapa.shared::cluster.u32 %far, %x, 1;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%far];
    mapa.shared::cluster.u32 %far, %x, 2;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%far];
    mapa.shared::cluster.u32 %far, %x, 3;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%far];
    add.u32 %round, %round, 1;
    setp.lt.u32 %q, %round, 6;
    @%q bra LOOP;
    barrier.cluster.arrive.release;
    barrier.cluster.wait.acquire;
    mad.lo.u32 %x, %rank, 256, %t;
    mul.wide.u32 %wide, %x, 4;
    add.u64 %out, %out, %wide;
    st.global.u32 [%out], %sum;
";

fn multicast(body: &str, seed: u64) -> (Result<Counters, Fault>, Vec<u32>) {
    let bench = Bench::kernel(seed, PARAMS, body);
    let numbers: Vec<u32> = (0..300).map(|x| x * x + 7).collect();
    let from = bench.gpu.upload(&numbers).unwrap();
    let to = bench.gpu.upload(&[0u32; 1024]).unwrap();
    let result = bench.launch(config(4, 256, 4), &[from.into(), to.into()]);
    (result, bench.gpu.download(to, 1024).unwrap())
}

#[test]
fn copies_to_all_ctas_of_a_cluster() {
    for seed in SEEDS {
        let (result, found) = multicast(MULTICAST, seed);
        result.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        for (index, sum) in found.iter().enumerate() {
            let number = |round: u32| (index as u32 % 256 + 4 * round).pow(2) + 7;
            let expected =
                (0..6).fold(0u32, |sum, round| sum.wrapping_mul(3).wrapping_add(number(round)));
            assert_eq!(*sum, expected, "seed {seed} thread {index}");
        }
    }
}

#[test]
fn a_multicast_that_does_not_wait_for_the_others_is_found() {
    let body = MULTICAST.replace("    @!%q bra FREE;\n", "");
    let failures = SEEDS.filter(|&seed| {
        let (result, found) = multicast(&body, seed);
        result.is_err() || found != multicast(MULTICAST, 0).1
    });
    assert!(failures.count() > 0);
}

/// A row of CTAs hands a buffer round: each adds one and copies it into the next one's memory.
#[test]
fn copies_into_the_next_ctas_memory() {
    let body = "
    .shared .align 8 .b64 object;
    .shared .align 16 .b32 from[32];
    .shared .align 16 .b32 to[32];
    .reg .pred %p, %q;
    .reg .b32 %t, %rank, %at, %x, %near, %far;
    .reg .b64 %out, %wide;
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    mov.u32 %rank, %cluster_ctarank;
    setp.ne.u32 %p, %t, 0;
    @!%p mbarrier.init.shared::cta.b64 [object], 1;
    @!%p fence.mbarrier_init.release.cluster;
    @!%p mbarrier.arrive.expect_tx.shared::cta.b64 _, [object], 128;
    barrier.cluster.arrive;
    barrier.cluster.wait;
    mov.u32 %at, from;
    mad.lo.u32 %at, %t, 4, %at;
    mov.u32 %x, %t;
    setp.eq.u32 %q, %rank, 0;
    @%q bra GIVE;
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [object], 0;
    @!%q bra WAIT;
    ld.shared.u32 %x, [%at+128];
GIVE:
    add.u32 %x, %x, 100;
    st.shared.u32 [%at], %x;
    fence.proxy.async.shared::cta;
    bar.warp.sync -1;
    setp.eq.u32 %q, %rank, 3;
    or.pred %q, %q, %p;
    @%q bra DONE;
    add.u32 %rank, %rank, 1;
    mov.u32 %near, object;
    mapa.shared::cluster.u32 %near, %near, %rank;
    mov.u32 %far, to;
    mapa.shared::cluster.u32 %far, %far, %rank;
    cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%far], [from], 128, [%near];
DONE:
    barrier.cluster.arrive;
    barrier.cluster.wait;
    mov.u32 %rank, %cluster_ctarank;
    setp.ne.u32 %q, %rank, 3;
    @%q exit;
    mul.wide.u32 %wide, %t, 4;
    add.u64 %out, %out, %wide;
    st.global.u32 [%out], %x;
";
    let expected: Vec<u32> = (400..432).collect();
    for seed in SEEDS {
        let bench = Bench::kernel(seed, PARAMS, body);
        let out = bench.gpu.upload(&[0u32; 32]).unwrap();
        bench.run(config(4, 32, 4), &[out.into(), out.into()]);
        assert_eq!(bench.gpu.download::<u32>(out, 32).unwrap(), expected, "seed {seed}");
    }
}
