//! Ballots, matches and what the lanes of a warp learn of each other.

use ptx_emu::LaunchConfig;

use crate::device::{Noise, args, cover, on_each};

#[test]
fn compaction_keeps_each_warp_in_order() {
    on_each("compact", |device| {
        for count in [1_usize, 77, 256] {
            let mut noise = Noise(13);
            // All different, so that a value tells where it came from.
            let x: Vec<i32> = (0..count as i32).map(|at| at * 64 + noise.whole(0, 64)).collect();
            let kept: Vec<i32> = x.iter().copied().filter(|value| value % 2 == 1).collect();
            let (out, total) = (device.room::<i32>(count), device.put(&[0_i32]));
            let list = args![device.put(&x), out, total, count as i32];
            device.launch("compact", cover(count, 64), &list);
            assert_eq!(device.get::<i32>(total, 1), [kept.len() as i32]);
            if kept.is_empty() {
                continue;
            }
            let out = device.get::<i32>(out, kept.len());
            for warp in x.chunks(32) {
                let own: Vec<i32> = warp.iter().copied().filter(|value| value % 2 == 1).collect();
                let found = own.is_empty() || out.windows(own.len()).any(|run| run == own);
                assert!(found, "{own:?} does not lie together in {out:?}");
            }
        }
    });
}

#[test]
fn a_leader_counts_for_its_peers() {
    on_each("compact", |device| {
        for count in [5_usize, 173] {
            let mut noise = Noise(14);
            let x: Vec<i32> = (0..count).map(|_| noise.whole(-9, 9)).collect();
            let counts = device.put(&[0_i32; 8]);
            let list = args![device.put(&x), counts, count as i32];
            device.launch("grouped_count", cover(count, 96), &list);
            let mut expected = [0_i32; 8];
            x.iter().for_each(|value| expected[(value & 7) as usize] += 1);
            assert_eq!(device.get::<i32>(counts, 8), expected);
        }
    });
}

#[test]
fn votes_and_matches_agree_with_the_warp() {
    on_each("compact", |device| {
        let mut noise = Noise(15);
        let mut x: Vec<i32> = (0..4 * 32).map(|_| noise.whole(-6, 6)).collect();
        // One warp all alike, one all positive with a large value, one of several hundreds.
        x[..32].fill(-3);
        x[32..64].iter_mut().for_each(|value| *value = value.abs() + 1);
        x[40] = 99;
        x[64..96].iter_mut().for_each(|value| *value *= 300);
        let out = device.room::<u32>(6 * x.len());
        device.launch("votes", LaunchConfig::linear(2, 64), &args![device.put(&x), out]);
        for (at, got) in device.get::<u32>(out, 6 * x.len()).chunks(6).enumerate() {
            let warp = &x[at / 32 * 32..][..32];
            let positive = warp.iter().filter(|value| **value > 0).count();
            let alike = warp.iter().all(|value| value >> 8 == warp[0] >> 8);
            let peers = (0..at % 32).filter(|&lane| warp[lane] == x[at]);
            let expected = [
                u32::from(positive == 32),
                u32::from(warp.iter().any(|value| *value > 90)),
                u32::from(positive == 32 || positive == 0),
                if alike { u32::MAX } else { 0 },
                u32::from(alike),
                peers.map(|lane| 1 << lane).sum(),
            ];
            assert_eq!(got, expected, "thread {at}");
        }
    });
}
