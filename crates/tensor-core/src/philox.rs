//! Philox4x32-10: random words as a pure function of (seed, stream, counter).
//!
//! A counter-based generator needs no state to be shared or saved: element `i` of a dropout mask
//! comes from counter `i / 4`, word `i % 4`, on any thread and any device, and the backward pass
//! draws the same mask again instead of keeping it.
//!
//! Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
//! section 3.3; the known answers in the tests are those of their Random123 library.

use cpu_math::parallel::{CHUNK, for_each_chunk};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// Multipliers and key increments of the paper's Philox4x32.
const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// Counters that one vectorised step encrypts together.
const LANES: usize = 16;

/// `L` blocks at once; `words[w][l]` is word `w` of block `l`, counters before and random after.
///
/// Words live in the low half of 64-bit lanes, where a vector multiply takes both factors; the
/// high halves hold rubbish.
#[inline(always)]
fn encrypt<const L: usize>(words: &mut [[u64; L]; 4], mut key: [u32; 2]) {
    const LOW: u64 = u32::MAX as u64;
    let [w0, w1, w2, w3] = words;
    for _ in 0..ROUNDS {
        for l in 0..L {
            let p0 = u64::from(MULTIPLIERS[0]) * (w0[l] & LOW);
            let p1 = u64::from(MULTIPLIERS[1]) * (w2[l] & LOW);
            w0[l] = (p1 >> 32) ^ w1[l] ^ u64::from(key[0]);
            w2[l] = (p0 >> 32) ^ w3[l] ^ u64::from(key[1]);
            w1[l] = p1;
            w3[l] = p0;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
}

/// Low and high words.
#[inline(always)]
fn split(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// The four words of one counter.
fn block(seed: u64, stream: u64, counter: u64) -> [u32; 4] {
    let mut words = [[counter], [counter >> 32], [stream], [stream >> 32]];
    encrypt(&mut words, split(seed));
    words.map(|[word]| word as u32)
}

/// A sequential reader of one (seed, stream).
///
/// Two readers of the same pair give the same numbers on every machine; different streams of one
/// seed are independent.
///
/// # Examples
///
/// ```
/// use tensor_core::Philox;
///
/// let draw = |stream| Philox::new(7, stream).uniform();
/// assert_eq!(draw(0), draw(0));
/// assert_ne!(draw(0), draw(1));
/// ```
#[derive(Debug, Clone)]
pub struct Philox {
    seed: u64,
    stream: u64,
    counter: u64,
    buffer: [u32; 4],
    /// Words of `buffer` already given out.
    used: usize,
    /// Second half of the last Box-Muller pair.
    spare_normal: Option<f32>,
}

impl Philox {
    /// A reader at counter 0.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, counter: 0, buffer: [0; 4], used: 4, spare_normal: None }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.buffer = block(self.seed, self.stream, self.counter);
            self.counter = self.counter.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.buffer[self.used - 1]
    }

    /// Uniform in `[0, 1)`, a multiple of `2^-24`.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Standard normal, by Box and Muller's transform in f64 rounded to f32.
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        // Never 0, whose logarithm is infinite.
        let radius_word = f64::from(self.next_u32()) + 0.5;
        let angle_word = f64::from(self.next_u32()) + 0.5;
        let radius = (-2.0 * libm::log(radius_word / 4_294_967_296.0)).sqrt();
        let (sin, cos) = libm::sincos(angle_word * (std::f64::consts::TAU / 4_294_967_296.0));
        self.spare_normal = Some((radius * sin) as f32);
        (radius * cos) as f32
    }

    /// Uniform over `0..n` without bias (Lemire 2019, arXiv:1805.10941); 0 when `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        // Products whose low word is under 2^32 mod n would favour some results.
        let threshold = if n == 0 { 0 } else { n.wrapping_neg() % n };
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Permutes `items` uniformly (Fisher and Yates).
    ///
    /// # Panics
    ///
    /// When there are `2^32` items or more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let bound = u32::try_from(i + 1).expect("fewer than 2^32 items are shuffled");
            items.swap(i, self.below(bound) as usize);
        }
    }
}

