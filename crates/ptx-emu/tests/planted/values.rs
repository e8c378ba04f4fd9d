//! Values that nothing has written.

use ptx_emu::FaultKind::Uninitialised;

use crate::case::{at, case, put};

#[test]
fn global_memory_that_was_not_written() {
    let text = "
        + st.global.u32 [%g], 1;
        ld.global.u32 %x, [%g]; // A
        st.global.u32 [%h], %x;
    ";
    let setup = |gpu: &ptx_emu::Gpu| {
        let input = gpu.alloc(128).unwrap();
        gpu.write(input, &[0; 80]).unwrap();
        [input, put(gpu, &[0u32; 32])]
    };
    case(32, text).setup(setup).catches(Uninitialised, &[at(0, 20)], "offset 80 of 128 bytes");
}

#[test]
fn shared_memory_that_was_not_written() {
    let text = "
        setp.lt.u32 %p, %t, 35;
        - @%p st.shared.u32 [%s], %t;
        + st.shared.u32 [%s], %t;
        bar.sync 0;
        ld.shared.u32 %x, [%s]; // A
        st.global.u32 [%h], %x;
    ";
    case(64, text).catches(Uninitialised, &[at(1, 3)], "was never written");
}

#[test]
fn half_of_a_word_that_was_not_written() {
    let text = "
        st.shared.u16 [%s], 1;
        - ld.shared.u32 %x, [%s]; // A
        + ld.shared.u16 %x, [%s];
        st.global.u32 [%h], %x;
    ";
    case(32, text).catches(Uninitialised, &[at(0, 0)], "byte 0x2 was never written");
}

#[test]
fn local_memory_that_was_not_written() {
    let text = "
        .local .align 4 .b8 own[16];
        st.local.u32 [own], %t;
        - ld.local.u32 %x, [own+4]; // A
        + ld.local.u32 %x, [own];
        st.global.u32 [%h], %x;
    ";
    case(32, text).catches(Uninitialised, &[at(0, 0)], "was never written");
}

#[test]
fn a_register_that_was_not_written() {
    let text = "
        setp.lt.u32 %p, %t, 38;
        - @%p mov.u32 %x, 1;
        + mov.u32 %x, 1;
        add.u32 %y, %x, %t; // A
        st.global.u32 [%h], %y;
    ";
    case(64, text).catches(Uninitialised, &[at(1, 6)], "reads register %x");
}

#[test]
fn a_predicate_that_was_not_written() {
    let text = "
        + setp.eq.u32 %q, %t, 1;
        @%q mov.u32 %x, 1; // A
        st.global.u32 [%h], %t;
    ";
    case(32, text).catches(Uninitialised, &[at(0, 0)], "reads register %q");
}

#[test]
fn bytes_of_a_vector_that_do_not_count() {
    // Words 1 and 2 of each four are never written. The pragma says that they are not used.
    let text = "
        mul.lo.u32 %s, %t, 16;
        st.shared.u32 [%s], %t;
        st.shared.u32 [%s+12], %t;
        - .pragma \"used_bytes_mask 0xff0f\";
        + .pragma \"used_bytes_mask 61455\";
        ld.shared.v4.u32 {%x, %y, %z, %n}, [%s]; // A
        add.u32 %x, %x, %n;
        st.global.u32 [%h], %x;
    ";
    let case = case(32, text);
    case.catches(Uninitialised, &[at(0, 0)], "was never written");
    let expected: Vec<u32> = (0..32).map(|thread| 2 * thread).collect();
    assert_eq!(case.passes()[..32], expected);
}

#[test]
fn global_bytes_of_a_vector_that_do_not_count() {
    let text = "
        mul.wide.u32 %w, %t, 16;
        add.u64 %g, %in, %w;
        st.global.u16 [%g+2], %t;
        st.global.v2.u32 [%g+8], {%t, 5};
        - .pragma \"used_bytes_mask 0xff0e\";
        + .pragma \"used_bytes_mask 0xff0c\";
        ld.global.v4.u32 {%x, %y, %z, %n}, [%g]; // A
        shr.u32 %x, %x, 16;
        add.u32 %x, %x, %z;
        add.u32 %x, %x, %n;
        st.global.u32 [%h], %x;
    ";
    let setup = |gpu: &ptx_emu::Gpu| [gpu.alloc(512).unwrap(), put(gpu, &[0u32; 32])];
    let case = case(32, text).setup(setup);
    case.catches(Uninitialised, &[at(0, 0)], "never written");
    let expected: Vec<u32> = (0..32).map(|thread| 2 * thread + 5).collect();
    assert_eq!(case.passes()[..32], expected);
}
