//! Retrieval from a score matrix: at which rank does each query find its partner?
//!
//! Query `q` is compared with every candidate; its rank is 1 plus the number of wrong candidates
//! that score above the right one. Ties must be decided openly: a model that gives every
//! candidate the same score would otherwise look perfect. For N candidates, chance is a mean rank
//! of (N + 1) / 2 and R@k of k / N.

use crate::error::{ErrorKind, MetricError};

/// How a wrong candidate with exactly the right one's score counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ties {
    /// Before the right one: the worst rank of the tie (`rankdata(method="max")`).
    #[default]
    Pessimistic,
    /// Half before and half after: the mean rank (`rankdata(method="average")`).
    Average,
}

/// The rank of the right candidate for each query.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    ranks: Vec<f64>,
    n_candidates: usize,
}

impl Retrieval {
    /// Ranks where query `i` belongs to candidate `i`.
    ///
    /// # Shapes
    ///
    /// `scores` is `(B, B)`, row-major: row = query, column = candidate, larger = more alike.
    ///
    /// # Errors
    ///
    /// [`Length`](ErrorKind::Length) when `scores` is not `n * n` long; [`Empty`](ErrorKind::Empty)
    /// when `n` is 0; [`NonFinite`](ErrorKind::NonFinite) for NaN (infinities are ordered).
    pub fn paired(scores: &[f32], n: usize, ties: Ties) -> Result<Self, MetricError> {
        let identity: Vec<usize> = (0..n).collect();
        Self::grouped(scores, &identity, &identity, ties)
    }

    /// Ranks where a candidate is right for every query of the same group.
    ///
    /// Use it when several recordings carry one sentence: the rank is that of the best right
    /// candidate, and the other right ones do not count against it.
    ///
    /// # Shapes
    ///
    /// | argument | shape | meaning |
    /// |---|---|---|
    /// | `scores` | `(N, M)` | row = query, column = candidate, larger = more alike |
    /// | `queries` | `(N,)` | group of each query |
    /// | `candidates` | `(M,)` | group of each candidate |
    ///
    /// # Errors
    ///
    /// As for [`paired`](Self::paired), and [`Label`](ErrorKind::Label) when a query has no right
    /// candidate.
    pub fn grouped(
        scores: &[f32],
        queries: &[usize],
        candidates: &[usize],
        ties: Ties,
    ) -> Result<Self, MetricError> {
        const METRIC: &str = "retrieval";
        let m = candidates.len();
        MetricError::check_least(METRIC, "queries", queries.len(), 1)?;
        MetricError::check_least(METRIC, "candidates", m, 1)?;
        if queries.len().checked_mul(m) != Some(scores.len()) {
            let detail = format!(
                "scores, expected {} queries * {m} candidates, got {} values",
                queries.len(),
                scores.len()
            );
            return Err(MetricError::new(METRIC, ErrorKind::Length, detail));
        }
        if let Some(at) = scores.iter().position(|score| score.is_nan()) {
            let detail = format!("scores[{}, {}], expected a number, got NaN", at / m, at % m);
            return Err(MetricError::new(METRIC, ErrorKind::NonFinite, detail));
        }
        let mut ranks = Vec::with_capacity(queries.len());
        for (query, (row, group)) in scores.chunks_exact(m).zip(queries).enumerate() {
            ranks.push(rank(row, candidates, *group, ties).ok_or_else(|| {
                let detail =
                    format!("query {query}, expected a candidate of group {group}, got none");
                MetricError::new(METRIC, ErrorKind::Label, detail)
            })?);
        }
        Ok(Self { ranks, n_candidates: m })
    }

    /// Rank of each query, from 1; a half is possible with [`Ties::Average`].
    pub fn ranks(&self) -> &[f64] {
        &self.ranks
    }

    /// Number of candidates that each query chose from.
    pub fn n_candidates(&self) -> usize {
        self.n_candidates
    }

