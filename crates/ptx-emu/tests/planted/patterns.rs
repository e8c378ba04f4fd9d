//! Barriers and lanes that go their own ways: kernels that are right, in ways that a race detector or
//! a scheduler may get wrong.

use crate::case::case;

#[test]
fn producers_and_consumers_with_named_barriers() {
    // Warp 0 fills two buffers in turn, warp 1 empties them: barriers 1 and 2 say full, 3 and 4 empty.
    let text = "
        mov.u32 %n, 0;
        and.b32 %y, %lane, 31;
        shl.b32 %s, %y, 2;
        setp.eq.u32 %p, %warp, 0;
        @!%p bra consume;
        produce:
        and.b32 %y, %n, 1;
        setp.lt.u32 %q, %n, 2;
        @%q bra fresh;
        add.u32 %x, %y, 3;
        bar.sync %x, 64;
        fresh:
        mad.lo.u32 %z, %y, 128, %s;
        mad.lo.u32 %x, %n, 100, %lane;
        st.shared.u32 [%z], %x;
        add.u32 %x, %y, 1;
        bar.arrive %x, 64;
        add.u32 %n, %n, 1;
        setp.lt.u32 %q, %n, 9;
        @%q bra produce;
        bra done;
        consume:
        and.b32 %y, %n, 1;
        add.u32 %x, %y, 1;
        bar.sync %x, 64;
        mad.lo.u32 %z, %y, 128, %s;
        ld.shared.u32 %x, [%z];
        mad.lo.u32 %z, %n, 128, %s;
        cvt.u64.u32 %w, %z;
        add.u64 %h, %out, %w;
        st.global.u32 [%h], %x;
        add.u32 %n, %n, 1;
        setp.ge.u32 %q, %n, 8;
        @%q bra last;
        add.u32 %x, %y, 3;
        bar.arrive %x, 64;
        last:
        setp.lt.u32 %q, %n, 9;
        @%q bra consume;
        done:
    ";
    let out = case(64, text).passes();
    for (at, &value) in out[..9 * 32].iter().enumerate() {
        assert_eq!(value as usize, at / 32 * 100 + at % 32);
    }
}

#[test]
fn a_last_warp_with_few_threads() {
    let text = "
        st.shared.u32 [%s], %t;
        bar.sync 0;
        sub.u32 %x, 39, %t;
        shl.b32 %x, %x, 2;
        ld.shared.u32 %y, [%x];
        setp.gt.u32 %p, %y, 4;
        bar.red.popc.u32 %z, 0, %p;
        add.u32 %y, %y, %z;
        vote.sync.ballot.b32 %x, %p, 0xffffffff;
        popc.b32 %x, %x;
        mad.lo.u32 %y, %x, 1000, %y;
        st.global.u32 [%h], %y;
    ";
    let expected: Vec<u32> =
        (0..40).map(|t| 39 - t + 35 + 1000 * if t < 32 { 32 } else { 3 }).collect();
    assert_eq!(case(40, text).passes()[..40], expected);
}

#[test]
fn threads_that_leave_before_a_barrier() {
    // Some lanes of each warp and all of the last one return at once; the rest go on to meet.
    let text = "
        and.b32 %x, %t, 7;
        setp.eq.u32 %p, %x, 5;
        setp.gt.u32 %q, %t, 63;
        @%p bra gone;
        @%q exit;
        st.shared.u32 [%s], %t;
        bar.sync 0;
        xor.b32 %x, %s, 128;
        ld.shared.u32 %x, [%x];
        st.global.u32 [%h], %x;
        bar.sync 0;
        gone:
    ";
    let expected: Vec<u32> = (0..64).map(|t| if t % 8 == 5 { 0 } else { t ^ 32 }).collect();
    assert_eq!(case(96, text).passes()[..64], expected);
}

#[test]
fn threads_that_clean_up_and_leave_before_a_barrier() {
    // The branch that does not come to the barrier has work of its own, which nobody else does.
    let text = "
        setp.gt.u32 %p, %lane, 19;
        @%p bra clean;
        st.shared.u32 [%s], %t;
        bar.sync 0;
        xor.b32 %x, %s, 128;
        ld.shared.u32 %x, [%x];
        st.global.u32 [%h], %x;
        ret;
        clean:
        mov.u32 %x, 5;
        st.global.u32 [%h], %x;
    ";
    let expected: Vec<u32> = (0..64).map(|t| if t % 32 > 19 { 5 } else { t ^ 32 }).collect();
    assert_eq!(case(64, text).passes()[..64], expected);
}

