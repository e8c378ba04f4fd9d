//! Joins what overlapping chunks of a recording gave.

use crate::whisper::{SECONDS_PER_TIMESTAMP, SpecialTokens};

/// Tokens of one chunk, and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkTokens<'a> {
    pub(super) ids: &'a [u32],
    /// Length in seconds.
    pub(super) length: f64,
    /// Seconds at its start that the chunk before heard too; 0 for the first.
    pub(super) stride_left: f64,
    /// Seconds at its end that the chunk behind hears too; 0 for the last.
    pub(super) stride_right: f64,
}

/// A text token, and which one of its chunk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) id: u32,
    pub(super) chunk: usize,
    /// Number among the chunk's text tokens.
    pub(super) place: usize,
}

/// A piece of the joined transcript.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Joined {
    /// Start in seconds, where a timestamp gave one.
    pub(super) start: Option<f64>,
    /// End in seconds, likewise.
    pub(super) end: Option<f64>,
    pub(super) tokens: Vec<Heard>,
    /// Chunk in which it ended.
    pub(super) chunk: usize,
}

/// Pieces between timestamps, over all chunks.
///
/// Timestamps in the overlap of two chunks do not end a piece; the tokens of both chunks are kept
/// until one outside does, and [`join_overlaps`] makes one text of them. Without timestamps there
/// is one piece.
///
/// # Source
///
/// `_decode_asr` of `transformers` 5.23.
pub(super) fn join(chunks: &[ChunkTokens<'_>], tokens: &SpecialTokens) -> Vec<Joined> {
    let mut pieces = Vec::new();
    // Tokens of the piece under way, chunk by chunk.
    let mut parts: Vec<Vec<Heard>> = Vec::new();
    let mut start = None;
    let mut skips_next = false;
    let mut offset = 0.0;
    for (k, chunk) in chunks.iter().enumerate() {
        offset -= chunk.stride_left;
        let first = chunk.stride_left / SECONDS_PER_TIMESTAMP;
        let last = last_to_skip(chunk, tokens);
        let mut current = Vec::new();
        let mut places = 0..;
        for &id in chunk.ids {
            let Some(step) = tokens.timestamp(id) else {
                if tokens.is_text(id) {
                    current.extend(places.next().map(|place| Heard { id, chunk: k, place }));
                }
                continue;
            };
            let time = round_to_centi(step as f64 * SECONDS_PER_TIMESTAMP + offset);
            if last.is_some_and(|last| step >= last) {
                // Timestamps come in pairs: its partner is not heard either.
                skips_next = true;
            } else if skips_next || (!parts.is_empty() && (step as f64) < first) {
                skips_next = false;
            } else if start.is_none() {
                start = Some(time);
            } else if start != Some(time) {
                parts.push(std::mem::take(&mut current));
                let tokens = join_overlaps(&parts);
                pieces.push(Joined { start, end: Some(time), tokens, chunk: k });
                parts.clear();
                start = None;
            }
        }
        offset += chunk.length - chunk.stride_right;
        if !current.is_empty() {
            parts.push(current);
        } else if parts.iter().all(Vec::is_empty) {
            parts.clear();
            start = None;
        }
    }
    if !parts.is_empty() {
        let tokens = join_overlaps(&parts);
        pieces.push(Joined { start, end: None, tokens, chunk: chunks.len() - 1 });
    }
    pieces
}

/// The first timestamp from which on a chunk's timestamps are not to end a piece: that of the
/// right overlap, and the last one in any case; `None` where nothing overlaps or it is the very
/// first one.
fn last_to_skip(chunk: &ChunkTokens<'_>, tokens: &SpecialTokens) -> Option<usize> {
    if chunk.stride_right == 0.0 {
        return None;
    }
    let mut last = None;
    for step in chunk.ids.iter().rev().filter_map(|&id| tokens.timestamp(id)) {
        let within = (step as f64) * SECONDS_PER_TIMESTAMP >= chunk.length - chunk.stride_right;
        if last.is_some() && !within {
            break;
        }
        last = Some(step);
    }
    last
}

/// One sequence of several, each of which overlaps the next.
///
/// Two neighbours are laid over each other at the place where the share of equal tokens is
/// largest, with a little in favour of long overlaps. The left one is trusted for the left half of
/// the overlap, the right one for the rest. Fewer than two equal tokens are no overlap.
///
/// # Source
///
/// `_find_longest_common_sequence` of `transformers` 5.23.
fn join_overlaps(parts: &[Vec<Heard>]) -> Vec<Heard> {
    let Some((first, rest)) = parts.split_first() else { return Vec::new() };
    let mut total = Vec::new();
    let mut left = &first[..];
    for right in rest {
        let mut best = 0.0;
        let mut ranges = (left.len()..left.len(), 0..0);
        for shift in 1..(left.len() + right.len()).max(1) {
            let of_left =
                left.len().saturating_sub(shift)..left.len().min(left.len() + right.len() - shift);
            let of_right = shift.saturating_sub(left.len())..right.len().min(shift);
            let pairs = left[of_left.clone()].iter().zip(&right[of_right.clone()]);
            let equal = pairs.filter(|(a, b)| a.id == b.id).count();
            let share = equal as f64 / shift as f64 + shift as f64 / 10_000.0;
            if equal > 1 && share > best {
                best = share;
                ranges = (of_left, of_right);
            }
        }
        let (of_left, of_right) = ranges;
        total.extend(&left[..usize::midpoint(of_left.start, of_left.end)]);
        left = &right[usize::midpoint(of_right.start, of_right.end)..];
    }
    total.extend(left);
    total
}

fn round_to_centi(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_said_once() {
        let join = |parts: &[&[u32]]| -> Vec<u32> {
            let heard = |(chunk, part): (usize, &&[u32])| {
                let numbered = part.iter().enumerate();
                numbered.map(|(place, &id)| Heard { id, chunk, place }).collect()
            };
            let joined = join_overlaps(&parts.iter().enumerate().map(heard).collect::<Vec<_>>());
            joined.iter().map(|token| token.id).collect()
        };
        assert_eq!(join(&[&[1, 2, 3, 4], &[3, 4, 5]]), [1, 2, 3, 4, 5]);
        // A word that one of them misheard: the left one is trusted left, the right one right.
        assert_eq!(join(&[&[1, 2, 3, 4, 9], &[8, 3, 4, 5, 6]]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(join(&[&[1, 2], &[3, 4]]), [1, 2, 3, 4]);
        assert_eq!(join(&[&[1, 2, 3], &[2, 3, 4], &[3, 4, 5]]), [1, 2, 3, 4, 5]);
        assert_eq!(join(&[&[], &[3, 4], &[]]), [3, 4]);
        assert!(join(&[&[], &[]]).is_empty() && join(&[]).is_empty());
    }
}
