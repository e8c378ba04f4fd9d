//! Length buckets: batches of similar lengths, each utterance once an epoch.
//!
//! Utterances are sorted by length and cut into buckets of equal count. Every bucket has a fixed
//! batch size, the largest whose padded cost stays under the caps even if all items were as long
//! as the bucket's longest. Which items meet in a batch, and in which order batches come, is a
//! permutation keyed by (seed, epoch); since it is computed in place (a Feistel network) rather
//! than by shuffling a list, [`BatchPlan::batch`] costs the same at step 0 and at step ten million.

use std::ops::Range;

use super::blend::{Blend, Cell, cells};
use super::permutation::Permutation;

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
    lengths: Vec<Length>,
    /// Utterances, sorted by length.
    sorted: Vec<usize>,
    buckets: Vec<Bucket>,
    n_batches: usize,
}

/// A run of `sorted` and the batches made of it.
#[derive(Debug, Clone)]
struct Bucket {
    items: Range<usize>,
    /// What an epoch draws of each source of a blend; empty where it takes every item once.
    cells: Vec<Cell>,
    /// Items that an epoch takes, with repetition.
    n_slots: usize,
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
        Self::plan(&lengths, options, seed, None)
    }

    /// [`new`](Self::new) for a blend: an epoch has as many items as there are utterances, and
    /// each source has its weight's share of them.
    ///
    /// A source's utterances come in turn, each once before one comes again, epochs notwithstanding:
    /// where its share of an epoch is more than it has, some of them come more than once, and may
    /// meet themselves in a batch.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and when the blend is of another number of utterances, a weight is
    /// not above 0, or a source is empty.
    pub fn blended(
        lengths: Vec<Length>,
        options: BatchOptions,
        seed: u64,
        blend: &Blend,
    ) -> anyhow::Result<Self> {
        blend.check(lengths.len())?;
        Self::plan(&lengths, options, seed, Some(blend))
    }

    fn plan(
        lengths: &[Length],
        options: BatchOptions,
        seed: u64,
        blend: Option<&Blend>,
    ) -> anyhow::Result<Self> {
        check(lengths, options)?;
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
        // The fitting buckets of a plan with so many of them, then those of what is oversized.
        let layout = |count: usize| {
            let bounds = (0..count).map(|k| n_fitting * k / count..n_fitting * (k + 1) / count);
            let fitting = bounds.filter(|items| !items.is_empty()).map(|items| {
                let longest = longest(sorted[items.clone()].iter().map(|&i| lengths[i]));
                (items, capacity(longest, options))
            });
            let mut planned: Vec<(Range<usize>, usize)> = fitting.collect();
            let n_buckets = planned.len();
            match blend {
                None => planned.extend((n_fitting..sorted.len()).map(|at| (at..at + 1, 1))),
                // One for all: a draw may pass over an item that is alone in its bucket.
                Some(_) if n_fitting < sorted.len() => planned.push((n_fitting..sorted.len(), 1)),
                Some(_) => {}
            }
            let ranges: Vec<&[usize]> =
                planned.iter().map(|(items, _)| &sorted[items.clone()]).collect();
            let drawn = blend.map(|blend| cells(blend, &ranges));
            let buckets = planned.into_iter().enumerate().map(|(at, (items, size))| {
                let cells = drawn.as_ref().map_or(Vec::new(), |drawn| drawn[at].clone());
                let n_slots = match cells.last() {
                    Some(last) => last.end(),
                    None => items.len(),
                };
                let n_batches = n_slots.div_ceil(size);
                (Bucket { items, cells, n_slots, n_batches, first_batch: 0 }, size)
            });
            let buckets: Vec<(Bucket, usize)> = buckets.collect();
            (buckets, n_buckets)
        };
        // A bucket smaller than its batch would only make small batches.
        let (buckets, _) = (1..=bucket_count)
            .rev()
            .map(layout)
            .find(|(buckets, n)| buckets[..*n].iter().all(|(b, size)| b.n_slots >= *size))
            .unwrap_or_else(|| layout(1));

        let mut n_batches = 0;
        let buckets = buckets.into_iter().map(|(mut bucket, _)| {
            bucket.first_batch = n_batches;
            n_batches += bucket.n_batches;
            bucket
        });
        let buckets = buckets.collect();
        Ok(Self { seed, lengths: lengths.to_vec(), sorted, buckets, n_batches })
    }

    /// Batches in an epoch; the same in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.n_batches
    }

    /// Number of the batch of the first epoch that has the most seconds, then tokens, padding included.
    pub fn heaviest(&self) -> u64 {
        let weight = |number: &u64| {
            let items = self.batch(*number);
            let longest = longest(items.iter().map(|&item| self.lengths[item]));
            let seconds = longest.seconds * items.len() as f64;
            (seconds, longest.tokens * items.len())
        };
        let heavier = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        (0..self.n_batches as u64)
            .max_by(|a, b| heavier(&weight(a), &weight(b)))
            .unwrap_or_default()
    }

    /// The utterances of batch number `step`, counted from 0 through all epochs.
    ///
    /// A pure function of the plan's arguments and `step`. Within an epoch every utterance is in
    /// exactly one batch, unless the plan is [`blended`](Self::blended).
    pub fn batch(&self, step: u64) -> Vec<usize> {
        let n_batches = self.n_batches as u64;
        let (epoch, slot) = (step / n_batches, (step % n_batches) as usize);
        let batch_order = Permutation::new(self.n_batches, self.seed, epoch, u64::MAX);
        let number = batch_order.apply(slot);
        let at = self.buckets.partition_point(|bucket| bucket.first_batch <= number) - 1;
        let bucket = &self.buckets[at];
        // Spreads the remainder, so that no batch is much smaller than the others.
        let k = number - bucket.first_batch;
        let n_slots = bucket.n_slots;
        let slots = n_slots * k / bucket.n_batches..n_slots * (k + 1) / bucket.n_batches;
        let slot_order = Permutation::new(n_slots, self.seed, epoch, at as u64);
        slots
            .map(|slot| {
                let slot = slot_order.apply(slot);
                match bucket.cells.iter().find(|cell| slot < cell.end()) {
                    Some(cell) => cell.item(self.seed, epoch, slot),
                    None => self.sorted[bucket.items.start + slot],
                }
            })
            .collect()
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
