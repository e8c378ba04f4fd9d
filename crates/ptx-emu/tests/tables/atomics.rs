//! Atomics: what they leave in memory, and what they give back.

use half::{bf16, f16};
use ptx_emu::{Arg, Gpu, LaunchConfig, Module};

use crate::harness::{Kind, refusal};

/// Runs one lane's `atom` (or `red`) on `old`, in global and in shared memory; gives the value that
/// it returned and the one that it left, as bits.
#[track_caller]
fn atom(form: &str, old: u64, operands: &[u64]) -> (Option<u64>, u64) {
    let [global, shared, generic] =
        ["global", "shared", ""].map(|space| run(form, space, old, operands));
    assert_eq!(generic, global, "{form}: a generic address of global memory");
    assert_eq!(shared, global, "{form}: shared memory");
    global
}

#[track_caller]
fn run(form: &str, space: &str, old: u64, operands: &[u64]) -> (Option<u64>, u64) {
    let (opcode, rest) = form.split_once('.').expect("a form has a dot");
    let bits = match rest.rsplit('.').next().expect("there is a last part") {
        "f16" | "bf16" | "b16" => 16,
        ty if ty.ends_with("64") => 64,
        _ => 32,
    };
    let dot = if space.is_empty() { "" } else { "." };
    let place = if space == "shared" { "place" } else { "%out" };
    let to = if opcode == "atom" { "%old, " } else { "" };
    let names: Vec<String> = (0..operands.len()).map(|at| format!("%v{at}")).collect();
    let loads: String = (0..operands.len())
        .map(|at| format!("ld.global.b{bits} %v{at}, [%out+{}];\n", 8 * (at + 1)))
        .collect();
    let source = format!(
        ".version 8.0
.target sm_90
.address_size 64
.visible .entry atomic(.param .u64 out)
{{
    .reg .b64 %out;
    .reg .b{bits} %old, %new, %v<4>;
    .shared .align 8 .b8 place[8];
    ld.param.u64 %out, [out];
    {loads}
    ld.global.b{bits} %old, [%out];
    st.shared.b{bits} [place], %old;
    {opcode}{dot}{space}.{rest} {to}[{place}], {};
    ld.{}.b{bits} %new, [{place}];
    st.global.b{bits} [%out], %new;
    st.global.b{bits} [%out+8], %old;
    ret;
}}
",
        names.join(", "),
        if space == "shared" { "shared" } else { "global" },
    );
    let gpu = Gpu::default();
    let module = Module::parse("atomic.ptx", &source).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let program = gpu.load(&module).expect("the module loads");
    let mut words = vec![old];
    words.extend_from_slice(operands);
    words.resize(4, 0);
    let out = gpu.upload(&words).expect("there is memory");
    let launched = gpu.launch(&program, "atomic", &LaunchConfig::linear(1, 1), &[Arg::U64(out)]);
    let counters = launched.unwrap_or_else(|fault| panic!("{fault}\n{source}"));
    assert_eq!(counters.global_atomics, u64::from(space != "shared"));
    let words = gpu.download::<u64>(out, 2).expect("two words are there");
    let field = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    ((opcode == "atom").then_some(words[1] & field), words[0] & field)
}

/// Checks `atom` and, where there is one, `red`.
#[track_caller]
fn check(form: &str, old: u64, operands: &[u64], new: u64) {
    assert_eq!(
        atom(&format!("atom.{form}"), old, operands),
        (Some(old), new),
        "{form} on {old:#x}"
    );
    if !form.contains("exch") && !form.contains("cas") {
        assert_eq!(atom(&format!("red.{form}"), old, operands), (None, new), "red.{form}");
    }
}

