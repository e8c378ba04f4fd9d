//! `ldmatrix`, `stmatrix` and `movmatrix`, and what they cost.

use ptx_emu::{Arg, Counters, Fault, Gpu, LaunchConfig, Module};

use crate::harness::{Column, Kind, check, refusal, run};

/// Element `column` of row `row`; rows count on from tile to tile.
fn element(row: usize, column: usize) -> u32 {
    (100 * row + column) as u32
}

/// What lane `lane` holds of tile `tile`: two elements, the lower one first.
fn fragment(tile: usize, lane: usize, transposed: bool) -> u32 {
    let (first, second) = match transposed {
        false => ((lane / 4, 2 * (lane % 4)), (lane / 4, 2 * (lane % 4) + 1)),
        true => ((2 * (lane % 4), lane / 4), (2 * (lane % 4) + 1, lane / 4)),
    };
    element(8 * tile + first.0, first.1) | element(8 * tile + second.0, second.1) << 16
}

/// Each lane's row of 16 bytes at `32 * lane` in `tile`, as four words.
fn rows() -> Vec<Column> {
    let word = |word: usize| -> Vec<u32> {
        (0..32).map(|row| element(row, 2 * word) | element(row, 2 * word + 1) << 16).collect()
    };
    (0..4).map(|at| word(at).into()).collect()
}

const STORE_ROWS: &str = "
    .reg .b32 %row;
    .reg .b64 %generic;
    .shared .align 16 .b8 tile[1024];
    mov.u32 %row, tile;
    mad.lo.u32 %row, %tid.x, 32, %row;
    cvt.u64.u32 %generic, %row;
    cvta.shared.u64 %generic, %generic;
    st.shared.v4.b32 [%row], {%a, %b, %c, %e};
    bar.sync 0;
";

#[test]
fn tiles_are_loaded_in_fragments() {
    for (count, list) in [(1, "{%d}"), (2, "{%d, %d1}"), (4, "{%d, %d1, %d2, %d3}")] {
        for trans in ["", ".trans"] {
            for (space, address) in
                [(".shared", "%row"), (".shared::cta", "%row"), ("", "%generic")]
            {
                let form = format!("ldmatrix.sync.aligned.m8n8.x{count}{trans}{space}.b16");
                let text = format!("{{ {STORE_ROWS} {form} {list}, [{address}]; }}");
                let out = run(&text, &rows(), &vec![Kind::B32; count]);
                for (tile, column) in out.iter().enumerate() {
                    let expected: Vec<u32> =
                        (0..32).map(|lane| fragment(tile, lane, !trans.is_empty())).collect();
                    assert_eq!(column.values::<u32>(), expected, "{form}, tile {tile}");
                }
            }
        }
    }
}

#[test]
fn tiles_are_stored_from_fragments() {
    for (count, list) in [(1, "{%f}"), (2, "{%f, %g}"), (4, "{%f, %g, %h, %i}")] {
        for trans in ["", ".trans"] {
            let form = format!("stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16");
            let text = format!(
                "{{ {STORE_ROWS} {form} [%row], {list}; bar.sync 0;
                 ld.shared.v4.b32 {{%d, %d1, %d2, %d3}}, [%row]; }}"
            );
            // Elements are told apart by their upper bit from those that were there before.
            let fragments = (0..4).map(|tile| -> Column {
                let word = |lane| fragment(tile, lane, !trans.is_empty()) | 0x8000_8000;
                (0..32).map(word).collect::<Vec<u32>>().into()
            });
            let operands: Vec<Column> = rows().into_iter().chain(fragments).collect();
            let out = run(&text, &operands, &[Kind::B32; 4]);
            for (word, (got, before)) in out.iter().zip(rows()).enumerate() {
                let mut expected = before.values::<u32>();
                expected[..8 * count].iter_mut().for_each(|value| *value |= 0x8000_8000);
                assert_eq!(got.values::<u32>(), expected, "{form}, word {word}");
            }
        }
    }
}

#[test]
fn a_tile_is_transposed_between_lanes() {
    let a: Vec<u32> = (0..32).map(|lane| fragment(0, lane, false)).collect();
    let expected: Vec<u32> = (0..32).map(|lane| fragment(0, lane, true)).collect();
    check("movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;", &[a.into()], expected);
}

/// Loads four tiles whose rows stand `stride` bytes apart, and multiplies them.
fn cost(stride: u32) -> Counters {
    let source = format!(
        ".version 8.0
.target sm_80
.address_size 64
.visible .entry cost(.param .u64 out)
{{
    .reg .b32 %t, %s, %x<4>;
    .reg .b64 %out;
    .reg .f32 %f<5>;
    .shared .align 16 .b8 tile[8192];
    ld.param.u64 %out, [out];
    mov.u32 %t, %tid.x;
    mul.lo.u32 %s, %t, {stride};
    mov.u32 %x0, 0;
    st.shared.v4.b32 [%s], {{%x0, %x0, %x0, %x0}};
    bar.sync 0;
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%x0, %x1, %x2, %x3}}, [%s];
    mov.f32 %f4, 0f3F800000;
    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
        {{%f0, %f1, %f2, %f3}}, {{%x0, %x1, %x2, %x3}}, {{%x0, %x1}}, {{%f4, %f4, %f4, %f4}};
    st.global.f32 [%out], %f0;
    ret;
}}
"
    );
    let run = || -> Result<(Counters, Vec<f32>), Fault> {
        let gpu = Gpu::default();
        let module = Module::parse("cost.ptx", &source).unwrap_or_else(|error| panic!("{error}"));
        let program = gpu.load(&module)?;
        let out = gpu.upload(&[0f32])?;
        let config = LaunchConfig::linear(1, 32);
        let counters = gpu.launch(&program, "cost", &config, &[Arg::U64(out)])?;
        Ok((counters, gpu.download(out, 1)?))
    };
    let (counters, out) = run().unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(out, [1.0]);
    counters
}

#[test]
fn bank_conflicts_are_counted_for_each_eight_rows() {
    // Eight rows fill all banks at 16 or 144 bytes, meet in pairs at 32, and all at 128 bytes. The
    // stores of 16 bytes that fill the tiles go the same way.
    for (stride, conflicts) in [(16, 0), (144, 0), (32, 1), (64, 3), (128, 7)] {
        let counters = cost(stride);
        assert_eq!(counters.shared_accesses, 2, "stride {stride}");
        assert_eq!(counters.bank_conflicts, 2 * 4 * conflicts, "stride {stride}");
        assert_eq!(counters.shared_wavefronts, 2 * 4 * (conflicts + 1), "stride {stride}");
    }
}

#[test]
fn products_are_counted_as_operations() {
    assert_eq!(cost(16).mma_flop, 2 * 16 * 8 * 16);
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    for text in [
        "ldmatrix.sync.aligned.m8n8.x3.shared.b16 {%d, %d, %d}, [%a];",
        "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%d}, [%a];",
        "ldmatrix.sync.aligned.m8n8.x1.global.b16 {%d}, [%a];",
        "ldmatrix.sync.aligned.m8n8.x1.shared.b8 {%d}, [%a];",
        "ldmatrix.sync.m8n8.x1.shared.b16 {%d}, [%a];",
        "movmatrix.sync.aligned.m8n8.b16 %d, %a;",
        "mma.sp.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 %d, %a, %a, %a;",
    ] {
        assert!(refusal(text, &[Kind::B32], &[Kind::B32]).starts_with("table.ptx:"), "{text}");
    }
}