/// Names one dropout mask: element `i` of the tensor is kept or dropped by counter `i / 4`, word
/// `i % 4` of this seed and stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DropoutKey {
    /// Seed of the run.
    pub seed: u64,
    /// Distinguishes steps and dropout sites within the run.
    pub stream: u64,
}

impl DropoutKey {
    /// Writes the factors of elements `first..first + out.len()`: `1 / (1 - p)` with probability
    /// `1 - p`, else 0. One thread; any split of a range gives the same factors.
    ///
    /// `p` must be in `[0, 1)`.
    pub(crate) fn fill_factors<T: Real>(self, p: f64, first: u64, out: &mut [T]) {
        let mask = Mask {
            key: self,
            // A word below this is dropped; p < 1 keeps the product below 2^32.
            threshold: (p * 4_294_967_296.0) as u32,
            scale: 1.0 / (1.0 - p),
        };
        let head = ((4 - first % 4) % 4).min(out.len() as u64) as usize;
        let (head, body) = out.split_at_mut(head);
        mask.fill_partial(first, head);
        let first = first + head.len() as u64;
        let (body, tail) = body.split_at_mut(body.len() / 4 * 4);
        fill_blocks(mask, first / 4, body);
        mask.fill_partial(first + body.len() as u64, tail);
    }
}

#[derive(Debug, Clone, Copy)]
struct Mask {
    key: DropoutKey,
    threshold: u32,
    scale: f64,
}

impl Mask {
    /// Fills part of one block.
    fn fill_partial<T: Real>(self, first: u64, out: &mut [T]) {
        if out.is_empty() {
            return;
        }
        let words = block(self.key.seed, self.key.stream, first / 4);
        for (value, &word) in out.iter_mut().zip(&words[(first % 4) as usize..]) {
            *value = if word >= self.threshold { T::from_f64(self.scale) } else { T::ZERO };
        }
    }
}

simd_dispatch! {
    /// Fills whole blocks of four, from counter `first_block` on.
    fn fill_blocks<T: Real>(mask: Mask, first_block: u64, out: &mut [T]) {
        let key = split(mask.key.seed);
        let stream = mask.key.stream;
        let scale = T::from_f64(mask.scale);
        for (g, group) in out.chunks_mut(4 * LANES).enumerate() {
            let counters: [u64; LANES] =
                std::array::from_fn(|l| first_block.wrapping_add((g * LANES + l) as u64));
            let high = counters.map(|counter| counter >> 32);
            let mut words = [counters, high, [stream; LANES], [stream >> 32; LANES]];
            encrypt(&mut words, key);
            let mut factors = [T::ZERO; 4 * LANES];
            for l in 0..LANES {
                for w in 0..4 {
                    let kept = words[w][l] as u32 >= mask.threshold;
                    factors[4 * l + w] = if kept { scale } else { T::ZERO };
                }
            }
            group.copy_from_slice(&factors[..group.len()]);
        }
    }

    fn multiply_in_place<T: Real>(factors: &mut [T], x: &[T]) {
        for (factor, &x) in factors.iter_mut().zip(x) {
            *factor *= x;
        }
    }
}

/// `x` with elements dropped with probability `p` and the rest scaled by `1 / (1 - p)`.
pub(crate) fn dropout<T: Real>(x: &[T], p: f64, key: DropoutKey) -> Vec<T> {
    let mut out = vec![T::ZERO; x.len()];
    for_each_chunk(&mut out, CHUNK, |start, chunk| {
        key.fill_factors(p, start as u64, chunk);
        multiply_in_place(chunk, &x[start..start + chunk.len()]);
    });
    out
}

#[cfg(test)]
mod tests;
