//! Addresses outside, astray, or of memory that is gone.

use ptx_emu::FaultKind::{Misaligned, OutOfBounds, UseAfterFree};

use crate::case::{at, case, put};

#[test]
fn a_load_past_the_end_of_an_allocation() {
    let text = "
        + setp.ge.u32 %p, %t, 40;
        + @%p bra done;
        ld.global.u32 %x, [%g]; // A
        st.global.u32 [%h], %x;
        done:
    ";
    case(64, text).setup(|gpu| [put(gpu, &[7u32; 40]), put(gpu, &[0u32; 64])]).catches(
        OutOfBounds,
        &[at(1, 8)],
        "of a 160-byte allocation",
    );
}

#[test]
fn a_store_before_the_start_of_an_allocation() {
    let text = "
        + setp.eq.u32 %p, %t, 0;
        + @%p bra done;
        st.global.u32 [%h+-4], %t; // A
        done:
    ";
    case(32, text).catches(OutOfBounds, &[at(0, 0)], "4 bytes before a 4096-byte allocation");
}

#[test]
fn an_address_from_nowhere() {
    let text = "
        setp.lt.u32 %p, %t, 9;
        - selp.b64 %h, %h, 0xffffffffffffffff, %p;
        st.global.u8 [%h], %t; // A
    ";
    case(32, text).catches(OutOfBounds, &[at(0, 9)], "no allocation is near");
}

#[test]
fn a_store_past_the_end_of_shared_memory() {
    let text = "
        mov.u32 %s, tile;
        - mad.lo.u32 %s, %t, 100, %s;
        + mad.lo.u32 %s, %t, 64, %s;
        st.shared.u32 [%s], %t; // A
    ";
    case(64, text).catches(OutOfBounds, &[at(1, 9)], "the CTA has 4096 bytes");
}

#[test]
fn a_load_past_the_end_of_local_memory() {
    let text = "
        .local .align 4 .b8 own[16];
        .reg .b64 %l;
        mov.u64 %l, own;
        + and.b32 %lane, %lane, 3;
        mul.wide.u32 %w, %lane, 4;
        add.u64 %l, %l, %w;
        st.local.u32 [%l], %t; // A
    ";
    case(32, text).catches(OutOfBounds, &[at(0, 4)], "the thread has 16 bytes");
}

#[test]
fn a_vector_load_that_is_not_aligned() {
    let text = "
        .reg .f32 %f<4>;
        + mul.wide.u32 %w, %t, 16;
        + add.u64 %g, %in, %w;
        ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%g]; // A
    ";
    case(32, text).catches(Misaligned, &[at(0, 1)], "expected a multiple of 16");
}

#[test]
fn rows_of_ldmatrix_that_are_not_aligned() {
    let text = "
        shl.b32 %x, %t, 5;
        st.shared.v4.u32 [%x], {%t, %t, %t, %t};
        st.shared.v4.u32 [%x+16], {%t, %t, %t, %t};
        bar.sync 0;
        - mul.lo.u32 %x, %lane, 24;
        + mul.lo.u32 %x, %lane, 32;
        ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%x, %y, %z, %n}, [%x]; // A
        st.global.u32 [%h], %n;
    ";
    case(32, text).catches(Misaligned, &[at(0, 1)], "ldmatrix");
}

#[test]
fn an_atomic_that_is_not_aligned() {
    let text = "
        - add.u64 %h, %h, 2;
        red.global.add.u32 [%h], 1; // A
    ";
    case(32, text).catches(Misaligned, &[at(0, 0)], "atomic of 4 bytes");
}

#[test]
fn memory_that_was_freed() {
    let text = "
        - ld.global.u32 %x, [%g]; // A
        + mov.u32 %x, 0;
        st.global.u32 [%h], %x;
    ";
    let setup = |gpu: &ptx_emu::Gpu| {
        let input = put(gpu, &[1u32; 64]);
        gpu.free(input).unwrap();
        [input, put(gpu, &[0u32; 64])]
    };
    case(64, text).setup(setup).catches(
        UseAfterFree,
        &[at(0, 0), at(1, 0)],
        "bytes into a freed allocation of 256 bytes",
    );
}

#[test]
fn a_store_to_constant_memory() {
    let text = "
        mov.u64 %w, table;
        setp.ne.u32 %p, %t, 5;
        - cvta.const.u64 %w, %w;
        + mov.u64 %w, %h;
        @!%p st.u32 [%w], %t; // A
    ";
    case(32, text).catches(OutOfBounds, &[at(0, 5)], "store to `table`, which is read-only");
}
