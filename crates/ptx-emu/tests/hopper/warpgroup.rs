//! What a warpgroup must not do.

use ptx_emu::{Arg, Counters, Fault, FaultKind, LaunchConfig};

use crate::harness::{Bench, SEEDS, expect_fault, line_of};
use crate::layout::{Kind, Layout};
use crate::products::{Case, Left, Operands, PARAMS, body, operands};

const CASE: Case = Case {
    kind: Kind::Bf16,
    columns: 16,
    a: Left::Shared(Layout { transposed: false, span: 128 }),
    b: Layout { transposed: false, span: 128 },
    negate_a: false,
    negate_b: false,
    accumulates: true,
};

const FROM_REGISTERS: Case = Case { a: Left::Registers, ..CASE };

fn run(case: &Case, body: &str, seed: u64, threads: u32) -> Result<Counters, Fault> {
    let Operands { raw, fragments, a, b } = operands(case);
    let bench = Bench::kernel(seed, PARAMS, body);
    let raw = bench.gpu.upload(&raw).unwrap();
    let c = bench.gpu.upload(&vec![0f32; 256 * 8]).unwrap();
    let fragments = bench.gpu.upload(&[fragments.clone(), fragments].concat()).unwrap();
    let arguments: [Arg; 6] =
        [raw.into(), c.into(), fragments.into(), a.into(), b.into(), 1u32.into()];
    bench.launch(LaunchConfig::linear(1, threads).with_shared(65536), &arguments)
}

/// Each planted bug, its fault, and words of its text; found under every seed.
#[test]
fn planted_bugs_are_found_under_every_seed() {
    use FaultKind::{BarrierDivergence, OutOfBounds, SharedRace, Uninitialised, Unsupported};
    let fence = "    wgmma.fence.sync.aligned;\n";
    let commit = "    wgmma.commit_group.sync.aligned;\n";
    let wait = "    wgmma.wait_group.sync.aligned 0;\n";
    let proxy = "    fence.proxy.async.shared::cta;\n";
    let cases: &[(&Case, &str, String, FaultKind, &str)] = &[
        (&CASE, proxy, String::new(), SharedRace, "hint: fence.proxy.async"),
        (&CASE, "    bar.sync 0;\n", String::new(), SharedRace, "with no barrier between"),
        (&CASE, wait, String::new(), Uninitialised, "before its matrix product is there"),
        (&CASE, commit, String::new(), Uninitialised, "hint: wgmma.wait_group"),
        (&CASE, wait, "    wgmma.wait_group.sync.aligned 1;\n".to_owned(), Uninitialised, "%d0"),
        (&CASE, fence, String::new(), Unsupported, "hint: wgmma.fence"),
        (
            &CASE,
            fence,
            format!("{fence}    add.f32 %d3, %d3, 0f3F800000;\n"),
            Unsupported,
            "wgmma.fence",
        ),
        (
            &CASE,
            commit,
            format!("{commit}    mov.f32 %d2, 0f00000000;\n"),
            Unsupported,
            "accumulator",
        ),
        (
            &CASE,
            commit,
            format!("{commit}    st.shared.u32 [%at+-65536], 0;\n"),
            SharedRace,
            "the product of line",
        ),
        (
            &FROM_REGISTERS,
            fence,
            format!("{fence}    add.u32 %a1, %a1, 1;\n"),
            Unsupported,
            "wgmma.fence",
        ),
        (
            &FROM_REGISTERS,
            commit,
            format!("{commit}    add.u32 %a1, %a1, 1;\n"),
            Unsupported,
            "fragment of A",
        ),
        (&CASE, fence, format!("{fence}    add.u64 %bd, %bd, 8;\n"), Unsupported, "base offset 0"),
        (
            &CASE,
            fence,
            format!("{fence}    or.b64 %bd, %bd, 16384;\n"),
            Unsupported,
            "outside its fields",
        ),
        (
            &CASE,
            fence,
            format!("{fence}    add.u64 %bd, %bd, 2048;\n"),
            OutOfBounds,
            "the CTA has 65536 bytes",
        ),
        (
            &CASE,
            fence,
            format!("{fence}    setp.lt.u32 %q, %t, 96;\n    @%q exit;\n"),
            BarrierDivergence,
            "four whole warps",
        ),
        (
            &CASE,
            fence,
            format!("{fence}    setp.eq.u32 %q, %t, 77;\n    @%q exit;\n"),
            BarrierDivergence,
            "whole warps",
        ),
        (
            &CASE,
            fence,
            format!(
                "{fence}    shr.u32 %x, %t, 5;\n    cvt.u64.u32 %wide, %x;\n    add.u64 %bd, %bd, %wide;\n"
            ),
            BarrierDivergence,
            "the same for all four",
        ),
        (
            &CASE,
            fence,
            format!("{fence}    setp.ne.u32 %accumulates, %t, 40;\n"),
            BarrierDivergence,
            "scale-d",
        ),
    ];
    for (case, from, to, kind, words) in cases {
        let plain = body(case, 2);
        let spoilt = plain.replacen(from, to, 1);
        assert_ne!(spoilt, plain);
        for seed in SEEDS {
            run(case, &plain, seed, 128).unwrap_or_else(|fault| panic!("{fault}"));
            let fault = run(case, &spoilt, seed, 128).expect_err(words);
            assert_eq!(fault.kind, *kind, "{to}: {fault}");
            assert!(fault.detail.contains(words), "{to}: {fault}");
        }
    }
}

