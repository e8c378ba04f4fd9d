//! Control flow: divergent loops, a switch, early returns, and calls.

use crate::device::{Noise, args, cover, on_each};

#[test]
fn lanes_leave_a_loop_at_different_times() {
    on_each("control_flow", |device| {
        let limit = 100;
        let x: Vec<u32> = (1..=77).chain([27, 97, 871, 6171, u32::MAX]).collect();
        let steps = device.room::<i32>(x.len());
        let list = args![device.put(&x), steps, x.len() as i32, limit];
        device.launch("collatz", cover(x.len(), 64), &list);
        let expected: Vec<i32> = x.iter().map(|&start| collatz(start, limit)).collect();
        assert!(expected.contains(&-1), "some reach the limit");
        assert_eq!(device.get::<i32>(steps, x.len()), expected);
    });
}

fn collatz(start: u32, limit: i32) -> i32 {
    let mut value = u64::from(start);
    for count in 0..=limit {
        match value {
            1 => return count,
            _ if value % 2 == 1 => value = 3 * value + 1,
            _ => value /= 2,
        }
    }
    -1
}

#[test]
fn each_lane_runs_its_own_program() {
    on_each("control_flow", |device| {
        let (programs, length) = (77, 13);
        let mut noise = Noise(26);
        let code: Vec<u8> = (0..programs * length).map(|_| noise.whole(0, 10) as u8).collect();
        let out = device.room::<u32>(programs);
        let list = args![device.put(&code), out, programs as i32, length as i32];
        device.launch("machine", cover(programs, 32), &list);
        let programs = code.chunks(length).enumerate();
        let expected: Vec<u32> = programs.map(|(at, code)| machine(at as u32, code)).collect();
        assert_eq!(device.get::<u32>(out, expected.len()), expected);
    });
}

fn machine(at: u32, code: &[u8]) -> u32 {
    let (mut value, mut other) = (at, 1_u32);
    for (pc, op) in code.iter().enumerate() {
        match op {
            0 => value = value.wrapping_add(other),
            1 => value = value.wrapping_sub(3),
            2 => {
                value = value.wrapping_mul(5);
                continue;
            }
            3 => other ^= value,
            4 if value as i32 > 100 => break,
            4 => value = value.wrapping_neg(),
            5 => value = value << 3 | other >> 2,
            6 => return value,
            7 => (0..value & 7).for_each(|i| other = other.wrapping_add(i.wrapping_mul(value))),
            _ => value ^= 0x55,
        }
        value ^= pc as u32;
    }
    value.wrapping_sub(other)
}

#[test]
fn calls_pass_scalars_structs_and_pointers() {
    on_each("device_call", |device| {
        let count = 77;
        let mut noise = Noise(27);
        let weights: Vec<f32> = (0..7).map(|_| noise.whole(-4, 5) as f32).collect();
        // Small whole numbers: every result is exact.
        let x: Vec<f32> = (0..count).map(|_| noise.whole(-3, 4) as f32).collect();
        let (y, high) = (device.room::<f32>(count), device.room::<f64>(count));
        let tags = device.room::<i32>(count);
        let (by, from) = (device.put(&weights), device.put(&x));
        for terms in [0, 1, 7] {
            let list = args![by, terms as i32, from, y, high, tags, count as i32];
            device.launch("calls", cover(count, 32), &list);
            let (y, high) = (device.get::<f32>(y, count), device.get::<f64>(high, count));
            let tags = device.get::<i32>(tags, count);
            for at in 0..count {
                let horner = weights[..terms].iter().rev().fold(0.0, |sum, w| sum * x[at] + w);
                let value = if at % 3 == 0 { x[at] } else { horner };
                let by = at as i32 % 7 - 3;
                assert_eq!(y[at], value * by as f32, "low of {at}");
                assert_eq!(high[at], f64::from(value) * 2.0 - f64::from(by), "high of {at}");
                let (a, b) = (at * 37 % 11, at * 53 % 13);
                let tag = (at + 1) * 10_000 + a.min(b) * 100 + a.max(b);
                assert_eq!(tags[at], tag as i32, "tag of {at}");
            }
        }
    });
}

#[test]
fn a_function_calls_itself() {
    on_each("device_call", |device| {
        let count = 45;
        let out = device.room::<u32>(count);
        device.launch("recursion", cover(count, 32), &args![out, count as i32]);
        let expected: Vec<u32> = (0..count as u32).map(|at| ways(at % 11)).collect();
        assert_eq!(device.get::<u32>(out, count), expected);
    });
}

fn ways(n: u32) -> u32 {
    if n < 2 { 1 } else { ways(n - 1) + 2 * ways(n - 2) % 1000 }
}
