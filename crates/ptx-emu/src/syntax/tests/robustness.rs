//! Broken texts: an error or a tree, never a panic, and the error's place lies in the text.

use proptest::prelude::*;

use super::super::parse;

/// One of everything.
const SAMPLE: &str = r#".version 8.0
.target sm_90a, debug
.address_size 64
.file 1 "k.cu"
.extern .shared .align 16 .b8 dyn[];
.global .align 8 .u64 table[2][2] = {{generic(dyn)+4, dyn}, {-1, 0x10 * (2 + 3)}};
.func (.param .b32 out) f(.reg .u32 %x) { ret; }
.visible .entry k(.param .u64 .ptr .global .align 16 p)
.maxntid 128, 1, 1
{
    .reg .b32 %r<10>;
    .loc 1 2 3, function_name $L__info_string0, inlined_at 1 2 3
    { // a scope
    call.uni (out), f, (%r1, 5);
    }
$L__BB0_2:
    @!%p ld.global.L1::no_allocate.v2.f32 {%a, _}, [%at+-8];
    setp.lt.and.f32 %p|%q, %a, 0f3F800000, !%c; /* two results */
    cp.async.bulk.tensor.2d [tile], [%map, {%x, %y}], [mbar];
    mov.f64 %d, -1.5e-3;
    ret;
}
.section .debug_str { .b8 1,2 }
"#;

fn check(text: &str) {
    if let Err(error) = parse("test.ptx", text) {
        let lines = text.split('\n').count();
        let line = text.split('\n').nth(error.line() as usize - 1);
        let width = line.map(|line| line.chars().count());
        assert!(error.line() as usize <= lines, "{error}");
        assert!(width.is_some_and(|width| error.column() as usize <= width + 1), "{error}");
    }
}

#[test]
fn sample_is_well_formed() {
    if let Err(error) = parse("test.ptx", SAMPLE) {
        panic!("{error}");
    }
}

#[test]
fn every_cut_is_survived() {
    for end in 0..SAMPLE.len() {
        check(&SAMPLE[..end]);
    }
}

#[test]
fn every_lost_byte_is_survived() {
    for lost in 0..SAMPLE.len() {
        check(&format!("{}{}", &SAMPLE[..lost], &SAMPLE[lost + 1..]));
    }
}

proptest! {
    #[test]
    fn any_inserted_text_is_survived(at in 0..SAMPLE.len(), text in "[ -~\n\u{e4}]{1,4}") {
        check(&format!("{}{text}{}", &SAMPLE[..at], &SAMPLE[at..]));
    }

    #[test]
    fn any_two_pieces_are_survived(a in 0..SAMPLE.len(), b in 0..SAMPLE.len()) {
        check(&format!("{}{}", &SAMPLE[..a], &SAMPLE[b..]));
    }
}