#[test]
fn integers_of_32_bits() {
    let edges = [0, 1, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
    for old in edges {
        for by in edges {
            let (signed, by_signed) = (old as i32, by as i32);
            let cases = [
                ("add.u32", (u64::from(old) + u64::from(by)) as u32),
                ("add.s32", (i64::from(signed) + i64::from(by_signed)) as u32),
                ("min.u32", old.min(by)),
                ("max.u32", old.max(by)),
                ("min.s32", signed.min(by_signed) as u32),
                ("max.s32", signed.max(by_signed) as u32),
                ("and.b32", old & by),
                ("or.b32", old | by),
                ("xor.b32", old ^ by),
                ("exch.b32", by),
                ("inc.u32", if old >= by { 0 } else { old + 1 }),
                ("dec.u32", if old == 0 || old > by { by } else { old - 1 }),
            ];
            for (form, new) in cases {
                check(form, old.into(), &[by.into()], new.into());
            }
        }
    }
}

#[test]
fn integers_of_64_bits() {
    let edges = [0, 3, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX];
    for old in edges {
        for by in edges {
            let (signed, by_signed) = (old as i64, by as i64);
            let cases = [
                ("add.u64", (u128::from(old) + u128::from(by)) as u64),
                ("add.s64", (i128::from(signed) + i128::from(by_signed)) as u64),
                ("min.u64", old.min(by)),
                ("max.u64", old.max(by)),
                ("min.s64", signed.min(by_signed) as u64),
                ("max.s64", signed.max(by_signed) as u64),
                ("and.b64", old & by),
                ("or.b64", old | by),
                ("xor.b64", old ^ by),
                ("exch.b64", by),
            ];
            for (form, new) in cases {
                check(form, old, &[by], new);
            }
        }
    }
}

#[test]
fn compare_and_swap() {
    for (bits, old) in [(16, 0x8001), (32, 0x8000_0001), (64, 0x8000_0000_0000_0001)] {
        let form = format!("cas.b{bits}");
        check(&form, old, &[old, 77], 77);
        check(&form, old, &[old ^ 2, 77], old);
        check(&form, 0, &[0, old], old);
    }
}

#[test]
fn orders_scopes_and_hints_change_no_value() {
    for sem in ["relaxed", "acquire", "release", "acq_rel"] {
        for scope in ["cta", "cluster", "gpu", "sys"] {
            let (got, left) = run(&format!("atom.{sem}.{scope}.add.u32"), "", 5, &[6]);
            assert_eq!((got, left), (Some(5), 11));
        }
    }
    let (_, left) = run("red.relaxed.gpu.add.L2::cache_hint.u64", "global", 5, &[6, 0]);
    assert_eq!(left, 11);
}

#[test]
fn sums_of_f32_flush_in_global_memory_alone() {
    let cases = [
        (1.5f32, 2.25f32, 3.75f32),
        (1.0, f32::EPSILON / 2.0, 1.0),
        (f32::MAX, f32::MAX, f32::INFINITY),
        (-0.0, -0.0, -0.0),
        (0.0, -0.0, 0.0),
        (f32::MIN_POSITIVE, f32::MIN_POSITIVE, 2.0 * f32::MIN_POSITIVE),
    ];
    for (old, by, sum) in cases {
        check("add.f32", old.to_bits().into(), &[by.to_bits().into()], sum.to_bits().into());
    }
    let nan = check_f32("global", f32::INFINITY, f32::NEG_INFINITY);
    assert_eq!(nan, 0x7fff_ffff);
    let tiny = f32::from_bits(5);
    assert_eq!(check_f32("shared", tiny, tiny), 10);
    assert_eq!(check_f32("global", tiny, tiny), 0);
    assert_eq!(check_f32("", -tiny, -tiny), 0x8000_0000, "the sign stays");
    assert_eq!(check_f32("global", f32::from_bits(0x0080_0001), -f32::MIN_POSITIVE), 0);
    assert_eq!(check_f32("shared", f32::from_bits(0x0080_0001), -f32::MIN_POSITIVE), 1);
}

fn check_f32(space: &str, old: f32, by: f32) -> u64 {
    run("red.add.f32", space, old.to_bits().into(), &[by.to_bits().into()]).1
}

#[test]
fn sums_of_f64_keep_subnormals() {
    for (old, by) in [(0.1, 0.2), (5e-324, 5e-324), (f64::MAX, f64::MAX), (1.0, -1.0)] {
        check("add.f64", f64::to_bits(old), &[f64::to_bits(by)], f64::to_bits(old + by));
    }
}

#[test]
fn sums_of_halves_round_once() {
    // Independent of f32: in units of the last place at 2048, ties go to even.
    let half = |value: f32| u64::from(f16::from_f32(value).to_bits());
    check("add.noftz.f16", half(2048.0), &[half(1.0)], half(2048.0));
    check("add.noftz.f16", half(2050.0), &[half(1.0)], half(2052.0));
    check("add.noftz.f16", 0x0001, &[0x0001], 0x0002);
    check("add.noftz.f16", half(65504.0), &[half(16.0)], 0x7c00);
    check("add.noftz.f16", 0x7c00, &[0xfc00], 0x7fff);
    let brain = |value: f32| u64::from(bf16::from_f32(value).to_bits());
    check("add.noftz.bf16", brain(256.0), &[brain(1.0)], brain(256.0));
    check("add.noftz.bf16", brain(258.0), &[brain(1.0)], brain(260.0));
    check("add.noftz.bf16", 0x0001, &[0x0003], 0x0004);
    let pair = |low: u64, high: u64| low | high << 16;
    let (old, by) = (pair(half(1.5), half(-2.0)), pair(half(0.25), half(2048.0)));
    check("add.noftz.f16x2", old, &[by], pair(half(1.75), half(2046.0)));
    let (old, by) = (pair(brain(1.5), brain(-2.0)), pair(brain(0.25), 0x7f80));
    check("add.noftz.bf16x2", old, &[by], pair(brain(1.75), 0x7f80));
}

#[test]
fn vectors_of_elements() {
    let source = ".version 8.1
.target sm_90
.address_size 64
.visible .entry atomic(.param .u64 out)
{
    .reg .b64 %out;
    .reg .f32 %f<4>;
    .reg .b32 %h<4>;
    ld.param.u64 %out, [out];
    atom.global.v4.f32.add {%f0, %f1, %f2, %f3}, [%out], {0f3F800000, 0f40000000, 0f40400000, 0f40800000};
    st.global.v4.f32 [%out+16], {%f0, %f1, %f2, %f3};
    mov.u32 %h0, 0x3c00c000;
    red.relaxed.gpu.global.v2.f16x2.max.noftz [%out+32], {%h0, %h0};
    red.global.v2.f16x2.min.noftz [%out+40], {%h0, %h0};
    ret;
}
";
    let gpu = Gpu::default();
    let program = gpu.load(&Module::parse("vector.ptx", source).unwrap()).unwrap();
    let mut words: Vec<u32> = [10.0f32, 20.0, 30.0, 40.0].map(f32::to_bits).to_vec();
    // f16: 2 and -4; NaN and NaN; and the same again for the smaller ones.
    words.extend([0, 0, 0, 0, 0x4000_c400, 0x7fff_7fff, 0x4000_c400, 0x7fff_7fff]);
    let out = gpu.upload(&words).unwrap();
    let config = LaunchConfig::linear(1, 1);
    let counters = gpu.launch(&program, "atomic", &config, &[Arg::U64(out)]).unwrap();
    let words = gpu.download::<u32>(out, 12).unwrap();
    assert_eq!(words[..4], [11.0f32, 22.0, 33.0, 44.0].map(f32::to_bits));
    assert_eq!(words[4..8], [10.0f32, 20.0, 30.0, 40.0].map(f32::to_bits));
    assert_eq!(words[8..10], [0x4000_c000, 0x3c00_c000], "the larger ones, NaN aside");
    assert_eq!(words[10..12], [0x3c00_c400, 0x3c00_c000], "the smaller ones");
    assert_eq!((counters.global_atomics, counters.atomic_sectors), (3, 3));
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    for text in [
        "atom.global.add.f16 %d, [%a], %d;",
        "atom.global.sub.u32 %d, [%a], %d;",
        "atom.global.inc.s32 %d, [%a], %d;",
        "atom.global.max.f32 %d, [%a], %d;",
        "atom.local.add.u32 %d, [%a], %d;",
        "atom.global.exch.b128 %d, [%a], %d;",
        "red.global.exch.b32 [%a], %d;",
        "atom.shared.v2.f32.add {%d, %d}, [%a], {%d, %d};",
    ] {
        assert!(refusal(text, &[Kind::B64], &[Kind::B32]).starts_with("table.ptx:"), "{text}");
    }
}
