//! Tokens that are never generated.

use super::{Prefix, ScoreRule, forbid};

/// Tokens never generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressTokens(pub Vec<u32>);

impl ScoreRule for SuppressTokens {
    fn apply(&self, _: Prefix<'_>, scores: &mut [f32]) {
        forbid(&self.0, scores);
    }
}

/// Tokens never generated right after the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressTokensAtBegin(pub Vec<u32>);

impl ScoreRule for SuppressTokensAtBegin {
    fn apply(&self, prefix: Prefix<'_>, scores: &mut [f32]) {
        if prefix.new_ids().is_empty() {
            forbid(&self.0, scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_list_holds_for_the_first_token_only() {
        let after = |rule: &dyn ScoreRule, ids: &[u32]| {
            let mut scores = [0.5, 0.9, 0.1];
            rule.apply(Prefix { ids, prompt_len: 1 }, &mut scores);
            scores
        };
        let infinity = f32::INFINITY;
        let begin = SuppressTokensAtBegin(vec![1]);
        assert_eq!(after(&begin, &[7]), [0.5, -infinity, 0.1]);
        assert_eq!(after(&begin, &[7, 0]), [0.5, 0.9, 0.1]);
        let always = SuppressTokens(vec![2, 99]);
        assert_eq!(after(&always, &[7, 0]), [0.5, 0.9, -infinity]);
    }
}
