//! When each word of a transcript ends, by where its pieces are said.

use model_zoo::ctc::TokenSpan;

/// Where words end, in frames: halfway between the last piece of a word and the first of the next.
///
/// Words lie one against the next; the first starts at 0 and the last ends at `n_frames`.
/// `starts_word` says of each piece whether a word starts with it.
pub(super) fn word_ends(spans: &[TokenSpan], starts_word: &[bool], n_frames: f64) -> Vec<f64> {
    let mut ends: Vec<f64> = spans
        .windows(2)
        .zip(starts_word.iter().skip(1))
        .filter(|(_, starts)| **starts)
        .map(|(pair, _)| (pair[0].end + pair[1].start) as f64 / 2.0)
        .collect();
    ends.push(n_frames);
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_meet_halfway_between_their_pieces() {
        let spans = [(2, 3), (5, 6), (10, 12), (15, 16)].map(|(start, end)| TokenSpan {
            token: 1,
            start,
            end,
            score: 1.0,
        });
        let ends = word_ends(&spans, &[true, false, true, true], 20.0);
        assert_eq!(ends, [8.0, 13.5, 20.0]);
        assert_eq!(word_ends(&[], &[], 7.0), [7.0]);
    }
}