    /// Mean rank; 1 is perfect.
    pub fn mean_rank(&self) -> f64 {
        self.mean(|rank| rank)
    }

    /// Median rank; the mean of the middle two for an even number of queries.
    pub fn median_rank(&self) -> f64 {
        let mut sorted = self.ranks.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
    }

    /// R@k: the share of queries whose rank is at most `k`.
    pub fn recall_at(&self, k: usize) -> f64 {
        self.mean(|rank| if rank <= k as f64 { 1.0 } else { 0.0 })
    }

    /// Mean reciprocal rank, in 0..=1.
    pub fn mean_reciprocal_rank(&self) -> f64 {
        self.mean(|rank| 1.0 / rank)
    }

    fn mean(&self, value: impl Fn(f64) -> f64) -> f64 {
        self.ranks.iter().map(|&rank| value(rank)).sum::<f64>() / self.ranks.len() as f64
    }
}

/// Rank of the best candidate of `group`, or `None` when there is none.
fn rank(row: &[f32], candidates: &[usize], group: usize, ties: Ties) -> Option<f64> {
    let of_group = row.iter().zip(candidates).filter(|&(_, &g)| g == group);
    let best = of_group.map(|(&score, _)| score).reduce(f32::max)?;
    let (mut above, mut equal) = (0, 0);
    for (&score, _) in row.iter().zip(candidates).filter(|&(_, &g)| g != group) {
        above += usize::from(score > best);
        equal += usize::from(score == best);
    }
    let tied = match ties {
        Ties::Pessimistic => equal as f64,
        Ties::Average => equal as f64 / 2.0,
    };
    Some(1.0 + above as f64 + tied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_everywhere_are_not_a_good_model() {
        let flat = [0.5; 25];
        let worst = Retrieval::paired(&flat, 5, Ties::Pessimistic).unwrap();
        assert_eq!((worst.mean_rank(), worst.recall_at(1)), (5.0, 0.0));
        let chance = Retrieval::paired(&flat, 5, Ties::Average).unwrap();
        assert_eq!(chance.mean_rank(), 3.0);
    }

    #[test]
    fn the_diagonal_wins_in_a_perfect_model() {
        for n in [1, 2, 7] {
            let mut scores = vec![0.0; n * n];
            (0..n).for_each(|i| scores[i * n + i] = 1.0);
            let score = Retrieval::paired(&scores, n, Ties::Pessimistic).unwrap();
            assert_eq!(score.mean_rank(), 1.0);
            assert_eq!(score.median_rank(), 1.0);
            assert_eq!(score.mean_reciprocal_rank(), 1.0);
            assert_eq!(score.recall_at(1), 1.0);
            assert_eq!(score.recall_at(0), 0.0);
        }
    }

    #[test]
    fn other_recordings_of_the_sentence_do_not_count_against_it() {
        // Candidates 0 and 2 carry the query's sentence; only candidate 1 stands before them.
        let scores = [0.1, 0.9, 0.8, 0.0];
        let score = Retrieval::grouped(&scores, &[7], &[7, 3, 7, 4], Ties::Pessimistic).unwrap();
        assert_eq!(score.ranks(), [2.0]);
        assert_eq!(score.n_candidates(), 4);
    }

    #[test]
    fn bad_matrices_are_refused_by_kind() {
        let kind =
            |scores: &[f32], n| Retrieval::paired(scores, n, Ties::Pessimistic).unwrap_err().kind();
        assert_eq!(kind(&[0.0; 3], 2), ErrorKind::Length);
        assert_eq!(kind(&[], 0), ErrorKind::Empty);
        let error = Retrieval::paired(&[0.0, 1.0, f32::NAN, 0.0], 2, Ties::Average).unwrap_err();
        assert_eq!(error.to_string(), "retrieval: scores[1, 0], expected a number, got NaN");
        let error = Retrieval::grouped(&[0.0], &[1], &[2], Ties::Average).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Label);
    }
}
