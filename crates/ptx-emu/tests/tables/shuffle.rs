//! Shuffles, votes, matches and reductions of a warp.

use crate::harness::{Column, Kind, check, refusal, run};

const ALL: u32 = u32::MAX;

/// Values that tell lanes apart.
fn values() -> [u32; 32] {
    std::array::from_fn(|lane| 0x1000 + 7 * lane as u32)
}

fn every(value: u32) -> Column {
    Column::new(&[value; 32])
}

/// `shfl.sync` with the predicate: value and predicate of each lane.
fn shuffle(mode: &str, by: [u32; 32], c: u32) -> (Vec<u32>, Vec<bool>) {
    let text = format!("shfl.sync.{mode}.b32 %d|%d1, %a, %b, %c, 0xffffffff;");
    let operands = [values().into(), by.into(), every(c)];
    let out = run(&text, &operands, &[Kind::B32, Kind::Pred]);
    (out[0].values(), out[1].values())
}

#[test]
fn shuffles_stay_in_their_segment() {
    // As CUDA describes them: a warp falls into segments of `width`; a source outside the segment
    // (for idx: modulo the width) gives the lane its own value.
    for width in [32_i32, 16, 8, 4, 2, 1] {
        for by in [0_i32, 1, 2, 3, 5, 8, 15, 16, 17, 31] {
            for mode in ["up", "down", "bfly", "idx"] {
                let segment = (32 - width as u32) << 8;
                let c = segment | if mode == "up" { 0 } else { 31 };
                let (value, inside) = shuffle(mode, [by as u32; 32], c);
                for lane in 0..32 {
                    let first = lane / width * width;
                    let (source, holds) = match mode {
                        "up" => (lane - by, lane - by >= first),
                        "down" => (lane + by, lane + by < first + width),
                        // A butterfly may reach back over segments, never forward.
                        "bfly" => (lane ^ by, lane ^ by < first + width),
                        _ => (first + by % width, true),
                    };
                    let source = if holds { source } else { lane };
                    let at = format!("{mode} by {by} of width {width}, lane {lane}");
                    assert_eq!(value[lane as usize], values()[source as usize], "{at}");
                    assert_eq!(inside[lane as usize], holds, "{at}");
                }
            }
        }
    }
}

#[test]
fn only_the_low_bits_of_lane_and_clamp_count() {
    for mode in ["up", "down", "bfly", "idx"] {
        let plain = shuffle(mode, [3; 32], 0x0815);
        assert_eq!(shuffle(mode, [3 + 32; 32], 0x0815), plain, "{mode}: bit 5 of the lane");
        assert_eq!(shuffle(mode, [3; 32], 0xffff_e8f5), plain, "{mode}: bits around the clamp");
    }
}

#[test]
fn a_clamp_inside_the_segment_cuts_it() {
    // Segments of 8 (mask 0x18), clamp 5: lanes 6 and 7 of each are out of reach.
    let c = 0x1800 | 5;
    let (value, inside) = shuffle("idx", std::array::from_fn(|lane| lane as u32 + 1), c);
    for lane in 0..32 {
        let source = lane / 8 * 8 + (lane + 1) % 8;
        assert_eq!(inside[lane], source % 8 <= 5, "lane {lane}");
        assert_eq!(value[lane], values()[if source % 8 <= 5 { source } else { lane }]);
    }
    let (value, inside) = shuffle("down", [2; 32], c);
    for lane in 0..32 {
        assert_eq!(inside[lane], lane % 8 + 2 <= 5, "lane {lane}");
        assert_eq!(value[lane], values()[if lane % 8 + 2 <= 5 { lane + 2 } else { lane }]);
    }
    // For up the clamp is the lowest lane of a source.
    let (_, inside) = shuffle("up", [2; 32], 0x1800 | 3);
    for (lane, inside) in inside.into_iter().enumerate() {
        assert_eq!(inside, lane % 8 >= 5, "lane {lane}");
    }
}

#[test]
fn lanes_of_one_shuffle_may_read_different_lanes() {
    let by: [u32; 32] = std::array::from_fn(|lane| (lane as u32 * 5 + 3) % 32);
    let (value, inside) = shuffle("idx", by, 31);
    assert_eq!(value, by.map(|lane| values()[lane as usize]));
    assert!(inside.iter().all(|&inside| inside));
}

#[test]
fn votes_over_a_warp_and_over_a_part() {
    for set in [0, 1, 1 << 31, 0x00ff_ff00, 0x0f0f_0f0f, ALL] {
        for members in [ALL, 0x0000_ffff, 0x8000_0001, 0x0f0f_0f0f] {
            let inside: [bool; 32] = std::array::from_fn(|lane| members >> lane & 1 == 1);
            let votes: [bool; 32] = std::array::from_fn(|lane| set >> lane & 1 == 1);
            let text = "
                mov.u32 %d, 0;
                setp.ne.u32 %d1, 0, 0; setp.ne.u32 %d2, 0, 0; setp.ne.u32 %d3, 0, 0;
                setp.ne.u32 %d4, 0, 0;
                @!%b bra after;
                vote.sync.ballot.b32 %d, %a, %c;
                vote.sync.all.pred %d1, %a, %c;
                vote.sync.any.pred %d2, %a, %c;
                vote.sync.uni.pred %d3, %a, %c;
                vote.sync.all.pred %d4, !%a, %c;
                after:
            ";
            let operands = [Column::new::<bool>(&votes), Column::new(&inside), every(members)];
            let out =
                run(text, &operands, &[Kind::B32, Kind::Pred, Kind::Pred, Kind::Pred, Kind::Pred]);
            let cast = set & members;
            let results = [cast == members, cast != 0, cast == members || cast == 0, cast == 0];
            for lane in (0..32).filter(|lane| members >> lane & 1 == 1) {
                assert_eq!(out[0].values::<u32>()[lane], cast, "{set:#x} of {members:#x}");
                for (column, expected) in out[1..].iter().zip(results) {
                    assert_eq!(column.values::<bool>()[lane], expected, "{set:#x} of {members:#x}");
                }
            }
        }
    }
}

