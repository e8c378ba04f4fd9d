//! Flags, locks, copies and sums: kernels that are right, in ways that a race detector may get wrong.

use crate::case::case;

#[test]
fn double_buffering_with_copies_in_flight() {
    // Three rounds: while a buffer is read backwards, the next one is on its way.
    let text = "
        .reg .b32 %a, %b, %sum;
        mov.u32 %sum, 0;
        mov.u32 %n, 0;
        mov.u32 %a, %s;
        cp.async.ca.shared.global [%a], [%g], 4;
        cp.async.commit_group;
        again:
        xor.b32 %b, %a, 1024;
        add.u64 %g, %g, 256;
        cp.async.ca.shared.global [%b], [%g], 4;
        cp.async.commit_group;
        cp.async.wait_group 1;
        bar.sync 0;
        and.b32 %x, %a, 1024;
        sub.u32 %y, 63, %t;
        mad.lo.u32 %x, %y, 4, %x;
        ld.shared.u32 %y, [%x];
        add.u32 %sum, %sum, %y;
        bar.sync 0;
        mov.u32 %a, %b;
        add.u32 %n, %n, 1;
        setp.lt.u32 %p, %n, 3;
        @%p bra again;
        st.global.u32 [%h], %sum;
    ";
    let expected: Vec<u32> = (0..64).map(|t| 3 * (63 - t) + 64 + 128).collect();
    assert_eq!(case(64, text).passes()[..64], expected);
}

#[test]
fn a_flag_in_shared_memory_handed_over_by_atomics() {
    let text = "
        setp.eq.u32 %p, %t, 0;
        @%p st.shared.u32 [tile+2048], 0;
        bar.sync 0;
        setp.eq.u32 %p, %warp, 0;
        @!%p bra wait;
        st.shared.u32 [%s], %t;
        bar.warp.sync 0xffffffff;
        membar.cta;
        setp.eq.u32 %q, %lane, 0;
        @%q atom.shared.exch.b32 %x, [tile+2048], 1;
        bra done;
        wait:
        atom.shared.or.b32 %x, [tile+2048], 0;
        setp.eq.u32 %q, %x, 0;
        @%q bra wait;
        fence.acq_rel.cta;
        ld.shared.u32 %x, [%s+-128];
        st.global.u32 [%h], %x;
        done:
    ";
    let expected: Vec<u32> = (0..32).collect();
    assert_eq!(case(64, text).passes()[32..64], expected);
}

#[test]
fn a_flag_in_shared_memory_handed_over_by_volatile_accesses() {
    let text = "
        setp.eq.u32 %p, %t, 0;
        @%p st.shared.u32 [tile+2048], 0;
        bar.sync 0;
        setp.eq.u32 %p, %t, 40;
        @%p bra wait;
        setp.ne.u32 %p, %t, 3;
        @%p bra done;
        st.shared.u32 [tile], 77;
        membar.cta;
        st.volatile.shared.u32 [tile+2048], 1;
        bra done;
        wait:
        ld.acquire.cta.shared.u32 %x, [tile+2048];
        setp.eq.u32 %q, %x, 0;
        @%q bra wait;
        ld.shared.u32 %x, [tile];
        st.global.u32 [%out], %x;
        done:
        bar.sync 0;
    ";
    assert_eq!(case(64, text).passes()[0], 77);
}

#[test]
fn a_lock_that_the_lanes_of_a_warp_take_in_turn() {
    let text = "
        mov.u32 %n, 0;
        again:
        atom.acquire.gpu.global.cas.b32 %x, [%out], 0, 1;
        setp.ne.u32 %p, %x, 0;
        @%p bra again;
        ld.global.u32 %y, [%out+4];
        add.u32 %y, %y, 1;
        st.global.u32 [%out+4], %y;
        atom.release.gpu.global.exch.b32 %x, [%out], 0;
    ";
    assert_eq!(case(6, text).grid(2).passes()[..2], [0, 12]);
}

