//! Orders that are computed rather than shuffled.

/// A keyed permutation of `0..n`, evaluated one element at a time.
///
/// A balanced Feistel network over the next even number of bits, with values that fall outside
/// `0..n` sent round again (cycle walking): a permutation for any round function.
///
/// # Source
///
/// Black and Rogaway 2002, "Ciphers with arbitrary finite domains", methods 2 and 3.
pub(super) struct Permutation {
    n: usize,
    half_bits: u32,
    keys: [u64; 6],
}

impl Permutation {
    /// The permutation of `0..n` that belongs to (seed, epoch, stream).
    pub(super) fn new(n: usize, seed: u64, epoch: u64, stream: u64) -> Self {
        let bits = usize::BITS - n.saturating_sub(1).leading_zeros();
        let mut state = mix(mix(mix(seed) ^ epoch) ^ stream);
        let keys = std::array::from_fn(|_| {
            state = mix(state);
            state
        });
        Self { n, half_bits: bits.div_ceil(2).max(1), keys }
    }

    /// Where `index` goes.
    pub(super) fn apply(&self, index: usize) -> usize {
        debug_assert!(index < self.n, "index within the permuted range");
        let mask = (1u64 << self.half_bits) - 1;
        let mut value = index as u64;
        loop {
            let (mut left, mut right) = (value >> self.half_bits, value & mask);
            for key in self.keys {
                (left, right) = (right, left ^ (mix(right ^ key) & mask));
            }
            value = left << self.half_bits | right;
            if (value as usize) < self.n {
                return value as usize;
            }
        }
    }
}

/// splitmix64's step and finaliser: every input bit reaches every output bit.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
