//! Length buckets: batches of similar lengths, each utterance once an epoch.
//!
//! Utterances are sorted by length and cut into buckets of equal count. Every bucket has a fixed
//! batch size, the largest whose padded cost stays under the caps even if all items were as long
//! as the bucket's longest. Which items meet in a batch, and in which order batches come, is a
//! permutation keyed by (seed, epoch); since it is computed in place (a Feistel network) rather
//! than by shuffling a list, [`BatchPlan::batch`] costs the same at step 0 and at step ten million.

use std::ops::Range;

/// Length of one utterance in the two units that batches are capped in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Length {
    /// Seconds of audio; 0 for text alone.
    pub seconds: f64,
    /// Tokens; 0 where tokens play no role.
    pub tokens: usize,
}

/// What happens to an utterance that is over a cap all by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Oversize {
    /// [`BatchPlan::new`] refuses the data and says which utterance it is.
    #[default]
    Refuse,
    /// It gets a batch of its own, over the cap.
    Alone,
}

/// Caps on a batch, padding included; 0 is no cap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchOptions {
    /// Longest item in seconds times items.
    pub max_seconds: f64,
    /// Longest item in tokens times items.
    pub max_tokens: usize,
    /// Items.
    pub max_items: usize,
    /// Buckets at most; fewer are made when a bucket would not fill a batch.
    pub bucket_count: usize,
    /// Utterances over a cap by themselves.
    pub oversize: Oversize,
}

/// Which utterances are in which batch, for every step there will ever be.
#[derive(Debug, Clone)]
pub struct BatchPlan {
    seed: u64,
    /// Utterances, sorted by length.
    sorted: Vec<usize>,
    buckets: Vec<Bucket>,
    n_batches: usize,
}

/// A run of `sorted` and the batches made of it.
#[derive(Debug, Clone)]
struct Bucket {
    items: Range<usize>,
    n_batches: usize,
    /// Number of the bucket's first batch among all batches of an epoch.
    first_batch: usize,
}

impl BatchPlan {
    /// Plans batches of the utterances `0..lengths.len()`.
    ///
    /// # Errors
    ///
    /// When there is nothing to batch, no cap holds (as when seconds are capped and there is no
    /// audio), a length is not finite, or an utterance is over a cap by itself and
    /// [`BatchOptions::oversize`] is [`Oversize::Refuse`].
    pub fn new(lengths: Vec<Length>, options: BatchOptions, seed: u64) -> anyhow::Result<Self> {
        check(&lengths, options)?;
        let mut sorted: Vec<usize> = (0..lengths.len()).collect();
        // Oversized items sort last, so that they form batches of their own at the end.
        let is_over = |i: usize| capacity(lengths[i], options) == 0;
        sorted.sort_by(|&i, &j| {
            let (a, b) = (lengths[i], lengths[j]);
            let by_length = a.seconds.total_cmp(&b.seconds).then(a.tokens.cmp(&b.tokens));
            is_over(i).cmp(&is_over(j)).then(by_length)
        });
        let n_fitting = sorted.partition_point(|&i| !is_over(i));

        let bucket_count = options.bucket_count.clamp(1, n_fitting.max(1));
        let sizes = |count: usize| {
            let bounds =
                (0..count).map(move |k| n_fitting * k / count..n_fitting * (k + 1) / count);
            bounds.filter(|items| !items.is_empty()).map(|items| {
                let longest = longest(sorted[items.clone()].iter().map(|&i| lengths[i]));
                (items, capacity(longest, options))
            })
        };
        // A bucket smaller than its batch would only make small batches.
        let count = (1..=bucket_count)
            .rev()
            .find(|&count| sizes(count).all(|(items, size)| items.len() >= size))
            .unwrap_or(1);
        let mut planned: Vec<(Range<usize>, usize)> = sizes(count).collect();
        planned.extend((n_fitting..sorted.len()).map(|at| (at..at + 1, 1)));

        let mut n_batches = 0;
        let buckets = planned
            .into_iter()
            .map(|(items, size)| {
                let first_batch = n_batches;
                let bucket = Bucket { n_batches: items.len().div_ceil(size), items, first_batch };
                n_batches += bucket.n_batches;
                bucket
            })
            .collect();
        Ok(Self { seed, sorted, buckets, n_batches })
    }