#[test]
fn a_barrier_of_the_grid() {
    // Every CTA writes its word, all meet, every CTA reads its neighbour's; three times.
    let text = "
        mov.u32 %n, 1;
        again:
        setp.ne.u32 %p, %t, 0;
        mul.wide.u32 %w, %cta, 4;
        add.u64 %g, %out, %w;
        @%p bra written;
        mad.lo.u32 %x, %n, 100, %cta;
        st.global.u32 [%g+256], %x;
        written:
        bar.sync 0;
        @%p bra arrived;
        atom.add.release.gpu.global.u32 %x, [%out], 1;
        mul.lo.u32 %y, %n, 5;
        wait:
        ld.acquire.gpu.global.u32 %x, [%out];
        setp.lt.u32 %q, %x, %y;
        @%q bra wait;
        arrived:
        bar.sync 0;
        add.u32 %x, %cta, 1;
        setp.eq.u32 %q, %x, 5;
        selp.u32 %x, 0, %x, %q;
        mul.wide.u32 %w, %x, 4;
        add.u64 %h, %out, %w;
        ld.global.u32 %z, [%h+256];
        bar.sync 0;
        @%p bra left;
        atom.add.acq_rel.gpu.global.u32 %x, [%out+4], 1;
        wait_again:
        ld.acquire.gpu.global.u32 %x, [%out+4];
        setp.lt.u32 %q, %x, %y;
        @%q bra wait_again;
        left:
        bar.sync 0;
        add.u32 %n, %n, 1;
        setp.lt.u32 %q, %n, 4;
        @%q bra again;
        @!%p st.global.u32 [%g+512], %z;
    ";
    assert_eq!(case(64, text).grid(5).cooperative().passes()[128..133], [301, 302, 303, 304, 300]);
}

#[test]
fn sums_of_many_ctas_by_atomics() {
    let text = "
        setp.eq.u32 %p, %t, 0;
        @%p st.shared.u32 [tile], 0;
        bar.sync 0;
        ld.global.u32 %x, [%g];
        red.relaxed.gpu.global.add.u32 [%out], %x;
        red.shared.add.u32 [tile], %x;
        bar.sync 0;
        @%p ld.shared.u32 %x, [tile];
        @%p atom.global.max.u32 %y, [%out+4], %x;
    ";
    assert_eq!(case(64, text).grid(7).passes()[..2], [7 * 63 * 32, 63 * 32]);
}

#[test]
fn global_memory_across_the_barrier_of_a_cluster() {
    let text = "
        mad.lo.u32 %x, %cta, 64, %t;
        mul.wide.u32 %w, %x, 4;
        add.u64 %h, %out, %w;
        mov.u32 %n, 0;
        again:
        mad.lo.u32 %y, %n, 1000, %x;
        st.global.u32 [%h], %y;
        barrier.cluster.arrive.release.aligned;
        barrier.cluster.wait.acquire.aligned;
        xor.b32 %y, %x, 64;
        mul.wide.u32 %w, %y, 4;
        add.u64 %g, %out, %w;
        ld.global.u32 %z, [%g];
        barrier.cluster.arrive.aligned;
        add.u32 %n, %n, 1;
        setp.lt.u32 %p, %n, 3;
        barrier.cluster.wait.aligned;
        @%p bra again;
        st.global.u32 [%h+1024], %z;
    ";
    let expected: Vec<u32> = (0..256).map(|at| 2000 + (at ^ 64)).collect();
    assert_eq!(case(64, text).grid(4).cluster(2).passes()[256..512], expected);
}

#[test]
fn copies_that_are_left_when_threads_leave() {
    let text = "
        setp.gt.u32 %p, %t, 15;
        cp.async.ca.shared.global [%s], [%g], 4;
        cp.async.commit_group;
        @%p exit;
        cp.async.wait_group 0;
        ld.shared.u32 %x, [%s];
        st.global.u32 [%h], %x;
    ";
    assert_eq!(case(32, text).passes()[..16], (0..16).collect::<Vec<u32>>());
}

#[test]
fn copies_filled_with_zeros() {
    let text = "
        .reg .b64 %policy;
        mul.lo.u32 %s, %t, 16;
        mul.wide.u32 %w, %t, 16;
        add.u64 %g, %in, %w;
        mov.u64 %policy, 0;
        and.b32 %x, %t, 7;
        shl.b32 %x, %x, 1;
        setp.eq.u32 %p, %t, 9;
        @!%p cp.async.cg.shared::cta.global.L2::cache_hint.L2::128B [%s], [%g], 16, %x, %policy;
        @%p cp.async.ca.shared.global [%s], [%g], 16, %p;
        cp.async.wait_all;
        bar.sync 0;
        shl.b32 %x, %t, 3;
        ld.shared.v2.u32 {%y, %z}, [%x];
        mul.wide.u32 %w, %t, 8;
        add.u64 %h, %out, %w;
        st.global.v2.u32 [%h], {%y, %z};
    ";
    let byte = |at: usize| {
        let thread = at / 16;
        let kept = if thread == 9 { 0 } else { 2 * (thread & 7) };
        if at % 16 < kept { ((at / 4) as u32).to_le_bytes()[at % 4] } else { 0 }
    };
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|part| byte(4 * at + part)));
    let expected: Vec<u32> = (0..64).map(word).collect();
    assert_eq!(case(32, text).passes()[..64], expected);
}
