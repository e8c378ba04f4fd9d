//! Atomic operations, and blocks that wait for each other.

use ptx_emu::LaunchConfig;

use crate::device::{Noise, args, on_each};

#[test]
fn a_histogram_counts_every_byte_once() {
    const BINS: usize = 61;
    on_each("histogram", |device| {
        for count in [1, 1003] {
            let mut noise = Noise(10);
            let x: Vec<u8> = (0..count).map(|_| noise.bits() as u8).collect();
            let bins = device.put(&[0_u32; BINS]);
            let list = args![device.put(&x), bins, count];
            device.launch("histogram", LaunchConfig::linear(3, 96), &list);
            let mut expected = [0_u32; BINS];
            x.iter().for_each(|&value| expected[usize::from(value) % BINS] += 1);
            assert_eq!(device.get::<u32>(bins, BINS), expected);
        }
    });
}

#[test]
fn every_kind_of_atomic_loses_nothing() {
    on_each("histogram", |device| {
        let count = 333_u32;
        let mut noise = Noise(11);
        let x: Vec<i32> = (0..count).map(|_| noise.whole(-100_000, 100_000)).collect();
        // The struct `Totals`: two 8-byte words, then 4-byte ones.
        let mut start = [0_u32; 16];
        start[5] = i32::MAX as u32;
        start[6] = i32::MIN as u32;
        start[7] = u32::MAX;
        start[13] = f32::MIN.to_bits();
        let (out, order) = (device.put(&start), device.room::<u32>(count as usize));
        let list = args![device.put(&x), out, order, count as i32];
        device.launch("totals", LaunchConfig::linear(3, 128), &list);

        let out = device.get::<u32>(out, 16);
        let wide = |at: usize| u64::from(out[at]) | u64::from(out[at + 1]) << 32;
        let sum: i64 = x.iter().map(|&v| i64::from(v)).sum();
        assert_eq!(wide(0) as i64, sum);
        assert_eq!(f64::from_bits(wide(2)), sum as f64 * 0.5, "halves add up exactly");
        assert_eq!(f32::from_bits(out[4]), count as f32 * 0.25, "quarters add up exactly");
        assert_eq!(out[5] as i32, *x.iter().min().unwrap());
        assert_eq!(out[6] as i32, *x.iter().max().unwrap());
        assert_eq!(out[7] as i32, x.iter().fold(-1, |all, v| all & v));
        assert_eq!(out[8] as i32, x.iter().fold(0, |any, v| any | v));
        assert_eq!(out[9] as i32, x.iter().fold(0, |odd, v| odd ^ v));
        assert_eq!(out[10], count % 17, "counts 0..=16 and wraps");
        assert_eq!(out[11], (7 - count % 7) % 7, "counts down from 6 and wraps");
        assert_eq!(out[12], count);
        assert_eq!(f32::from_bits(out[13]), *x.iter().max().unwrap() as f32 * 0.125);
        assert!(x.contains(&(out[14] as i32)), "the last one stored is one of the values");
        let mut order = device.get::<u32>(order, count as usize);
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..count), "each ticket is drawn once");
    });
}

#[test]
fn the_last_block_sees_every_partial_sum() {
    on_each("grid_sum", |device| {
        for (count, grid) in [(1003, 8), (1, 1), (200, 5)] {
            let x = Noise(12).quarters(count);
            let (partial, out) = (device.room::<f32>(grid), device.room::<f32>(1));
            let tickets = device.put(&[0_u32]);
            let list = args![device.put(&x), partial, tickets, out, count as i32];
            device.launch("last_block", LaunchConfig::linear(grid as u32, 128), &list);
            assert_eq!(device.get::<f32>(out, 1), [x.iter().sum::<f32>()], "exact in any order");
            assert_eq!(device.get::<u32>(tickets, 1), [0], "ready for the next launch");
        }
    });
}

#[test]
fn blocks_of_a_cooperative_launch_wait_for_each_other() {
    on_each("grid_sum", |device| {
        let start = [3_u32, 1, 4, 1, 5];
        let rounds = 4;
        let (even, odd) = (device.put(&start), device.room::<u32>(start.len()));
        let arrived = device.put(&[0_u32]);
        let config = LaunchConfig { cooperative: true, ..LaunchConfig::linear(5, 33) };
        device.launch("rounds", config, &args![even, odd, arrived, rounds]);
        let mut values = start;
        for _ in 0..rounds {
            let before = values;
            for (at, value) in values.iter_mut().enumerate() {
                *value += before[(at + before.len() - 1) % before.len()];
            }
        }
        // An even number of rounds ends where it began.
        assert_eq!(device.get::<u32>(even, start.len()), values);
        assert_eq!(device.get::<u32>(arrived, 1), [5 * rounds as u32]);
    });
}
