//! Single forms of `mbarrier`, by one warp.

use ptx_emu::{FaultKind, LaunchConfig};

use crate::harness::{Bench, SEEDS, expect_fault, line_of};

/// Runs one warp; gives what its lanes stored.
fn values(seed: u64, body: &str) -> Vec<u32> {
    let (bench, out) = prepare(seed, body);
    bench.run(LaunchConfig::linear(1, 32), &[out.into()]);
    bench.gpu.download(out, 32).unwrap()
}

fn prepare(seed: u64, body: &str) -> (Bench, u64) {
    let body = format!(
        "    .shared .align 8 .b64 object[2];\n    .reg .pred %p, %q;\n    .reg .b32 %t, %x, %y;\n    \
         .reg .b64 %state, %old, %out, %at;\n    ld.param.u64 %out, [out];\n    mov.u32 %t, %tid.x;\n    \
         mul.wide.u32 %at, %t, 4;\n    add.u64 %out, %out, %at;\n{body}"
    );
    let bench = Bench::kernel(seed, ".param .u64 out", &body);
    let out = bench.gpu.upload(&[0u32; 32]).unwrap();
    (bench, out)
}

/// Initialises the object for `count` arrivals.
fn with_object(count: u32, body: &str) -> String {
    format!(
        "    setp.eq.u32 %p, %t, 0;\n    @%p mbarrier.init.shared.b64 [object], {count};\n    \
         bar.warp.sync -1;\n{body}\n"
    )
}

#[test]
fn tokens_tell_phases_apart() {
    let body = with_object(
        32,
        "    mbarrier.arrive.shared.b64 %state, [object];
    mbarrier.test_wait.shared.b64 %p, [object], %state;
    mbarrier.arrive.shared.b64 %old, [object];
    mbarrier.test_wait.shared.b64 %q, [object], %old;
    selp.u32 %x, 1, 0, %p;
    selp.u32 %y, 2, 0, %q;
    add.u32 %x, %x, %y;
    st.global.u32 [%out], %x;",
    );
    // 32 arrivals end a phase, so that both tests hold.
    assert_eq!(values(0, &body), [3; 32]);
}

#[test]
fn a_token_of_long_ago_is_refused() {
    let again = "    mbarrier.arrive.shared.b64 _, [object];\n".repeat(2);
    let wait = "    mbarrier.test_wait.shared.b64 %p, [object], %state;";
    let body = with_object(
        32,
        &format!("    mbarrier.arrive.shared.b64 %state, [object];\n{again}{wait}"),
    );
    let (bench, out) = prepare(0, &body);
    let result = bench.launch(LaunchConfig::linear(1, 32), &[out.into()]);
    expect_fault(result, FaultKind::Unsupported, &["wait for phase 0 in phase 3"]);
}

#[test]
fn counts_of_arrivals_and_pending_ones() {
    let body = with_object(
        40,
        "    setp.eq.u32 %p, %t, 0;
    @%p mbarrier.arrive.noComplete.shared.b64 %state, [object], 7;
    @%p mbarrier.pending_count.b64 %x, %state;
    @%p mbarrier.arrive.noComplete.shared.b64 %state, [object], 3;
    @%p mbarrier.pending_count.b64 %y, %state;
    @%p mad.lo.u32 %x, %x, 100, %y;
    @%p st.global.u32 [%out], %x;
    @%p mbarrier.arrive.shared.b64 _, [object], 30;
    bar.warp.sync -1;
    mbarrier.test_wait.parity.shared.b64 %q, [object], 0;
    selp.u32 %y, 1, 0, %q;
    @!%p st.global.u32 [%out], %y;",
    );
    let found = values(0, &body);
    assert_eq!(found[0], 40 * 100 + 33);
    assert_eq!(found[1..], [1; 31]);
}

#[test]
fn a_dropped_thread_is_not_waited_for_again() {
    let body = with_object(
        32,
        "    setp.ge.u32 %p, %t, 16;
    @%p mbarrier.arrive_drop.shared.b64 _, [object];
    @!%p mbarrier.arrive.shared.b64 _, [object];
    bar.warp.sync -1;
    @!%p mbarrier.arrive.shared.b64 _, [object];
    bar.warp.sync -1;
    mbarrier.test_wait.parity.shared.b64 %q, [object], 1;
    selp.u32 %x, 1, 0, %q;
    st.global.u32 [%out], %x;",
    );
    assert_eq!(values(0, &body), [1; 32]);
}

#[test]
fn bytes_are_announced_and_completed_by_hand() {
    let body = with_object(
        1,
        "    setp.eq.u32 %p, %t, 0;
    @%p mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [object], 24;
    bar.warp.sync -1;
    mbarrier.test_wait.parity.shared.b64 %q, [object], 0;
    selp.u32 %x, 1, 0, %q;
    @%p mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [object], 8;
    @%p mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [object], 32;
    bar.warp.sync -1;
    mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 %q, [object], 0;
    selp.u32 %y, 2, 0, %q;
    add.u32 %x, %x, %y;
    st.global.u32 [%out], %x;",
    );
    assert_eq!(values(0, &body), [2; 32]);
}

