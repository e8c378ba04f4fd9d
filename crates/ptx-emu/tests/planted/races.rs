//! Accesses of shared memory that nothing orders.

use ptx_emu::FaultKind::SharedRace;

use crate::case::{at, case, either};

#[test]
fn no_barrier_between_a_write_and_a_read() {
    let text = "
        st.shared.u32 [%s], %t;
        bar.sync 0;
        setp.eq.u32 %p, %t, 3;
        @%p st.shared.u32 [tile+160], 7; // A
        + bar.sync 0;
        setp.eq.u32 %p, %t, 37;
        @%p ld.shared.u32 %x, [tile+160]; // B
        @%p st.global.u32 [%h], %x;
    ";
    case(64, text).catches(SharedRace, &either((0, 3), (1, 5)), "at 0xa0");
}

#[test]
fn no_barrier_between_a_read_and_a_write() {
    let text = "
        st.shared.u32 [%s], %t;
        bar.sync 0;
        setp.eq.u32 %p, %t, 37;
        @%p ld.shared.u32 %x, [tile+160]; // A
        + bar.sync 0;
        setp.eq.u32 %q, %t, 3;
        @%q st.shared.u32 [tile+160], 7; // B
        @%p st.global.u32 [%h], %x;
    ";
    case(64, text).catches(SharedRace, &either((1, 5), (0, 3)), "at 0xa0");
}

#[test]
fn no_barrier_between_two_writes() {
    let text = "
        setp.eq.u32 %p, %t, 3;
        @%p st.shared.u32 [tile+8], 7; // A
        + bar.sync 0;
        setp.eq.u32 %p, %t, 70;
        @%p st.shared.u32 [tile+8], 8; // B
    ";
    case(96, text).catches(SharedRace, &either((0, 3), (2, 6)), "at 0x8");
}

#[test]
fn a_byte_of_a_neighbour() {
    // Bytes side by side are apart; the same byte is not.
    let text = "
        setp.eq.u32 %p, %t, 0;
        @%p st.shared.u8 [tile+4], 1; // A
        setp.eq.u32 %p, %t, 32;
        - @%p st.shared.u16 [tile+4], 2; // B
        + @%p st.shared.u16 [tile+6], 2;
    ";
    case(64, text).catches(SharedRace, &either((0, 0), (1, 0)), "at 0x4");
}

#[test]
fn an_exchange_in_a_warp_without_meeting() {
    let text = "
        st.shared.u32 [%s], %t; // B
        + bar.warp.sync 0xffffffff;
        xor.b32 %x, %s, 4;
        ld.shared.u32 %y, [%x]; // A
        st.global.u32 [%h], %y;
    ";
    case(32, text).catches(SharedRace, &[at(0, 0)], "lane 1 of the same warp wrote");
}

#[test]
fn a_write_over_what_another_lane_reads() {
    let text = "
        st.shared.u32 [%s], %t;
        bar.sync 0;
        xor.b32 %x, %s, 4;
        ld.shared.u32 %y, [%x]; // B
        + bar.warp.sync 0xffffffff;
        st.shared.u32 [%s], %y; // A
    ";
    case(64, text).catches(SharedRace, &[at(0, 0), at(1, 0)], "of the same warp read");
}

#[test]
fn lanes_that_store_different_values_at_one_place() {
    let text = "
        shr.u32 %x, %lane, 1;
        - shl.b32 %y, %x, 2;
        - st.shared.u32 [%y], %t; // A
        + shl.b32 %y, %x, 2;
        + st.shared.u32 [%y], %x;
    ";
    case(32, text).catches(SharedRace, &[at(0, 1)], "lane 0 of the same warp wrote");
}

#[test]
fn a_named_barrier_that_one_warp_does_not_share() {
    // Warps 0 and 1 meet at barrier 1; warp 2 reads what warp 0 wrote without having met it.
    let text = "
        setp.lt.u32 %p, %warp, 2;
        st.shared.u32 [%s], %t;
        bar.sync 0;
        setp.eq.u32 %q, %t, 5;
        @%q st.shared.u32 [%s], 9; // A
        - @%p bar.sync 1, 64;
        + bar.sync 1, 96;
        setp.eq.u32 %q, %t, 64;
        @%q ld.shared.u32 %x, [tile+20]; // B
    ";
    case(96, text).catches(SharedRace, &either((0, 5), (2, 0)), "at 0x14");
}

#[test]
fn a_flag_that_is_not_strong() {
    let text = "
        setp.ne.u32 %q, %t, 0;
        @!%q st.shared.u32 [tile+128], 0;
        bar.sync 0;
        setp.eq.u32 %p, %t, 32;
        - @!%q st.shared.u32 [tile+128], 1; // A
        - @%p ld.shared.u32 %x, [tile+128]; // B
        + @!%q st.volatile.shared.u32 [tile+128], 1;
        + @%p ld.volatile.shared.u32 %x, [tile+128];
        bar.sync 0;
    ";
    case(64, text).catches(SharedRace, &either((0, 0), (1, 0)), "at 0x80");
}

#[test]
fn a_tile_that_is_overwritten_while_others_load_it() {
    // Lanes 0 and 4 both receive an element of the first word, which lane 0 writes next.
    let text = "
        shl.b32 %x, %t, 4;
        st.shared.v4.u32 [%x], {%t, %t, %t, %t};
        bar.sync 0;
        ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%x, %y, %z, %n}, [%x]; // B
        + bar.warp.sync 0xffffffff;
        setp.eq.u32 %p, %t, 0;
        @%p st.shared.u32 [tile], 9; // A
        st.global.u32 [%h], %n;
    ";
    case(32, text).catches(SharedRace, &[at(0, 0)], "other lanes of the same warp read");
}
