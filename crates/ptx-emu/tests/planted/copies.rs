//! `cp.async` whose destination is used too early, or again too early.

use ptx_emu::FaultKind::{Misaligned, OutOfBounds, SharedRace, Uninitialised};

use crate::case::{Place, at, case, either, put};

#[test]
fn a_copy_that_nobody_waits_for() {
    let text = "
        cp.async.ca.shared.global [%s], [%g], 4; // B
        cp.async.commit_group;
        + cp.async.wait_group 0;
        ld.shared.u32 %x, [%s]; // A
        st.global.u32 [%h], %x;
    ";
    let place = Place { mark: "A", warp: 0, lane: Some(0), other: Some("B") };
    case(32, text).catches(SharedRace, &[place], "is on its way there");
}

#[test]
fn a_wait_for_the_group_before() {
    let text = "
        cp.async.ca.shared.global [%s], [%g], 4;
        cp.async.commit_group;
        cp.async.ca.shared.global [%s+2048], [%g], 4; // B
        cp.async.commit_group;
        - cp.async.wait_group 1;
        + cp.async.wait_group 0;
        ld.shared.u32 %x, [%s];
        ld.shared.u32 %y, [%s+2048]; // A
        add.u32 %x, %x, %y;
        st.global.u32 [%h], %x;
    ";
    let place = Place { mark: "A", warp: 0, lane: Some(0), other: Some("B") };
    case(32, text).catches(SharedRace, &[place], "is on its way there");
}

#[test]
fn a_copy_that_was_never_committed() {
    let text = "
        cp.async.ca.shared.global [%s], [%g], 4;
        + cp.async.commit_group;
        cp.async.wait_group 0;
        ld.shared.u32 %x, [%s]; // A
        st.global.u32 [%h], %x;
    ";
    case(32, text).catches(SharedRace, &[at(0, 0)], "is on its way there");
}

#[test]
fn no_meeting_after_the_wait() {
    let text = "
        cp.async.ca.shared.global [%s], [%g], 4; // B
        cp.async.wait_all;
        + bar.warp.sync 0xffffffff;
        xor.b32 %x, %s, 4;
        ld.shared.u32 %x, [%x]; // A
        st.global.u32 [%h], %x;
    ";
    let place = Place { mark: "A", warp: 0, lane: Some(0), other: Some("B") };
    case(32, text).catches(SharedRace, &[place], "lane 1 of the same warp wrote");
}

#[test]
fn no_barrier_after_the_wait() {
    // Thread 0 has waited for its copy long before thread 32 reads it: the barrier of another pair
    // of warps does not help.
    let text = "
        setp.eq.u32 %p, %t, 0;
        @%p cp.async.ca.shared.global [%s], [%g], 4; // A
        cp.async.wait_all;
        + bar.sync 0;
        setp.eq.u32 %p, %t, 32;
        - @%p st.shared.u32 [tile], 5; // B
        + @%p ld.shared.u32 %x, [tile];
    ";
    case(64, text).catches(SharedRace, &either((0, 0), (1, 0)), "at 0x0");
}

#[test]
fn a_buffer_that_is_filled_again_while_others_read() {
    let text = "
        st.shared.u32 [%s], %t;
        bar.sync 0;
        setp.eq.u32 %p, %t, 40;
        @%p ld.shared.u32 %x, [tile]; // A
        + bar.sync 0;
        setp.eq.u32 %p, %t, 0;
        @%p cp.async.ca.shared.global [%s], [%g], 4; // B
        cp.async.wait_all;
    ";
    case(64, text).catches(SharedRace, &either((1, 8), (0, 0)), "at 0x0");
}

#[test]
fn a_copy_from_past_the_end() {
    let text = "
        mul.wide.u32 %w, %t, 16;
        add.u64 %g, %in, %w;
        mul.lo.u32 %s, %t, 16;
        setp.lt.u32 %p, %t, 5;
        selp.u32 %n, 16, 8, %p;
        - cp.async.cg.shared.global [%s], [%g], 16; // A
        + cp.async.cg.shared.global [%s], [%g], 16, %n;
        cp.async.wait_all;
    ";
    case(6, text).setup(|gpu| [put(gpu, &[7u32; 22]), put(gpu, &[0u32; 4])]).catches(
        OutOfBounds,
        &[at(0, 5)],
        "copy of 16 bytes",
    );
}

#[test]
fn copies_that_are_not_aligned() {
    let source = "
        - add.u64 %g, %in, 8;
        + add.u64 %g, %in, 16;
        cp.async.cg.shared.global [tile], [%g], 16; // A
    ";
    case(1, source).catches(Misaligned, &[at(0, 0)], "expected a multiple of 16");
    let target = "
        - cp.async.cg.shared.global [tile+8], [%in], 16; // A
        + cp.async.cg.shared.global [tile+16], [%in], 16;
    ";
    case(1, target).catches(Misaligned, &[at(0, 0)], "expected a multiple of 16");
}

#[test]
fn a_copy_of_what_nobody_wrote() {
    let text = "
        + setp.lt.u32 %p, %t, 8;
        + @!%p bra after;
        cp.async.ca.shared.global [%s], [%g], 4; // A
        after:
        cp.async.wait_all;
    ";
    let setup = |gpu: &ptx_emu::Gpu| {
        let input = gpu.alloc(128).unwrap();
        gpu.write(input, &[1; 32]).unwrap();
        [input, put(gpu, &[0u32; 4])]
    };
    case(32, text).setup(setup).catches(Uninitialised, &[at(0, 8)], "never written");
}