#[test]
fn generic_addresses_and_invalidation() {
    let body = with_object(
        32,
        "    mov.u64 %at, object;
    cvta.shared.u64 %at, %at;
    mbarrier.arrive.b64 %state, [%at];
    mbarrier.test_wait.b64 %q, [%at], %state;
    bar.warp.sync -1;
    setp.eq.u32 %p, %t, 0;
    @%p mbarrier.inval.shared.b64 [object];
    @%p mbarrier.init.b64 [%at], 1;
    @%p mbarrier.arrive.b64 %state, [%at];
    bar.warp.sync -1;
    mbarrier.try_wait.parity.shared.b64 %p, [object], 0;
    and.pred %p, %p, %q;
    selp.u32 %x, 1, 0, %p;
    st.global.u32 [%out], %x;",
    );
    assert_eq!(values(0, &body), [1; 32]);
}

#[test]
fn copies_of_a_thread_bring_its_arrival() {
    let source = "    .shared .align 32 .b32 data[128];
    .reg .b32 %to, %z, %w;
    shl.b32 %x, %t, 4;
    mov.u32 %to, data;
    add.u32 %to, %to, %x;
    sub.u64 %at, %out, %at;
    mul.wide.u32 %state, %t, 16;
    add.u64 %at, %at, %state;
    add.u64 %at, %at, 128;
    cp.async.ca.shared.global [%to], [%at], 16;
    cp.async.mbarrier.arrive.noinc.shared.b64 [object];
WAIT:
    mbarrier.test_wait.parity.shared.b64 %q, [object], 0;
    @!%q bra WAIT;
    xor.b32 %to, %to, 16;
    ld.shared.v4.u32 {%x, %y, %z, %w}, [%to];
    add.u32 %x, %x, %w;
    st.global.u32 [%out], %x;";
    for seed in SEEDS {
        let (bench, _) = prepare(seed, &with_object(32, source));
        let mut all = vec![0u32; 32];
        all.extend(0..128);
        let out = bench.gpu.upload(&all).unwrap();
        bench.run(LaunchConfig::linear(1, 32), &[out.into()]);
        let expected: Vec<u32> = (0..32u32).map(|lane| 8 * (lane ^ 1) + 3).collect();
        assert_eq!(bench.gpu.download::<u32>(out, 32).unwrap(), expected);
    }
    // Without the wait, the copies are still on their way.
    let (bench, _) = prepare(0, &with_object(32, &source.replace("@!%q bra WAIT;", "")));
    let out = bench.gpu.upload(&[0u32; 160]).unwrap();
    let faults =
        SEEDS.filter(|_| bench.launch(LaunchConfig::linear(1, 32), &[out.into()]).is_err());
    assert!(faults.count() > 0);
}

/// Each misuse, its fault, and words of its text.
#[test]
fn misuse_names_line_and_lane() {
    use FaultKind::{Misaligned, OutOfBounds, Uninitialised, Unsupported};
    let cases = [
        ("mbarrier.arrive.shared.b64 _, [object+8];", Uninitialised, "never initialised"),
        ("mbarrier.test_wait.parity.shared.b64 %q, [object+8], 0;", Uninitialised, "0x8"),
        ("mbarrier.arrive.shared.b64 _, [object+4];", Misaligned, "a multiple of 8"),
        ("mbarrier.arrive.shared.b64 _, [object+16];", OutOfBounds, "the CTA has 16 bytes"),
        ("mbarrier.arrive.b64 _, [%out];", OutOfBounds, "an address in shared memory"),
        ("mbarrier.arrive.shared.b64 _, [object], 3;", Unsupported, "lacks 2 of 2"),
        ("mbarrier.arrive.shared.b64 _, [object], 0;", Unsupported, "expected 1 to 1048575"),
        ("mbarrier.arrive.noComplete.shared.b64 _, [object], 2;", Unsupported, "ends phase 0"),
        ("mbarrier.init.shared.b64 [object], 0;", Unsupported, "expected 1 to 1048575"),
        ("mbarrier.init.shared.b64 [object], 1048576;", Unsupported, "expected 1 to 1048575"),
        ("mbarrier.expect_tx.relaxed.cta.shared.b64 [object], 1048576;", Unsupported, "1048575"),
        ("mbarrier.test_wait.parity.shared.b64 %q, [object], 2;", Unsupported, "expected 0 or 1"),
        (
            "st.shared.u32 [object], 5; mbarrier.arrive.shared.b64 _, [object];",
            Uninitialised,
            "overwritten",
        ),
        (
            "mbarrier.inval.shared.b64 [object]; mbarrier.arrive.shared.b64 _, [object];",
            Uninitialised,
            "never",
        ),
    ];
    for (form, kind, words) in cases {
        // Lane 5 alone does it.
        let body = with_object(
            2,
            &format!("    setp.ne.u32 %p, %t, 5;\n    @%p bra END;\n    {form}\nEND:"),
        );
        let (bench, out) = prepare(0, &body);
        let result = bench.launch(LaunchConfig::linear(1, 32), &[out.into()]);
        let fault = expect_fault(result, kind, &[words]);
        assert_eq!(fault.lane, Some(5), "{form}: {fault}");
        // `prepare` puts seven lines before the body.
        assert_eq!(fault.line, Some(line_of(&body, form) + 8), "{form}: {fault}");
    }
}

#[test]
fn twice_the_largest_number_of_bytes_is_an_overflow() {
    let body = with_object(
        2,
        "    setp.eq.u32 %p, %t, 0;
    @%p mbarrier.expect_tx.relaxed.cta.shared.b64 [object], 1048575;
    @%p mbarrier.expect_tx.relaxed.cta.shared.b64 [object], 1;",
    );
    let (bench, out) = prepare(0, &body);
    let result = bench.launch(LaunchConfig::linear(1, 32), &[out.into()]);
    expect_fault(result, FaultKind::Unsupported, &["1048576 bytes outstanding"]);
}
