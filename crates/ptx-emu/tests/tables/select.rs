//! Selections: by a predicate and by a sign.

use crate::harness::{Kind, check, check3, refusal};

#[test]
fn selp_selects_at_every_width() {
    let flags = [true, false];
    check3("selp.b16 %d, %a, %b, %c;", &[1u16], &[2u16], &flags, |a, b, c| if c { a } else { b });
    check3("selp.f32 %d, %a, %b, %c;", &[1f32], &[-0f32], &flags, |a, b, c| if c { a } else { b });
    check3(
        "selp.u64 %d, %a, %b, %c;",
        &[u64::MAX],
        &[1u64 << 40],
        &flags,
        |a, b, c| {
            if c { a } else { b }
        },
    );
    check3("selp.f64 %d, %a, %b, !%c;", &[1f64], &[-2f64], &flags, |a, b, c| if c { b } else { a });
    check("selp.s32 %d, -1, 7, %a;", &[flags.into()], [-1i32, 7]);
}

#[test]
fn slct_takes_the_first_where_the_third_is_not_negative() {
    let signs = [0, 1, -1, i32::MIN, i32::MAX];
    check3("slct.u64.s32 %d, %a, %b, %c;", &[7u64 << 33], &[9u64], &signs, |a, b, c| {
        if c < 0 { b } else { a }
    });
    let signs = [0.0, -0.0, 1.0, -1.0, f32::NAN, -f32::NAN, -1e-45, 1e-45, f32::NEG_INFINITY];
    let b = [0, 0, 0, 1, 1, 1, 1, 0, 1u16].map(|second| 5 + second);
    let columns = [[5u16; 9].into(), [6u16; 9].into(), signs.into()];
    check("slct.b16.f32 %d, %a, %b, %c;", &columns, b);
    // Flushed, the subnormal below zero is zero.
    let columns = [[5f64; 9].into(), [6f64; 9].into(), signs.into()];
    let b = [0, 0, 0, 1, 1, 1, 0, 0, 1].map(|second| 5.0 + f64::from(second));
    check("slct.ftz.f64.f32 %d, %a, %b, %c;", &columns, b);
}

#[test]
fn forms_that_ptx_does_not_have() {
    for text in [
        "selp.f16x2 %d, %a, %a, %b;",
        "slct.f32.u32 %d, %a, %a, %a;",
        "slct.ftz.b32.s32 %d, %a, %a, %a;",
    ] {
        refusal(text, &[Kind::B32, Kind::Pred], &[Kind::B32]);
    }
}