#[test]
fn matches_find_lanes_of_equal_value() {
    let a: [u32; 32] = std::array::from_fn(|lane| (lane as u32 * lane as u32) % 7);
    let like = |lane: usize| {
        (0..32).filter(|&other| a[other] == a[lane]).fold(0, |mask, other| mask | 1u32 << other)
    };
    let expected: [u32; 32] = std::array::from_fn(like);
    check("match.any.sync.b32 %d, %a, 0xffffffff;", &[a.into()], expected);
    // Values that differ in their upper half alone.
    let wide = a.map(|value| u64::from(value) << 40 | 1);
    check("match.any.sync.b64 %d, %a, 0xffffffff;", &[wide.into()], expected);
    let out =
        run("match.all.sync.b32 %d|%d1, %a, 0xffffffff;", &[a.into()], &[Kind::B32, Kind::Pred]);
    assert_eq!(out, [every(0), Column::new(&[false; 32])]);
    let out = run(
        "match.all.sync.b64 %d|%d1, %a, 0xffffffff;",
        &[[5u64 << 33; 32].into()],
        &[Kind::B32, Kind::Pred],
    );
    assert_eq!(out, [every(ALL), Column::new(&[true; 32])]);
    check("match.all.sync.b32 %d, %a, 0xffffffff;", &[every(9)], [ALL; 32]);
}

#[test]
fn reductions_of_a_warp() {
    let a: [u32; 32] = std::array::from_fn(|lane| (lane as u32).wrapping_mul(0x9e37_79b9) ^ 0x8000);
    let signed = || a.iter().map(|&value| value as i32);
    let expected = [
        ("add.u32", a.iter().fold(0u64, |sum, &value| sum + u64::from(value)) as u32),
        ("add.s32", a.iter().fold(0u64, |sum, &value| sum + u64::from(value)) as u32),
        ("min.u32", *a.iter().min().unwrap()),
        ("max.u32", *a.iter().max().unwrap()),
        ("min.s32", signed().min().unwrap() as u32),
        ("max.s32", signed().max().unwrap() as u32),
        ("and.b32", a.iter().fold(ALL, |all, &value| all & value)),
        ("or.b32", a.iter().fold(0, |any, &value| any | value)),
        ("xor.b32", a.iter().fold(0, |odd, &value| odd ^ value)),
    ];
    for (form, expected) in expected {
        let text = format!("redux.sync.{form} %d, %a, 0xffffffff;");
        check(&text, &[a.into()], [expected; 32]);
    }
    // Odd and even lanes apart.
    let members: [u32; 32] = std::array::from_fn(|lane| 0x5555_5555 << (lane % 2));
    let sums =
        [0, 1].map(|odd| (odd..32).step_by(2).map(|lane| a[lane]).fold(0, u32::wrapping_add));
    let expected: [u32; 32] = std::array::from_fn(|lane| sums[lane % 2]);
    check("redux.sync.add.u32 %d, %a, %b;", &[a.into(), members.into()], expected);
}

#[test]
fn the_lanes_that_are_active_and_their_leader() {
    check("activemask.b32 %d;", &[every(0)], [ALL; 32]);
    let low: [bool; 32] = std::array::from_fn(|lane| lane < 12);
    let expected: [u32; 32] = std::array::from_fn(|lane| if lane < 12 { 0xfff } else { 1 });
    check("mov.u32 %d, 1;\n@%a activemask.b32 %d;", &[low.into()], expected);
    let out = run("elect.sync %d|%d1, 0xffffffff;", &[every(0)], &[Kind::B32, Kind::Pred]);
    assert_eq!(out[0], every(0));
    assert_eq!(out[1].values::<bool>(), (0..32).map(|lane| lane == 0).collect::<Vec<_>>());
    let members: [u32; 32] = std::array::from_fn(|lane| if lane < 12 { 0xfff } else { !0xfff });
    let out = run("elect.sync _|%d, %a;", &[members.into()], &[Kind::Pred]);
    let leads: Vec<bool> = (0..32).map(|lane| lane == 0 || lane == 12).collect();
    assert_eq!(out[0].values::<bool>(), leads);
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let two = [Kind::B32, Kind::B32];
    for text in [
        "shfl.up.b32 %d, %a, 1, 31;",
        "shfl.sync.up.b64 %d, %a, 1, 31, -1;",
        "redux.sync.add.b32 %d, %a, -1;",
        "redux.sync.and.u32 %d, %a, -1;",
        "match.any.sync.b16 %d, %a, -1;",
        "vote.sync.most.b32 %d, %a, -1;",
    ] {
        assert!(refusal(text, &two, &[Kind::B32]).starts_with("table.ptx:"), "{text}");
    }
}
