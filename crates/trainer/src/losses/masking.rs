//! Masked language modelling: which tokens are hidden, and by what.

use tensor_core::Philox;

/// The label of a position that has no loss.
pub const IGNORED: i64 = -100;

/// A sequence prepared for masked language modelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedTokens {
    /// Ids with masks in place.
    pub input_ids: Vec<i64>,
    /// The original id at chosen positions, [`IGNORED`] elsewhere.
    pub labels: Vec<i64>,
}

/// Chooses each non-special token with `probability`; of the chosen, 80 % become `mask_id`, 10 %
/// a random id below `vocab_size`, and 10 % stay.
///
/// A sequence in which chance chose nothing gets one chosen token, so that short utterances
/// always teach something. `is_special` marks ids that are never chosen.
///
/// Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.
pub fn mask_tokens(
    ids: &[i64],
    is_special: impl Fn(i64) -> bool,
    mask_id: i64,
    vocab_size: usize,
    probability: f64,
    rng: &mut Philox,
) -> MaskedTokens {
    let candidates: Vec<usize> = (0..ids.len()).filter(|&at| !is_special(ids[at])).collect();
    let mut chosen: Vec<usize> = Vec::new();
    for &at in &candidates {
        if f64::from(rng.uniform()) < probability {
            chosen.push(at);
        }
    }
    if chosen.is_empty() && !candidates.is_empty() {
        chosen.push(candidates[rng.below(candidates.len() as u32) as usize]);
    }
    let mut masked = MaskedTokens { input_ids: ids.to_vec(), labels: vec![IGNORED; ids.len()] };
    for at in chosen {
        masked.labels[at] = ids[at];
        match rng.below(10) {
            0..8 => masked.input_ids[at] = mask_id,
            8 => masked.input_ids[at] = i64::from(rng.below(vocab_size as u32)),
            _ => {}
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ids: &[i64], seed: u64) -> MaskedTokens {
        mask_tokens(ids, |id| id < 5, 4, 100, 0.15, &mut Philox::new(seed, 0))
    }

    #[test]
    fn special_tokens_are_never_chosen() {
        for seed in 0..200 {
            let masked = run(&[2, 50, 3, 51, 3], seed);
            for at in [0, 2, 4] {
                assert_eq!(masked.labels[at], IGNORED);
            }
            assert!(masked.labels.iter().any(|&label| label != IGNORED), "one is always chosen");
        }
    }

    #[test]
    fn a_sequence_of_special_tokens_alone_stays_as_it_is() {
        let masked = run(&[2, 3], 1);
        assert_eq!(masked.input_ids, [2, 3]);
        assert_eq!(masked.labels, [IGNORED, IGNORED]);
    }

    #[test]
    fn shares_are_15_percent_chosen_and_80_10_10_of_those() {
        let ids: Vec<i64> = (0..200_000).map(|at| 5 + at % 95).collect();
        let masked = run(&ids, 3);
        let chosen: Vec<usize> =
            (0..ids.len()).filter(|&at| masked.labels[at] != IGNORED).collect();
        let share = |count: usize, of: usize| count as f64 / of as f64;
        assert!((share(chosen.len(), ids.len()) - 0.15).abs() < 0.005);
        let hidden = chosen.iter().filter(|&&at| masked.input_ids[at] == 4).count();
        let same = chosen.iter().filter(|&&at| masked.input_ids[at] == ids[at]).count();
        // One random id in a hundred is the mask, one the original.
        assert!((share(hidden, chosen.len()) - 0.801).abs() < 0.01);
        assert!((share(same, chosen.len()) - 0.101).abs() < 0.01);
        for (label, id) in masked.labels.iter().zip(&ids) {
            assert!(*label == IGNORED || label == id);
        }
    }
}
