//! Blends: manifests that share an epoch by weight.
//!
//! An epoch's items are shared out among the sources by their weights, and a source's among the
//! length buckets by how many of its utterances lie there, so that both proportions hold in every
//! epoch and an epoch always has the same number of batches. What is drawn of a source in a bucket
//! goes through its utterances in an order keyed by (seed, round): draw number `n` over all epochs
//! is known without the draws before it.

use super::permutation::Permutation;

/// Which source each utterance is of, and how much of an epoch each source gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Blend {
    /// The source of each utterance, an index into `weights`.
    pub source_of: Vec<usize>,
    /// Share of each source, in any unit; only their ratios count.
    pub weights: Vec<f64>,
}

impl Blend {
    pub(super) fn check(&self, n_utterances: usize) -> anyhow::Result<()> {
        let (n, n_sources) = (self.source_of.len(), self.weights.len());
        anyhow::ensure!(
            n == n_utterances,
            "blend: sources of {n} utterances, expected of {n_utterances}"
        );
        for (k, &weight) in self.weights.iter().enumerate() {
            anyhow::ensure!(
                weight > 0.0 && weight.is_finite(),
                "blend: weight of source {k} is {weight}, expected > 0 (hint: leave the source out)"
            );
            anyhow::ensure!(
                self.source_of.contains(&k),
                "blend: source {k} has no utterance left, expected at least one (hint: \
                 data.max_duration_s, data.min_duration_s and data.limit leave some out)"
            );
        }
        anyhow::ensure!(
            self.source_of.iter().all(|&source| source < n_sources),
            "blend: an utterance is of a source without a weight, expected below {n_sources}"
        );
        Ok(())
    }
}

/// What an epoch draws of one source in one bucket.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// Utterances of the source in the bucket.
    items: Vec<usize>,
    /// Draws in each epoch; at least one, so that no utterance is passed over for ever.
    drawn: usize,
    /// Number of the first draw among those of the bucket.
    first_slot: usize,
    /// Keeps the orders of cells apart.
    stream: u64,
}

impl Cell {
    /// One more than the last draw of the cell among those of the bucket.
    pub(super) fn end(&self) -> usize {
        self.first_slot + self.drawn
    }

    /// The utterance drawn for `slot`, one of the cell's own.
    pub(super) fn item(&self, seed: u64, epoch: u64, slot: usize) -> usize {
        let n = self.items.len() as u64;
        let draw = epoch * self.drawn as u64 + (slot - self.first_slot) as u64;
        let order = Permutation::new(self.items.len(), seed, draw / n, self.stream);
        self.items[order.apply((draw % n) as usize)]
    }
}

/// The cells of each bucket, given its utterances.
pub(super) fn cells(blend: &Blend, buckets: &[&[usize]]) -> Vec<Vec<Cell>> {
    let n_sources = blend.weights.len();
    let mut items = vec![vec![Vec::new(); n_sources]; buckets.len()];
    for (bucket, utterances) in buckets.iter().enumerate() {
        for &utterance in *utterances {
            items[bucket][blend.source_of[utterance]].push(utterance);
        }
    }
    let shares = share_out(blend.source_of.len(), &blend.weights);
    let drawn: Vec<Vec<usize>> = (0..n_sources)
        .map(|source| {
            let counts = items.iter().map(|of_bucket| of_bucket[source].len() as f64);
            share_out(shares[source], &counts.collect::<Vec<_>>())
        })
        .collect();
    let bucket_cells = |(bucket, of_bucket): (usize, Vec<Vec<usize>>)| {
        let mut first_slot = 0;
        let of_source = of_bucket.into_iter().enumerate().filter(|(_, items)| !items.is_empty());
        let cells = of_source.map(|(source, items)| {
            // Apart from the streams of buckets, which are their numbers.
            let stream = 1 << 62 | (bucket as u64) << 24 | source as u64;
            let cell = Cell { items, drawn: drawn[source][bucket], first_slot, stream };
            first_slot = cell.end();
            cell
        });
        cells.collect()
    };
    items.into_iter().enumerate().map(bucket_cells).collect()
}

/// `total` in whole parts by weight, by largest remainders; every weight above 0 gets at least one,
/// even where that makes more than `total`.
fn share_out(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let quota: Vec<f64> = weights.iter().map(|weight| total as f64 * weight / sum).collect();
    let least = |k: usize| usize::from(weights[k] > 0.0);
    let mut parts: Vec<usize> =
        quota.iter().enumerate().map(|(k, quota)| (quota.floor() as usize).max(least(k))).collect();
    // How much a part falls short of its quota; the first of equals.
    let most = |parts: &[usize], sign: f64, may: &dyn Fn(usize) -> bool| {
        let short = |k: usize| sign * (quota[k] - parts[k] as f64);
        let candidates = (0..parts.len()).filter(|&k| may(k));
        candidates.reduce(|best, k| if short(k) > short(best) { k } else { best })
    };
    while parts.iter().sum::<usize>() < total {
        let Some(k) = most(&parts, 1.0, &|k| weights[k] > 0.0) else { break };
        parts[k] += 1;
    }
    while parts.iter().sum::<usize>() > total {
        let Some(k) = most(&parts, -1.0, &|k| parts[k] > least(k)) else { break };
        parts[k] -= 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::share_out;

    #[test]
    fn parts_are_whole_and_none_is_forgotten() {
        assert_eq!(share_out(10, &[1.0, 1.0]), [5, 5]);
        assert_eq!(share_out(10, &[2.0, 1.0]), [7, 3]);
        assert_eq!(share_out(11, &[1.0, 1.0]), [6, 5]);
        assert_eq!(share_out(10, &[0.001, 1.0, 0.0]), [1, 9, 0]);
        assert_eq!(share_out(1, &[1.0, 1.0]), [1, 1]);
    }
}
