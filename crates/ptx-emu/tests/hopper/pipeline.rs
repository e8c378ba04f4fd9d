//! A ring of two buffers between a producing warp and three consuming ones, over many rounds.

use ptx_emu::{Counters, Fault, FaultKind, LaunchConfig};

use crate::harness::{Bench, SEEDS, expect_fault, line_of};

const ROUNDS: u32 = 21;

const PARAMS: &str = ".param .u64 out, .param .u32 rounds";

const BODY: &str = "
    .shared .align 8 .b64 full[2];
    .shared .align 8 .b64 empty[2];
    .shared .align 16 .b32 data[64];
    .reg .pred %p, %ready, %more;
    .reg .b32 %t, %lane, %warp, %round, %rounds, %slot, %parity, %other, %full, %empty, %at, %near;
    .reg .b32 %value, %sum, %slots;
    .reg .b64 %state, %out, %wide;
    ld.param.u64 %out, [out];
    ld.param.u32 %rounds, [rounds];
    mov.u32 %t, %tid.x;
    and.b32 %lane, %t, 31;
    shr.u32 %warp, %t, 5;
    setp.ne.u32 %p, %t, 0;
    @%p bra READY;
    mbarrier.init.shared::cta.b64 [full], 32;
    mbarrier.init.shared::cta.b64 [full+8], 32;
    mbarrier.init.shared::cta.b64 [empty], 96;
    mbarrier.init.shared::cta.b64 [empty+8], 96;
READY:
    bar.sync 0;
    mov.u32 %round, 0;
    mov.u32 %sum, 0;
LOOP:
    and.b32 %slot, %round, 1;
    shr.u32 %parity, %round, 1;
    and.b32 %parity, %parity, 1;
    xor.b32 %other, %parity, 1;
    shl.b32 %slots, %slot, 3;
    mov.u32 %full, full;
    add.u32 %full, %full, %slots;
    mov.u32 %empty, empty;
    add.u32 %empty, %empty, %slots;
    shl.b32 %slots, %slot, 7;
    mov.u32 %at, data;
    add.u32 %at, %at, %slots;
    setp.ne.u32 %p, %warp, 0;
    @%p bra CONSUME;
FREE:
    mbarrier.try_wait.parity.shared::cta.b64 %ready, [%empty], %other;
    @!%ready bra FREE;
    shl.b32 %slots, %lane, 2;
    add.u32 %at, %at, %slots;
    mad.lo.u32 %value, %round, 100, %lane;
    st.shared.u32 [%at], %value;
    mbarrier.arrive.shared::cta.b64 %state, [%full];
    bra NEXT;
CONSUME:
    mbarrier.try_wait.parity.shared::cta.b64 %ready, [%full], %parity, 1000;
    @!%ready bra CONSUME;
    add.u32 %near, %lane, 1;
    and.b32 %near, %near, 31;
    shl.b32 %slots, %near, 2;
    add.u32 %at, %at, %slots;
    ld.shared.u32 %value, [%at];
    add.u32 %sum, %sum, %value;
    mbarrier.arrive.shared::cta.b64 _, [%empty];
NEXT:
    add.u32 %round, %round, 1;
    setp.lt.u32 %more, %round, %rounds;
    @%more bra LOOP;
    mul.wide.u32 %wide, %t, 4;
    add.u64 %out, %out, %wide;
    st.global.u32 [%out], %sum;
";

fn run(body: &str, seed: u64) -> (Result<Counters, Fault>, Vec<u32>) {
    let bench = Bench::kernel(seed, PARAMS, body);
    let out = bench.gpu.upload(&[0u32; 128]).unwrap();
    let result = bench.launch(LaunchConfig::linear(1, 128), &[out.into(), ROUNDS.into()]);
    (result, bench.gpu.download(out, 128).unwrap())
}

/// The kinds of fault that some seeds bring out.
fn faults(body: &str) -> Vec<FaultKind> {
    SEEDS.filter_map(|seed| run(body, seed).0.err().map(|fault| fault.kind)).collect()
}

#[test]
fn every_round_reaches_every_consumer() {
    for seed in SEEDS {
        let (result, sums) = run(BODY, seed);
        result.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        for (thread, sum) in sums.iter().enumerate() {
            let near = (thread as u32 + 1) % 32;
            let expected = (0..ROUNDS).map(|round| round * 100 + near).sum::<u32>();
            assert_eq!(*sum, if thread < 32 { 0 } else { expected }, "seed {seed} thread {thread}");
        }
    }
}

#[test]
fn a_consumer_that_does_not_wait_races() {
    let body = BODY.replace("@!%ready bra CONSUME;", "");
    let found = faults(&body);
    assert!(!found.is_empty());
    let known = [FaultKind::SharedRace, FaultKind::Uninitialised];
    assert!(found.iter().all(|kind| known.contains(kind)), "{found:?}");
}

#[test]
fn a_producer_that_does_not_wait_races() {
    let found = faults(&BODY.replace("@!%ready bra FREE;", ""));
    assert!(!found.is_empty());
    let known = [FaultKind::SharedRace, FaultKind::Unsupported];
    assert!(found.iter().all(|kind| known.contains(kind)), "{found:?}");
}

#[test]
fn the_wrong_parity_is_found() {
    let found = faults(&BODY.replace("[%full], %parity", "[%full], %other"));
    assert_eq!(found.len(), SEEDS.count(), "{found:?}");
    // The other way round, the producer waits for what only it can bring about.
    let body = BODY.replace("[%empty], %other", "[%empty], %parity");
    for seed in SEEDS {
        let words = ["no warp can go on", "mbarrier"];
        expect_fault(run(&body, seed).0, FaultKind::Deadlock, &words[..1]);
    }
}

#[test]
fn a_forgotten_arrival_is_a_deadlock_that_names_the_object() {
    let body = BODY.replace("mbarrier.arrive.shared::cta.b64 _, [%empty];", "");
    for seed in SEEDS {
        let fault = expect_fault(run(&body, seed).0, FaultKind::Deadlock, &["spins"]);
        assert!(fault.line.is_some_and(|line| line >= line_of(&body, "FREE:")));
    }
    let body = BODY.replace("[full], 32", "[full], 33");
    for seed in SEEDS {
        let words = ["phase 0 lacks 1 of 33 arrivals and 0 bytes"];
        expect_fault(run(&body, seed).0, FaultKind::Deadlock, &words);
    }
}

#[test]
fn a_relaxed_arrival_orders_nothing() {
    let body = BODY.replace(
        "mbarrier.arrive.shared::cta.b64 %state",
        "mbarrier.arrive.relaxed.cta.shared::cta.b64 %state",
    );
    assert!(faults(&body).contains(&FaultKind::SharedRace));
}

#[test]
fn an_object_must_be_initialised_before_a_barrier() {
    let body = BODY.replace("bar.sync 0;", "");
    let found = faults(&body);
    assert!(found.contains(&FaultKind::Uninitialised) || found.contains(&FaultKind::SharedRace));
}
