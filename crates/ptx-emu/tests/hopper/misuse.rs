//! Bulk copies that the hardware does not take.

use ptx_emu::{FaultKind, LaunchConfig};

use crate::harness::{Bench, expect_fault, line_of};

const HEAD: &str = "
    .shared .align 8 .b64 object[2];
    .shared .align 128 .b32 data[64];
    .reg .pred %p, %q;
    .reg .b32 %x;
    .reg .b16 %mask;
    .reg .b64 %in, %out;
    ld.param.u64 %in, [in];
    ld.param.u64 %out, [out];
    mov.u32 %x, %tid.x;
    setp.ne.u32 %p, %x, 9;
    @%p exit;
    mbarrier.init.shared::cta.b64 [object], 1;
";

/// Each misuse by lane 9, its fault, and words of its text.
#[test]
fn misuse_names_line_and_lane() {
    use FaultKind::{Misaligned, OutOfBounds, Uninitialised, Unsupported};
    let load = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes";
    let store = "cp.async.bulk.global.shared::cta.bulk_group";
    let cases = [
        (format!("{load} [data], [%in], 20, [object];"), Misaligned, "a multiple of 16"),
        (format!("{load} [data], [%in+8], 16, [object];"), Misaligned, "global address"),
        (format!("{load} [data+8], [%in], 16, [object];"), Misaligned, "a multiple of 16"),
        (format!("{load} [data], [%in], 16, [object+4];"), Misaligned, "a multiple of 8"),
        (format!("{load} [data], [%in], 16, [object+8];"), Uninitialised, "never initialised"),
        (format!("{load} [data+128], [%in], 256, [object];"), OutOfBounds, "shared offset"),
        (format!("{load} [data], [%in+128], 160, [object];"), OutOfBounds, "32 bytes past the end"),
        (format!("{load} [data], [%out], 32, [object];"), Uninitialised, "never written"),
        (
            format!("{load}.multicast::cluster [data], [%in], 16, [object], 2;"),
            Unsupported,
            "expected some of the 1 CTAs",
        ),
        (format!("{store} [%out+4], [data], 16;"), Misaligned, "global address"),
        (format!("{store} [%out], [data+4], 16;"), Misaligned, "a multiple of 16"),
        (format!("{store} [%out], [data], 8;"), Misaligned, "a multiple of 16"),
        (format!("{store} [%out+240], [data], 32;"), OutOfBounds, "past the end"),
        (
            "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%out], [data], 16;"
                .to_owned(),
            Uninitialised,
            "never written",
        ),
    ];
    for (form, kind, words) in cases {
        let body = format!("{HEAD}    {form}\n");
        let bench = Bench::kernel(0, ".param .u64 in, .param .u64 out", &body);
        let from = bench.gpu.upload(&[1u32; 64]).unwrap();
        let to = bench.gpu.alloc(256).unwrap();
        let result = bench.launch(LaunchConfig::linear(1, 32), &[from.into(), to.into()]);
        let fault = expect_fault(result, kind, &[words]);
        assert_eq!(fault.lane, Some(9), "{form}: {fault}");
        assert_eq!(fault.line, Some(line_of(&body, &form)), "{form}: {fault}");
    }
}

#[test]
fn a_source_that_nobody_wrote_is_found_when_the_copy_lands() {
    let body = format!(
        "{HEAD}    cp.async.bulk.global.shared::cta.bulk_group [%out], [data], 16;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group 0;\n"
    );
    let bench = Bench::kernel(0, ".param .u64 in, .param .u64 out", &body);
    let to = bench.gpu.alloc(256).unwrap();
    let result = bench.launch(LaunchConfig::linear(1, 32), &[to.into(), to.into()]);
    let copy = format!("the copy of line {}", line_of(&body, "cp.async.bulk.global"));
    expect_fault(result, FaultKind::Uninitialised, &[&copy, "never written"]);
}

/// Forms that the interpreter does not have are refused when the file is read.
#[test]
fn unknown_forms_are_refused() {
    let forms = [
        "cp.async.bulk.shared::cluster.global [data], [%in], 16, [object];",
        "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes.multicast::cluster [data], [%in], 16, [object], 1;",
        "cp.async.bulk.global.shared::cta.bulk_group.cp_mask [%out], [data], 16, %mask;",
        "cp.async.bulk.global.shared::cta [%out], [data], 16;",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f16 [%out], [data], 16;",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.max.f32 [%out], [data], 16;",
        "cp.async.bulk.tensor.2d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [data], [%in, {%x, %x}], [object], {%mask};",
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [data], [%in, {%x}], [object];",
        "mbarrier.arrive.shared::cluster.b64 %out, [object];",
        "wgmma.fence;",
        "setmaxnreg.inc.sync.aligned.u32 100;",
        "setmaxnreg.dec.sync.aligned.u32 16;",
    ];
    for form in forms {
        let source = format!(
            ".version 8.6\n.target sm_90a\n.address_size 64\n\
             .visible .entry test(.param .u64 in, .param .u64 out)\n{{\n{HEAD}    {form}\n    ret;\n}}\n"
        );
        let error = ptx_emu::Module::parse("test.ptx", &source).map(|_| ()).expect_err(form);
        let line = source.lines().position(|line| line.contains(form)).unwrap() + 1;
        assert!(error.to_string().starts_with(&format!("test.ptx:{line}:")), "{form}: {error}");
    }
}
