//! Barriers that not all reach, and instructions that lanes must execute together.

use ptx_emu::FaultKind::{BarrierDivergence, Deadlock, Limit, Uninitialised};

use crate::case::{Place, at, at_warp, case};

#[test]
fn a_barrier_for_half_of_a_warp() {
    let text = "
        setp.lt.u32 %p, %t, 48;
        - @%p bar.sync 0; // A
        + bar.sync 0;
        st.global.u32 [%h], %t;
    ";
    case(64, text).catches(BarrierDivergence, &[at(1, 0)], "have passed by");
}

#[test]
fn a_barrier_under_a_branch() {
    let text = "
        setp.ge.u32 %p, %lane, 10;
        - @%p bra after;
        bar.sync 0; // A
        after:
        add.u32 %x, %t, 1;
        st.global.u32 [%h], %x;
    ";
    case(32, text).catches(BarrierDivergence, &[at(0, 0)], "lanes 0xfffffc00");
}

#[test]
fn lanes_at_different_barriers() {
    let text = "
        setp.lt.u32 %p, %lane, 8;
        - @%p bra other;
        bar.sync 0; // A
        bra after;
        other:
        bar.sync 0; // B
        after:
        st.global.u32 [%h], %t;
    ";
    let place = Place { mark: "A", warp: 0, lane: Some(8), other: Some("B") };
    let places = [place, Place { warp: 1, ..place }];
    case(64, text).catches(BarrierDivergence, &places, "wait here for others of the warp");
}

#[test]
fn warps_that_count_differently() {
    let text = "
        setp.eq.u32 %p, %warp, 0;
        @%p bra first;
        - bar.sync 1, 96; // A
        + bar.sync 1, 64;
        bra after;
        first:
        bar.sync 1, 64; // B
        after:
    ";
    let a = Place { mark: "A", warp: 1, lane: None, other: Some("B") };
    let b = Place { mark: "B", warp: 0, lane: None, other: Some("A") };
    case(64, text).catches(BarrierDivergence, &[a, b], "but warp");
}

#[test]
fn a_warp_that_stays_away() {
    let text = "
        setp.eq.u32 %p, %warp, 2;
        - @%p bra after;
        bar.sync 3, 96; // A
        after:
        st.global.u32 [%h], %t;
    ";
    case(96, text).catches(Deadlock, &[at_warp(0)], "warp 1 waits at barrier 3");
}

#[test]
fn a_producer_that_does_not_wait_for_its_turn() {
    let text = "
        setp.eq.u32 %p, %warp, 1;
        @%p bra consumer;
        bar.arrive 1, 64;
        - bar.arrive 1, 64; // A
        + bar.arrive 2, 64;
        bra after;
        consumer:
        + bar.sync 1, 64;
        - bar.sync 2, 64; // B
        + bar.sync 2, 64;
        after:
    ";
    case(64, text).catches(BarrierDivergence, &[at_warp(0)], "again");
}

#[test]
fn a_barrier_number_that_differs_in_a_warp() {
    let text = "
        - and.b32 %x, %lane, 1;
        + mov.u32 %x, 1;
        bar.sync %x; // A
    ";
    case(64, text).catches(BarrierDivergence, &[at(0, 1), at(1, 1)], "barrier 1 of a barrier");
}

#[test]
fn a_shuffle_whose_mask_leaves_lanes_out() {
    let text = "
        mov.u32 %x, %t;
        - shfl.sync.bfly.b32 %y, %x, 1, 31, 0x0000ffff; // A
        + shfl.sync.bfly.b32 %y, %x, 1, 31, 0xffffffff;
        st.global.u32 [%h], %y;
    ";
    case(32, text).catches(BarrierDivergence, &[at(0, 16)], "leaves it out");
}

#[test]
fn a_shuffle_that_names_lanes_elsewhere() {
    let text = "
        setp.lt.u32 %p, %lane, 8;
        mov.u32 %y, 0;
        @%p bra after;
        - shfl.sync.idx.b32 %y, %t, 9, 31, 0xffffffff; // A
        + shfl.sync.idx.b32 %y, %t, 9, 31, 0xffffff00;
        after:
        bar.sync 0; // B
        st.global.u32 [%h], %y;
    ";
    let place = Place { mark: "A", warp: 0, lane: Some(8), other: Some("B") };
    case(32, text).catches(BarrierDivergence, &[place], "lanes 0x000000ff wait");
}

#[test]
fn members_that_name_each_other_differently() {
    let text = "
        setp.eq.u32 %p, %lane, 2;
        - selp.b32 %x, 0xf, 0xb, %p;
        + selp.b32 %x, 0x4, 0xb, %p;
        setp.gt.u32 %p, %lane, 3;
        @%p bra after;
        bar.warp.sync %x; // A
        after:
    ";
    case(32, text).catches(BarrierDivergence, &[at(0, 2)], "names lane 0, whose own is 0x0000000b");
}

#[test]
fn a_matrix_product_without_all_lanes() {
    let text = "
        .reg .f32 %f<8>;
        .reg .pred %gone;
        setp.gt.u32 %gone, %lane, 29;
        - @%gone exit;
        mov.f32 %f0, 0f00000000;
        mov.u32 %x, 0;
        mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f1, %f2, %f3, %f4}, {%x, %x}, {%x}, {%f0, %f0, %f0, %f0}; // A
        st.global.f32 [%h], %f4;
    ";
    case(32, text).catches(BarrierDivergence, &[at(0, 30)], "expected all 32 lanes");
}

#[test]
fn a_shuffle_from_a_lane_that_has_left() {
    let text = "
        setp.gt.u32 %p, %lane, 15;
        @%p exit;
        - shfl.sync.down.b32 %x, %t, 8, 31, 0xffff;
        + shfl.sync.down.b32 %x, %t, 8, 0x100f, 0xffff;
        add.u32 %x, %x, 1; // A
        st.global.u32 [%h], %x;
    ";
    case(32, text).catches(Uninitialised, &[at(0, 8)], "reads register %x");
}

#[test]
fn a_loop_without_end() {
    let text = "
        mov.u32 %n, 0;
        again:
        + add.u32 %n, %n, 1;
        + setp.lt.u32 %p, %n, 100;
        + @%p bra again;
        - bra again; // A
    ";
    case(32, text).limit(20_000).catches(Limit, &[at_warp(0)], "expected at most 20000");
}
