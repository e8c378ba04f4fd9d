//! Global memory that CTAs share without order.

use ptx_emu::FaultKind::GlobalRace;

use crate::case::{Place, case, either};

#[test]
fn a_cta_reads_what_another_writes() {
    let text = "
        setp.ne.u32 %p, %t, 0;
        @%p bra after;
        setp.eq.u32 %q, %cta, 0;
        @%q st.global.u32 [%in+64], 7; // A
        - @!%q ld.global.u32 %x, [%in+64]; // B
        + @!%q ld.global.u32 %x, [%in+68];
        after:
    ";
    case(32, text).grid(2).catches(GlobalRace, &either((0, 0), (0, 0)), "with no fence between");
}

#[test]
fn ctas_that_write_the_same_word() {
    let text = "
        setp.ne.u32 %p, %t, 33;
        setp.eq.u32 %q, %cta, 0;
        @%p bra after;
        @!%q bra other;
        st.global.u32 [%out], 7; // A
        bra after;
        other:
        - st.global.u32 [%out], 8; // B
        + st.global.u32 [%out+4], 8;
        after:
    ";
    case(64, text).grid(2).catches(GlobalRace, &either((1, 1), (1, 1)), "wrote");
}

/// CTA 0 hands word 64 of `%out` to CTA 1 by a flag in word 0.
const HAND_OVER: &str = "
    setp.ne.u32 %p, %t, 0;
    @%p bra after;
    setp.eq.u32 %q, %cta, 0;
    @!%q bra wait;
    st.global.u32 [%out+256], 7; // A
    + membar.gl;
    st.volatile.global.u32 [%out], 1;
    bra after;
    wait:
    ld.volatile.global.u32 %x, [%out];
    setp.eq.u32 %p, %x, 0;
    @%p bra wait;
    + fence.acq_rel.gpu;
    ld.global.u32 %x, [%out+256]; // B
    st.global.u32 [%out+4], %x;
    after:
";

#[test]
fn a_flag_without_fences() {
    let place = Place { mark: "B", warp: 0, lane: Some(0), other: Some("A") };
    let case = case(32, HAND_OVER).grid(2).cooperative();
    case.catches(GlobalRace, &[place], "that cta (0,0,0) wrote");
    assert_eq!(case.passes()[1], 7);
}

#[test]
fn a_flag_without_the_fence_of_the_reader() {
    let text = "
        setp.ne.u32 %p, %t, 0;
        @%p bra after;
        setp.eq.u32 %q, %cta, 0;
        @!%q bra wait;
        st.global.u32 [%out+256], 7; // A
        st.release.gpu.global.u32 [%out], 1;
        bra after;
        wait:
        - ld.relaxed.gpu.global.u32 %x, [%out];
        + ld.acquire.gpu.global.u32 %x, [%out];
        setp.eq.u32 %p, %x, 0;
        @%p bra wait;
        ld.global.u32 %x, [%out+256]; // B
        after:
    ";
    let place = Place { mark: "B", warp: 0, lane: Some(0), other: Some("A") };
    case(32, text).grid(2).cooperative().catches(GlobalRace, &[place], "that cta (0,0,0) wrote");
}

#[test]
fn an_atomic_on_a_word_that_another_cta_stored() {
    let text = "
        setp.ne.u32 %p, %t, 0;
        @%p bra after;
        setp.eq.u32 %q, %cta, 0;
        @!%q bra wait;
        - st.global.u32 [%out+256], 7; // A
        + st.relaxed.gpu.global.u32 [%out+256], 7;
        st.volatile.global.u32 [%out], 1;
        bra after;
        wait:
        ld.volatile.global.u32 %x, [%out];
        setp.eq.u32 %p, %x, 0;
        @%p bra wait;
        red.global.add.u32 [%out+256], 1; // B
        after:
    ";
    let place = Place { mark: "B", warp: 0, lane: Some(0), other: Some("A") };
    let case = case(32, text).grid(2).cooperative();
    case.catches(GlobalRace, &[place], "updates global memory");
    assert_eq!(case.passes()[64], 8);
}
