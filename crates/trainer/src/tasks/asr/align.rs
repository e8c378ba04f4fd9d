//! When each word of a transcript is said, by the best path of the CTC head.

use std::ops::Range;

/// Frames of each label on the most probable path that reads exactly `labels`.
///
/// `log_probs` is `(T, V)`, row-major. `None` when there are too few frames for the labels.
///
/// # Source
///
/// The lattice of Graves et al. 2006, "Connectionist temporal classification", section 4.1, with
/// maxima in the place of sums (Viterbi).
pub(super) fn forced_alignment(
    log_probs: &[f32],
    vocab: usize,
    labels: &[u32],
    blank: u32,
) -> Option<Vec<Range<usize>>> {
    let n_frames = log_probs.len() / vocab;
    let n_states = 2 * labels.len() + 1;
    // Blanks at even states, labels at odd ones.
    let symbol = |state: usize| if state.is_multiple_of(2) { blank } else { labels[state / 2] };
    let may_skip =
        |state: usize| state >= 2 && state % 2 == 1 && symbol(state) != symbol(state - 2);

    let mut score = vec![f32::NEG_INFINITY; n_states];
    // How many states back the best path came from.
    let mut steps = vec![0_u8; n_frames * n_states];
    for (t, frame) in log_probs.chunks_exact(vocab).enumerate() {
        // From the last state down, so that the scores below are still the previous frame's.
        for state in (0..n_states).rev() {
            let (mut best, mut step) = (score[state], 0);
            if t == 0 {
                best = if state < 2 { 0.0 } else { f32::NEG_INFINITY };
            } else {
                for back in 1..=2 {
                    let allowed = if back == 1 { state >= 1 } else { may_skip(state) };
                    if allowed && score[state - back] > best {
                        (best, step) = (score[state - back], back as u8);
                    }
                }
            }
            score[state] = best + frame[symbol(state) as usize];
            steps[t * n_states + state] = step;
        }
    }

    let last_label = n_states.checked_sub(2);
    let mut state = match last_label {
        Some(label) if score[label] > score[n_states - 1] => label,
        _ => n_states - 1,
    };
    if n_frames == 0 || score[state] == f32::NEG_INFINITY {
        return None;
    }
    let mut spans = vec![n_frames..0; labels.len()];
    for t in (0..n_frames).rev() {
        if state % 2 == 1 {
            let span = &mut spans[state / 2];
            (span.start, span.end) = (t, span.end.max(t + 1));
        }
        state -= usize::from(steps[t * n_states + state]);
    }
    Some(spans)
}

/// Where words end, in frames: halfway between the last piece of a word and the first of the next.
///
/// Words lie one against the next; the first starts at 0 and the last ends at `n_frames`.
/// `starts_word` says of each piece whether a word starts with it.
pub(super) fn word_ends(spans: &[Range<usize>], starts_word: &[bool], n_frames: f64) -> Vec<f64> {
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

    /// Log-probabilities that favour one symbol a frame.
    fn frames(symbols: &[usize], vocab: usize) -> Vec<f32> {
        let row = |&symbol: &usize| (0..vocab).map(move |v| if v == symbol { -0.1 } else { -3.0 });
        symbols.iter().flat_map(row).collect()
    }

    #[test]
    fn a_clear_path_is_read_off() {
        let log_probs = frames(&[0, 1, 1, 0, 2, 0, 2, 0], 3);
        let spans = forced_alignment(&log_probs, 3, &[1, 2, 2], 0).unwrap();
        assert_eq!(spans, [1..3, 4..5, 6..7]);
    }

    #[test]
    fn the_best_path_is_found_among_all() {
        // Every path of five frames that reads the labels, scored one by one.
        let (vocab, labels) = (3, [1_u32, 2]);
        let log_probs: Vec<f32> = (0..15).map(|i| -(((i * 7 + 3) % 11) as f32) / 4.0).collect();
        let mut best = (f32::NEG_INFINITY, 0);
        for path in 0..243_usize {
            let symbols: Vec<usize> = (0..5).map(|t| path / 3_usize.pow(t) % 3).collect();
            let mut read = symbols.clone();
            read.dedup();
            read.retain(|&symbol| symbol != 0);
            if read == [1, 2] {
                let score = symbols.iter().enumerate().map(|(t, &s)| log_probs[t * 3 + s]).sum();
                if score > best.0 {
                    best = (score, path);
                }
            }
        }
        let spans = forced_alignment(&log_probs, vocab, &labels, 0).unwrap();
        for (t, symbol) in (0..5).map(|t| (t as usize, best.1 / 3_usize.pow(t) % 3)) {
            let inside = spans.iter().position(|span| span.contains(&t)).map_or(0, |k| k + 1);
            assert_eq!(inside, symbol, "frame {t}");
        }
    }

    #[test]
    fn too_few_frames_have_no_path() {
        assert_eq!(forced_alignment(&frames(&[1, 1], 3), 3, &[1, 1], 0), None);
        assert_eq!(forced_alignment(&[], 3, &[1], 0), None);
        let lone = forced_alignment(&frames(&[1], 3), 3, &[1], 0).unwrap();
        assert_eq!((lone.len(), lone[0].clone()), (1, 0..1));
        assert_eq!(forced_alignment(&frames(&[0, 0], 3), 3, &[], 0), Some(vec![]));
    }

    #[test]
    fn words_meet_halfway_between_their_pieces() {
        let ends = word_ends(&[2..3, 5..6, 10..12, 15..16], &[true, false, true, true], 20.0);
        assert_eq!(ends, [8.0, 13.5, 20.0]);
        assert_eq!(word_ends(&[], &[], 7.0), [7.0]);
    }
}
