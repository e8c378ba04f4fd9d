//! From where words were heard to where each ends.

/// Where a word was heard, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub(super) start_s: f64,
    pub(super) end_s: f64,
}

/// Where each word ends, in a clip of `clip_s` seconds; `None` stands for a word that nothing was
/// heard of.
///
/// A word that was heard ends where it was heard to. Words that were not share the gap around them
/// evenly: from the end of the word before, or 0, to the start of the word after, or the clip's end.
/// A word's start is not told: it is the end of the word before.
pub(super) fn word_ends(words: &[Option<Span>], clip_s: f64) -> Vec<f64> {
    let mut ends: Vec<f64> = Vec::with_capacity(words.len());
    for run in words.chunk_by(|a, b| a.is_none() && b.is_none()) {
        let before = ends.last().copied().unwrap_or(0.0);
        match run[0] {
            Some(span) => ends.push(span.end_s.min(clip_s).max(before)),
            None => {
                let after = words.get(ends.len() + run.len()).copied().flatten();
                let until = after.map_or(clip_s, |span| span.start_s).max(before);
                let step = (until - before) / run.len() as f64;
                ends.extend((1..=run.len()).map(|k| before + step * k as f64));
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(start_s: f64, end_s: f64) -> Option<Span> {
        Some(Span { start_s, end_s })
    }

    #[test]
    fn words_that_were_not_heard_share_the_gap_around_them() {
        let words = [heard(0.5, 1.0), None, None, heard(2.0, 3.0), None];
        assert_eq!(word_ends(&words, 4.0), [1.0, 1.5, 2.0, 3.0, 4.0]);
        assert_eq!(word_ends(&[None, heard(1.0, 2.0), heard(2.5, 3.0)], 4.0), [1.0, 2.0, 3.0]);
        assert_eq!(word_ends(&[None; 4], 2.0), [0.5, 1.0, 1.5, 2.0]);
        assert!(word_ends(&[], 1.0).is_empty());
    }

    #[test]
    fn ends_rise_and_stay_in_the_clip() {
        // No gap at all, and a last frame that reaches past the last sample.
        let words = [heard(0.0, 1.0), None, heard(1.0, 2.02)];
        assert_eq!(word_ends(&words, 2.0), [1.0, 1.0, 2.0]);
    }
}