#[test]
fn half_a_warpgroup_does_not_multiply() {
    let plain = body(&CASE, 1).replace("512;", "256;");
    expect_fault(run(&CASE, &plain, 0, 64), FaultKind::BarrierDivergence, &["four whole warps"]);
}

#[test]
fn two_warpgroups_multiply_side_by_side() {
    let body = body(&CASE, 1);
    for seed in SEEDS {
        let fill = "    add.u64 %raw, %raw, 512;\n    add.u32 %at, %at, 512;\n";
        let both = body.replace(fill, &fill.replace("512", "1024"));
        assert_ne!(both, body);
        let counters = run(&CASE, &both, seed, 256).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(counters.mma_flop, 2 * 2 * 64 * 16 * 16);
    }
}

/// A later product's operands may be overwritten only when that product is waited for.
#[test]
fn a_buffer_is_free_when_its_own_product_is_waited_for() {
    let product = body(&CASE, 1);
    let commit = "    wgmma.commit_group.sync.aligned;\n";
    let issue = product.lines().find(|line| line.contains("mma_async")).unwrap();
    let two = format!("{commit}{issue}\n{commit}");
    let wait = |latest: u32| format!("    wgmma.wait_group.sync.aligned {latest};\n");
    let write = "    bar.sync 0;\n    st.shared.u32 [%at+-65536], 0;\n    wgmma.wait_group.sync.aligned 0;\n";
    for seed in SEEDS {
        // The address is past the end of the fill: back to the thread's first word.
        let all = product.replace(commit, &two).replace(&wait(0), &format!("{}{write}", wait(0)));
        run(&CASE, &all, seed, 128).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        let one = product.replace(commit, &two).replace(&wait(0), &format!("{}{write}", wait(1)));
        let fault = expect_fault(
            run(&CASE, &one, seed, 128),
            FaultKind::SharedRace,
            &["the product of line"],
        );
        assert!(fault.line.is_some_and(|line| line >= line_of(&one, "wait_group.sync.aligned 1")));
    }
}

/// Register counts and dependent launches change nothing here.
#[test]
fn hints_are_taken() {
    let plain = body(&CASE, 1);
    let hints = "    setmaxnreg.dec.sync.aligned.u32 40;\n    griddepcontrol.launch_dependents;\n    \
                 griddepcontrol.wait;\n    setmaxnreg.inc.sync.aligned.u32 232;\n    wgmma.fence.sync.aligned;\n";
    let body = plain.replace("    wgmma.fence.sync.aligned;\n", hints);
    run(&CASE, &body, 0, 128).unwrap_or_else(|fault| panic!("{fault}"));
}
