//! Integer arithmetic: wide products, bit counts, shifts across words, bytes chosen by number.

use crate::device::{Noise, args, cover, on_each};

/// Random words, and those where bits run out.
fn words() -> Vec<u64> {
    let mut noise = Noise(21);
    let mut words: Vec<u64> = (0..70).map(|_| noise.bits()).collect();
    words.extend([0, 1, u64::MAX, 1 << 63, 0x7fff_ffff, 0xffff_ffff_0000_0000, 0x20_0000_0003]);
    words
}

#[test]
fn a_64_bit_hash_is_exact() {
    on_each("int_hash", |device| {
        let (x, seed) = (words(), 0x0123_4567_89ab_cdef_u64);
        let out = device.room::<u64>(x.len());
        let list = args![device.put(&x), out, seed, x.len() as i32];
        device.launch("hash", cover(x.len(), 32), &list);
        let expected: Vec<u64> = x
            .iter()
            .map(|word| {
                (0..3).fold(seed ^ word, |mut state, _| {
                    state ^= state >> 33;
                    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
                    state ^= state >> 29;
                    let high = (u128::from(state) * 0x9e37_79b9_7f4a_7c15) >> 64;
                    (state ^ high as u64).rotate_left(21)
                })
            })
            .collect();
        assert_eq!(device.get::<u64>(out, x.len()), expected);
    });
}

#[test]
fn bit_instructions_are_exact() {
    on_each("int_hash", |device| {
        let x = words();
        let out = device.room::<u32>(16 * x.len());
        device.launch("bits", cover(x.len(), 32), &args![device.put(&x), out, x.len() as i32]);
        for (word, got) in x.iter().zip(device.get::<u32>(out, 16 * x.len()).chunks(16)) {
            let expected = bits(*word);
            for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
                assert_eq!(*got, expected, "result {at} of {word:#x}");
            }
        }
    });
}

fn bits(wide: u64) -> [u32; 16] {
    let (low, high) = (wide as u32, (wide >> 32) as u32);
    let (sl, sh) = (low as i32, high as i32);
    let shift = high & 31;
    let first_set = |zeros: u32, width: u32| if zeros == width { 0 } else { zeros + 1 };
    let byte = |at: u32| (wide >> (8 * at)) as u32 & 0xff;
    let bytes = |a: i32| (0..4).map(move |at| i32::from((a >> (8 * at)) as i8));
    let dot: i32 = bytes(sl).zip(bytes(sh)).map(|(a, b)| a * b).sum();
    let shorts = i32::from(low as i16) * i32::from(high as i16);
    [
        low.count_ones() + wide.count_ones(),
        low.leading_zeros(),
        wide.leading_zeros(),
        low.reverse_bits() ^ wide.reverse_bits() as u32,
        first_set(low.trailing_zeros(), 32) * 100 + first_set(wide.trailing_zeros(), 64),
        ((wide << shift) >> 32) as u32,
        (wide >> (high & 63).min(32)) as u32,
        byte(7) | byte(0) << 8 | byte(5) << 16 | byte(2) << 24,
        ((u64::from(low) * u64::from(high)) >> 32) as u32,
        ((i64::from(sl) * i64::from(sh)) >> 32) as u32,
        (dot as u32).wrapping_add(7).wrapping_add(low.abs_diff(high)).wrapping_add(5),
        ((sl / 7) as u32).wrapping_add(low % (high | 1)),
        ((wide / u64::from(high | 1)) as u32).wrapping_add((wide as i64 % -11) as u32),
        ((sl >> shift) as u32).wrapping_add(low << shift),
        high >> 5 & 0x7ff | shorts as u32 & 0xffff_f000,
        ((i64::from(sl) * i64::from(sh)) >> 16) as u32
            ^ sl.wrapping_abs().min(sh.max(-5)) as u32
            ^ ((i64::from(sl) + i64::from(sh)) >> 1) as u32,
    ]
}