    /// Batches in an epoch; the same in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.n_batches
    }

    /// The utterances of batch number `step`, counted from 0 through all epochs.
    ///
    /// A pure function of the plan's arguments and `step`. Within an epoch every utterance is in
    /// exactly one batch.
    pub fn batch(&self, step: u64) -> Vec<usize> {
        let n_batches = self.n_batches as u64;
        let (epoch, slot) = (step / n_batches, (step % n_batches) as usize);
        let batch_order = Permutation::new(self.n_batches, self.seed, epoch, u64::MAX);
        let number = batch_order.apply(slot);
        let at = self.buckets.partition_point(|bucket| bucket.first_batch <= number) - 1;
        let bucket = &self.buckets[at];
        // Spreads the remainder, so that no batch is much smaller than the others.
        let k = number - bucket.first_batch;
        let n_items = bucket.items.len();
        let items = n_items * k / bucket.n_batches..n_items * (k + 1) / bucket.n_batches;
        let item_order = Permutation::new(n_items, self.seed, epoch, at as u64);
        items.map(|i| self.sorted[bucket.items.start + item_order.apply(i)]).collect()
    }
}

fn check(lengths: &[Length], options: BatchOptions) -> anyhow::Result<()> {
    anyhow::ensure!(!lengths.is_empty(), "batch plan: no utterances, expected at least one");
    anyhow::ensure!(
        capacity(longest(lengths.iter().copied()), options) < usize::MAX,
        "batch plan: no cap holds for these utterances, expected one (hint: batch.max_items; \
         batch.max_seconds caps audio, batch.max_tokens caps tokens)"
    );
    for (i, length) in lengths.iter().enumerate() {
        anyhow::ensure!(
            length.seconds >= 0.0 && length.seconds.is_finite(),
            "batch plan: utterance {i} is {} s long, expected 0 or more",
            length.seconds
        );
        anyhow::ensure!(
            options.oversize == Oversize::Alone || capacity(*length, options) > 0,
            "batch plan: utterance {i} has {} s and {} tokens, expected at most batch.max_seconds = \
             {} and batch.max_tokens = {} (hint: raise the cap or lower data.max_duration_s)",
            length.seconds,
            length.tokens,
            options.max_seconds,
            options.max_tokens
        );
    }
    Ok(())
}

/// Elementwise maximum.
fn longest(items: impl IntoIterator<Item = Length>) -> Length {
    items.into_iter().fold(Length::default(), |longest, item| Length {
        seconds: longest.seconds.max(item.seconds),
        tokens: longest.tokens.max(item.tokens),
    })
}

/// Items of length `longest` that fit under every cap: 0 when not even one does, `usize::MAX`
/// when no cap applies.
fn capacity(longest: Length, options: BatchOptions) -> usize {
    let mut size = usize::MAX;
    if options.max_items > 0 {
        size = size.min(options.max_items);
    }
    if options.max_tokens > 0 && longest.tokens > 0 {
        size = size.min(options.max_tokens / longest.tokens);
    }
    if options.max_seconds > 0.0 && longest.seconds > 0.0 {
        // The sum that matters is the product, which rounds differently from the quotient.
        let mut fit = (options.max_seconds / longest.seconds).floor();
        if fit * longest.seconds > options.max_seconds {
            fit -= 1.0;
        }
        size = size.min(fit as usize);
    }
    size
}

/// A keyed permutation of `0..n`, evaluated one element at a time.
///
/// A balanced Feistel network over the next even number of bits, with values that fall outside
/// `0..n` sent round again (cycle walking): a permutation for any round function.
///
/// # Source
///
/// Black and Rogaway 2002, "Ciphers with arbitrary finite domains", methods 2 and 3.
struct Permutation {
    n: usize,
    half_bits: u32,
    keys: [u64; 6],
}

impl Permutation {
    fn new(n: usize, seed: u64, epoch: u64, stream: u64) -> Self {
        let bits = usize::BITS - n.saturating_sub(1).leading_zeros();
        let mut state = mix(mix(mix(seed) ^ epoch) ^ stream);
        let keys = std::array::from_fn(|_| {
            state = mix(state);
            state
        });
        Self { n, half_bits: bits.div_ceil(2).max(1), keys }
    }

    fn apply(&self, index: usize) -> usize {
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