#[test]
fn loops_of_different_length_that_come_together() {
    let text = "
        mov.u32 %x, 0;
        mov.u32 %n, %t;
        setp.eq.u32 %p, %n, 0;
        @%p bra met;
        again:
        add.u32 %x, %x, %n;
        sub.u32 %n, %n, 1;
        setp.ne.u32 %p, %n, 0;
        @%p bra again;
        met:
        activemask.b32 %y;
        shfl.sync.bfly.b32 %z, %x, 1, 31, 0xffffffff;
        st.shared.u32 [%s], %z;
        bar.sync 0;
        xor.b32 %s, %s, 128;
        ld.shared.u32 %z, [%s];
        setp.eq.u32 %p, %y, 0xffffffff;
        selp.u32 %z, %z, 0, %p;
        st.global.u32 [%h], %z;
    ";
    let expected: Vec<u32> = (0..64u32).map(|t| (t ^ 33) * ((t ^ 33) + 1) / 2).collect();
    assert_eq!(case(64, text).passes()[..64], expected);
}

#[test]
fn halves_of_a_warp_with_masks_of_their_own() {
    let text = "
        setp.eq.u32 %q, %t, %t;
        and.b32 %x, %lane, 16;
        shl.b32 %y, 0xffff, %x;
        shfl.sync.down.b32 %z, %t, 3, 0x100f, %y;
        vote.sync.ballot.b32 %n, %q, %y;
        redux.sync.max.u32 %x, %t, %y;
        add.u32 %z, %z, %x;
        popc.b32 %n, %n;
        mad.lo.u32 %z, %n, 1000, %z;
        st.global.u32 [%h], %z;
    ";
    let expected: Vec<u32> =
        (0..32).map(|t| t + if t % 16 < 13 { 3 } else { 0 } + (t | 15) + 16_000).collect();
    assert_eq!(case(32, text).passes()[..32], expected);
}

#[test]
fn halves_of_a_warp_on_ways_of_their_own() {
    let text = "
        setp.lt.u32 %p, %lane, 16;
        @%p bra low;
        shfl.sync.bfly.b32 %x, %t, 8, 31, 0xffff0000;
        bra met;
        low:
        shfl.sync.bfly.b32 %x, %t, 4, 31, 0x0000ffff;
        met:
        bar.warp.sync 0xffffffff;
        st.global.u32 [%h], %x;
    ";
    let expected: Vec<u32> = (0..64).map(|t| if t % 32 < 16 { t ^ 4 } else { t ^ 8 }).collect();
    assert_eq!(case(64, text).passes()[..64], expected);
}

#[test]
fn sixteen_bits_a_thread_in_place() {
    let text = "
        .reg .b16 %e;
        mov.u32 %s, tile;
        mad.lo.u32 %s, %t, 2, %s;
        st.shared.u16 [%s], %t;
        ld.shared.u16 %x, [%s];
        add.u32 %x, %x, 1;
        st.shared.u16 [%s], %x;
        bar.sync 0;
        and.b32 %x, %t, 31;
        shl.b32 %x, %x, 2;
        ld.shared.u32 %x, [%x];
        st.global.u32 [%h], %x;
    ";
    let expected: Vec<u32> =
        (0..64).map(|t| (2 * (t % 32) + 1) | (2 * (t % 32) + 2) << 16).collect();
    assert_eq!(case(64, text).passes()[..64], expected);
}

#[test]
fn lanes_that_meet_on_both_sides_of_a_branch() {
    let text = "
        setp.lt.u32 %p, %lane, 16;
        st.shared.u32 [%s], %t;
        @%p bra low;
        bar.warp.sync 0xffffffff;
        bra met;
        low:
        bar.warp.sync 0xffffffff;
        bar.warp.sync 0x0000ffff;
        met:
        xor.b32 %x, %s, 64;
        ld.shared.u32 %x, [%x];
        bar.warp.sync 0xffffffff;
        st.global.u32 [%h], %x;
    ";
    let expected: Vec<u32> = (0..64).map(|t| t ^ 16).collect();
    assert_eq!(case(64, text).passes()[..64], expected);
}
