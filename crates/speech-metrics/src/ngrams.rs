//! Counts of n-grams, and how many two texts share.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `n` items occurs.
pub(crate) fn ngrams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for run in items.windows(n) {
        *counts.entry(run).or_insert(0) += 1;
    }
    counts
}

/// Items that two bags share, each as often as in the bag that has fewer of it.
pub(crate) fn shared<K: Eq + Hash>(a: &HashMap<K, usize>, b: &HashMap<K, usize>) -> usize {
    a.iter().map(|(key, &count)| count.min(b.get(key).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_and_shared_as_often_as_the_rarer_side_has_them() {
        let (a, b) = (['a', 'b', 'a', 'b'], ['a', 'b', 'c']);
        let (a, b) = (ngrams(&a, 2), ngrams(&b, 2));
        assert_eq!((a.len(), a[&['a', 'b'][..]]), (2, 2));
        assert_eq!(shared(&a, &b), 1);
        assert!(ngrams(&['a'], 2).is_empty());
    }
}
