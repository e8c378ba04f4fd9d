//! Rules against saying the same again.

use super::{Prefix, ScoreRule};

/// Divides positive scores of tokens that the row holds, its prompt included, by `penalty` and
/// multiplies negative ones by it: above 1 discourages repetition.
///
/// # Source
///
/// Keskar et al. 2019, arXiv:1909.05858, section 4.1, as `RepetitionPenaltyLogitsProcessor` of
/// `transformers` has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepetitionPenalty {
    /// Above 0; 1 changes nothing.
    pub penalty: f32,
}

impl ScoreRule for RepetitionPenalty {
    fn apply(&self, prefix: Prefix<'_>, scores: &mut [f32]) {
        let mut seen = prefix.ids.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = if *score < 0.0 { *score * self.penalty } else { *score / self.penalty };
            }
        }
    }
}

/// Forbids the token that would complete a run of `size` tokens that the row holds already, its
/// prompt included.
///
/// # Source
///
/// `NoRepeatNGramLogitsProcessor` of `transformers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRepeatNgram {
    /// Tokens of a run; at least 1, and 0 forbids nothing.
    pub size: usize,
}

impl ScoreRule for NoRepeatNgram {
    fn apply(&self, prefix: Prefix<'_>, scores: &mut [f32]) {
        let (ids, size) = (prefix.ids, self.size);
        if size == 0 || ids.len() + 1 < size {
            return;
        }
        let end = &ids[ids.len() + 1 - size..];
        for run in ids.windows(size).filter(|run| run[..size - 1] == *end) {
            if let Some(score) = scores.get_mut(run[size - 1] as usize) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rule: &dyn ScoreRule, ids: &[u32]) -> [f32; 4] {
        let mut scores = [1.0, -1.0, 2.0, -2.0];
        rule.apply(Prefix { ids, prompt_len: 1 }, &mut scores);
        scores
    }

    #[test]
    fn penalty_lowers_what_was_said_once_however_often() {
        let rule = RepetitionPenalty { penalty: 2.0 };
        assert_eq!(after(&rule, &[1, 1, 2, 77]), [1.0, -2.0, 1.0, -2.0]);
    }

    #[test]
    fn a_run_is_not_completed_twice() {
        let infinity = f32::INFINITY;
        let two = NoRepeatNgram { size: 2 };
        assert_eq!(after(&two, &[0, 2, 0, 3, 0]), [1.0, -1.0, -infinity, -infinity]);
        assert_eq!(after(&two, &[0]), [1.0, -1.0, 2.0, -2.0]);
        assert_eq!(after(&NoRepeatNgram { size: 1 }, &[1]), [1.0, -infinity, 2.0, -2.0]);
        assert_eq!(after(&NoRepeatNgram { size: 4 }, &[1, 2, 3]), [1.0, -1.0, 2.0, -2.0]);
        assert_eq!(after(&NoRepeatNgram { size: 0 }, &[1]), [1.0, -1.0, 2.0, -2.0]);
    }
}
