//! A counter-based random stream: draw `k` of example `index` under `seed` is a hash of the three.

/// Draws for one example.
pub(super) struct Rng {
    key: u64,
    counter: u64,
}

impl Rng {
    /// The stream of `(seed, index)`. `purpose` keeps different augmentations independent.
    pub(super) fn new(seed: u64, index: u64, purpose: u64) -> Self {
        Self { key: mix(mix(mix(seed) ^ index) ^ purpose), counter: 0 }
    }

    /// A uniform integer in `0..=max`.
    pub(super) fn up_to(&mut self, max: usize) -> usize {
        self.counter += 1;
        let bits = mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)));
        // Multiply-shift: the bias of `max / 2^64` is far below what can be seen.
        ((u128::from(bits) * (max as u128 + 1)) >> 64) as usize
    }
}

/// `2^64` over the golden ratio: SplitMix64's step.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser (Steele, Lea and Flood 2014): every input bit reaches every output bit.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_reach_both_ends() {
        let mut counts = [0_u32; 7];
        for index in 0..7000 {
            counts[Rng::new(3, index, 0).up_to(6)] += 1;
        }
        assert!(counts.iter().all(|&n| (850..1150).contains(&n)), "{counts:?}");
        assert_eq!(Rng::new(1, 2, 3).up_to(0), 0);
    }

    #[test]
    fn neighbouring_seeds_indices_and_purposes_differ() {
        let draw = |seed, index, purpose| Rng::new(seed, index, purpose).up_to(usize::MAX - 1);
        let all = [draw(0, 0, 0), draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1), draw(1, 1, 0)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
    }
}
