//! Copies that move elements, asynchronous copies, and arrays in local memory.

use ptx_emu::LaunchConfig;

use crate::device::{Noise, args, cover, on_each, shaped};

#[test]
fn a_padded_tile_transposes_any_shape() {
    on_each("transpose", |device| {
        for (rows, cols) in [(1_usize, 1_usize), (45, 37), (2, 129), (33, 1)] {
            let x: Vec<f32> = (0..rows * cols).map(|at| at as f32).collect();
            let y = device.room::<f32>(x.len());
            let grid = [cols.div_ceil(32) as u32, rows.div_ceil(32) as u32, 1];
            let list = args![device.put(&x), y, rows as i32, cols as i32];
            device.launch("transpose", shaped(grid, [32, 8, 1]), &list);
            let y = device.get::<f32>(y, x.len());
            for (at, &value) in y.iter().enumerate() {
                assert_eq!(value, x[at % rows * cols + at / rows], "{rows} x {cols}, at {at}");
            }
        }
    });
}

#[test]
fn a_strided_view_becomes_dense() {
    on_each("transpose", |device| {
        let sizes = [3_usize, 5, 7];
        let count: usize = sizes.iter().product();
        let x: Vec<u16> = (0..2 * count as u16).map(|at| at * 3 + 1).collect();
        // Reversed in the second axis, every second element, the axes swapped.
        for (start, strides) in
            [(0, [35, 7, 1]), (28, [35, -7, 1]), (0, [70, 14, 2]), (0, [1, 21, 3])]
        {
            let y = device.room::<u16>(count);
            let from = device.put(&x) + 2 * start as u64;
            let (size1, size2) = (sizes[1] as u32, sizes[2] as u32);
            let list =
                args![from, y, count as i64, size1, size2, strides[0], strides[1], strides[2]];
            device.launch("strided_copy", LaunchConfig::linear(2, 33), &list);
            let y = device.get::<u16>(y, count);
            for (at, &value) in y.iter().enumerate() {
                let place = [at / 35, at / 7 % 5, at % 7];
                let offset: i64 = place.iter().zip(strides).map(|(&i, by)| i as i64 * by).sum();
                assert_eq!(value, x[(start + offset) as usize], "{strides:?} at {at}");
            }
        }
    });
}

#[test]
fn wide_copies_leave_the_tail_to_bytes() {
    on_each("transpose", |device| {
        for bytes in [1_usize, 16, 13 * 16 + 7, 64 * 16 + 15] {
            let mut noise = Noise(6);
            let x: Vec<u8> = (0..bytes).map(|_| noise.bits() as u8).collect();
            let y = device.room::<u8>(bytes);
            let threads = bytes / 16 + bytes % 16;
            device.launch("wide_copy", cover(threads, 32), &args![device.put(&x), y, bytes as u64]);
            assert_eq!(device.get::<u8>(y, bytes), x);
        }
    });
}

#[test]
fn asynchronous_stages_arrive_before_they_are_read() {
    const TILE: usize = 64 * 4;
    on_each("async_copy", |device| {
        for tiles in [1, 2, 5] {
            let x = Noise(7).quarters(tiles * TILE);
            let out = device.room::<f32>(TILE);
            let list = args![device.put(&x), out, tiles as i32];
            device.launch("tile_sum", LaunchConfig::linear(1, 64), &list);
            for (at, &sum) in device.get::<f32>(out, TILE).iter().enumerate() {
                let from = (63 - at / 4) * 4 + at % 4;
                let exact: f32 = (0..tiles).map(|tile| x[tile * TILE + from]).sum();
                assert_eq!(sum, exact, "{tiles} tiles, at {at}");
            }
        }
    });
}

#[test]
fn rows_are_sorted_in_local_memory() {
    const SIZE: usize = 17;
    on_each("local_array", |device| {
        let rows = 45;
        let mut noise = Noise(8);
        let x: Vec<i16> = (0..rows * SIZE).map(|_| noise.whole(-50, 50) as i16).collect();
        let (y, moves) = (device.room::<i16>(x.len()), device.room::<i32>(rows));
        device.launch("sort_rows", cover(rows, 32), &args![device.put(&x), y, moves, rows as i32]);
        let (y, moves) = (device.get::<i16>(y, x.len()), device.get::<i32>(moves, rows));
        for (row, values) in x.chunks(SIZE).enumerate() {
            let mut sorted = values.to_vec();
            sorted.sort_unstable();
            assert_eq!(y[row * SIZE..][..SIZE], sorted, "row {row}");
            let later = |at: usize| values[at..].iter().filter(|&v| *v < values[at]).count();
            assert_eq!(moves[row] as usize, (0..SIZE).map(later).sum::<usize>(), "row {row}");
        }
    });
}

#[test]
fn vectors_in_local_memory_are_found_at_run_time_places() {
    on_each("local_array", |device| {
        let count = 37;
        let mut noise = Noise(9);
        let x = noise.quarters(count * 4);
        let picks: Vec<i32> = (0..count * 9).map(|_| noise.whole(0, 100)).collect();
        let y = device.room::<f32>(x.len());
        let list = args![device.put(&x), y, device.put(&picks), count as i32];
        device.launch("queue", cover(count, 32), &list);
        let y = device.get::<f32>(y, x.len());
        for (at, picks) in picks.chunks(9).enumerate() {
            let value = &x[at * 4..][..4];
            let slot = |i: usize| picks[i] as usize % 5;
            let mut ring: Vec<[f32; 4]> = (0..5).map(|i| [i as f32, 0.0, 0.0, 0.0]).collect();
            for i in 0..9 {
                ring[slot(i)][0] += value[0] * i as f32;
                ring[(slot(i) + i) % 5][3] += value[3];
                ring[slot(i)][1] = ring[(slot(i) + 1) % 5][0] - value[1];
            }
            for part in 0..4 {
                let sum: f32 = (0..5).map(|i| ring[slot(i)][part]).sum();
                assert_eq!(y[at * 4 + part], sum, "queue {at}, part {part}");
            }
        }
    });
}
