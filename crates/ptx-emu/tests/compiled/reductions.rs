//! Sums, extremes and scans within a warp and within a block.

use ptx_emu::LaunchConfig;

use crate::device::{Device, Noise, ROUNDING, args, assert_near, on_each};

#[test]
fn a_warp_sums_each_row_and_finds_its_peak() {
    on_each("warp_sum", |device| {
        for (rows, cols) in [(1, 1), (5, 77), (3, 32), (7, 31)] {
            let x = Noise(1).floats(rows * cols, -3.0, 5.0);
            let (sums, peaks) = (device.room::<f32>(rows), device.room::<f32>(rows));
            let list = args![device.put(&x), sums, peaks, rows as i32, cols as i32];
            // Two rows a block.
            device.launch("row_sum", LaunchConfig::linear(rows.div_ceil(2) as u32, 64), &list);
            let (sums, peaks) = (device.get::<f32>(sums, rows), device.get::<f32>(peaks, rows));
            for (row, values) in x.chunks(cols).enumerate() {
                let exact: f64 = values.iter().map(|&v| f64::from(v)).sum();
                let size: f64 = values.iter().map(|&v| f64::from(v.abs())).sum();
                // A value passes through its lane's additions, then five of the tree.
                let additions = (cols.div_ceil(32) + 5) as f64;
                assert_near(sums[row], exact, additions * ROUNDING * size, "sum");
                assert_eq!(peaks[row], values.iter().copied().fold(f32::MIN, f32::max));
            }
        }
    });
}

#[test]
fn a_warp_scans_and_reduces_its_integers() {
    on_each("warp_sum", |device| {
        let mut noise = Noise(2);
        let x: Vec<i32> = (0..3 * 64).map(|_| noise.whole(-1_000_000, 1_000_000)).collect();
        let (scan, stats) = (device.room::<i32>(x.len()), device.room::<i32>(7 * x.len()));
        device.launch(
            "warp_scan",
            LaunchConfig::linear(3, 64),
            &args![device.put(&x), scan, stats],
        );
        let (scan, stats) =
            (device.get::<i32>(scan, x.len()), device.get::<i32>(stats, 7 * x.len()));
        for (at, stats) in stats.chunks(7).enumerate() {
            let warp = &x[at / 32 * 32..][..32];
            let lane = at % 32;
            assert_eq!(scan[at], warp[..=lane].iter().sum::<i32>(), "scan at {at}");
            let expected = [
                warp.iter().sum(),
                *warp.iter().min().unwrap(),
                *warp.iter().max().unwrap(),
                warp.iter().fold(-1, |all, v| all & v),
                warp.iter().fold(0, |any, v| any | v),
                warp.iter().fold(0, |odd, v| odd ^ v),
                warp[lane / 8 * 8 + 3],
            ];
            assert_eq!(stats, expected, "stats at {at}");
        }
    });
}

#[test]
fn a_block_of_any_size_reduces_through_shared_memory() {
    on_each("block_reduce", |device| {
        for (count, grid, block) in [(1003, 3, 97), (5, 1, 33), (256, 2, 64), (1, 1, 1)] {
            let mut x = Noise(3).quarters(count);
            check_block_reduce(device, &x, grid, block);
            x.iter_mut().for_each(|value| *value = value.abs());
            check_block_reduce(device, &x, grid, block);
        }
    });
}

fn check_block_reduce(device: &Device, x: &[f32], grid: usize, block: usize) {
    let stats = device.room::<u32>(4 * grid);
    let shared = 3 * 4 * block as u32;
    let config = LaunchConfig::linear(grid as u32, block as u32);
    let config = LaunchConfig { dynamic_shared: shared, ..config };
    device.launch("block_reduce", config, &args![device.put(x), stats, x.len() as i32]);
    for (cta, stats) in device.get::<u32>(stats, 4 * grid).chunks(4).enumerate() {
        let of_thread = |thread: usize| x.iter().skip(cta * block + thread).step_by(grid * block);
        let own: Vec<f32> = (0..block).flat_map(of_thread).copied().collect();
        // Quarters add up exactly in any order.
        assert_eq!(f32::from_bits(stats[0]), own.iter().sum::<f32>(), "sum of {cta}");
        let low = own.iter().copied().fold(f32::INFINITY, f32::min);
        let high = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(f32::from_bits(stats[1]), low, "low of {cta}");
        assert_eq!(f32::from_bits(stats[2]), high, "high of {cta}");
        let threads = (0..block).filter(|&thread| of_thread(thread).any(|v| *v < 0.0)).count();
        assert_eq!(stats[3] as usize, threads, "threads of {cta} with a negative value");
    }
}
