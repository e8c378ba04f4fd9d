//! What an MP4's boxes say beside the packets: whether the file is cut, and what its edit lists trim.
//!
//! # Source
//!
//! ISO/IEC 14496-12, sections 4.2 (boxes), 8.2.2 (`mvhd`), 8.3.2 (`tkhd`) and 8.6.6 (`elst`).

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use symphonia::core::formats::Track;

/// Boxes at the top level that may be cut short. What else lies there may be junk after the sound.
const TOP_BOXES: [&[u8; 4]; 7] = [b"ftyp", b"moov", b"mdat", b"moof", b"sidx", b"free", b"skip"];
/// A file of more boxes than this in a row is not worth reading on.
const MAX_BOXES: usize = 100_000;
/// Bytes read of a header or an edit list: more than any that is understood here.
const MAX_BODY: u64 = 4096;

/// The part of the file that its end falls into.
pub(super) struct Cut {
    pub(super) name: String,
    pub(super) missing: u64,
}

/// What the movie's header says about time.
#[derive(Debug, Default)]
pub(super) struct Movie {
    /// Packets follow in fragments, so that the header does not know how many.
    pub(super) fragmented: bool,
    /// The edits of all tracks that have exactly one, played at normal speed.
    pub(super) edits: Vec<Edit>,
}

/// The one stretch of a track that its edit list presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) track_id: u32,
    /// Where it starts, in ticks of the track: after the encoder's delay.
    pub(super) start: u64,
    /// How long it is, in ticks of the movie; 0 reaches to the end.
    pub(super) duration: u64,
    /// Ticks of the movie a second.
    pub(super) timescale: u32,
}

impl Movie {
    /// Where the sound of `track` starts and, where that is known, how long it is, in frames.
    pub(super) fn presented(&self, track: &Track, sample_rate: u32) -> (u64, Option<u64>) {
        if !timestamps_are_frames(track, sample_rate) {
            return (0, None);
        }
        let stored = track.num_frames.filter(|_| !self.fragmented);
        let edit = self.edits.iter().find(|edit| edit.track_id == track.id);
        let Some(edit) = edit.filter(|edit| stored.is_none_or(|n| edit.start < n)) else {
            return (0, stored);
        };
        // Rounded up, so that a movie's coarse clock costs no sound.
        let ticks = u128::from(edit.duration) * u128::from(sample_rate);
        let length = match ticks.div_ceil(u128::from(edit.timescale.max(1))) {
            0 => u64::MAX,
            n => u64::try_from(n).unwrap_or(u64::MAX),
        };
        (edit.start, stored.map(|n| (n - edit.start).min(length)))
    }
}

/// The track counts time in samples, as all readers do except some MP4 files.
pub(super) fn timestamps_are_frames(track: &Track, sample_rate: u32) -> bool {
    let base = track.time_base;
    base.is_some_and(|base| base.numer.get() == 1 && base.denom.get() == sample_rate)
}

/// Whether a top-level box reaches beyond the file's `len` bytes.
pub(super) fn cut_box<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<Option<Cut>> {
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        match next_box(reader, at..len)? {
            Some((name, body)) if TOP_BOXES.contains(&&name) => {
                if body.end > len {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    return Ok(Some(Cut { name, missing: body.end - len }));
                }
                at = body.end;
            }
            _ => break,
        }
    }
    Ok(None)
}

/// Reads the header of the movie, less what symphonia reads.
///
/// A wait before the sound (an empty edit) is passed over. Tracks with several cuts are left out.
pub(super) fn movie<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<Movie> {
    let mut movie = Movie::default();
    for body in children(reader, 0..len, b"moov")? {
        movie.fragmented |= !children(reader, body.clone(), b"mvex")?.is_empty();
        let header = first_child(reader, &body, b"mvhd")?;
        let Some(timescale) = number_after_times(&header) else { continue };
        for track in children(reader, body, b"trak")? {
            let header = first_child(reader, &track, b"tkhd")?;
            for list in children(reader, track, b"edts")? {
                let list = first_child(reader, &list, b"elst")?;
                if let (Some(track_id), Some((start, duration))) =
                    (number_after_times(&header), single_edit(&list))
                {
                    movie.edits.push(Edit { track_id, start, duration, timescale });
                }
            }
        }
    }
    Ok(movie)
}

/// `(media_time, segment_duration)` of a list of one edit.
fn single_edit(list: &[u8]) -> Option<(u64, u64)> {
    let width = if *list.first()? == 0 { 4 } else { 8 };
    let n_entries = number(list.get(4..8)?) as usize;
    let mut found = None;
    let mut entries = list[8..].chunks_exact(2 * width + 4);
    for _ in 0..n_entries {
        let (duration, rest) = entries.next()?.split_at(width);
        let (start, rate) = rest.split_at(width);
        if start.iter().all(|&byte| byte == 0xff) {
            continue; // media_time -1: nothing is played
        }
        if found.is_some() || start[0] >= 0x80 || rate != [0, 1, 0, 0] {
            return None;
        }
        found = Some((number(start), number(duration)));
    }
    found
}

/// The number behind version, flags and two times: `timescale` of `mvhd`, `track_ID` of `tkhd`.
fn number_after_times(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 0 { 12 } else { 20 };
    u32::try_from(number(header.get(at..at + 4)?)).ok()
}

/// Bodies of the boxes of one kind within `parent`.
fn children<R: Read + Seek>(
    reader: &mut R,
    parent: Range<u64>,
    kind: &[u8; 4],
) -> io::Result<Vec<Range<u64>>> {
    let (mut at, mut found) = (parent.start, Vec::new());
    for _ in 0..MAX_BOXES {
        let Some((name, body)) = next_box(reader, at..parent.end)? else { break };
        if body.end > parent.end {
            break;
        }
        at = body.end;
        if &name == kind {
            found.push(body);
        }
    }
    Ok(found)
}

/// The first bytes of the first box of one kind within `parent`; none when there is no such box.
fn first_child<R: Read + Seek>(
    reader: &mut R,
    parent: &Range<u64>,
    kind: &[u8; 4],
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(body) = children(reader, parent.clone(), kind)?.first() {
        reader.seek(SeekFrom::Start(body.start))?;
        reader.take((body.end - body.start).min(MAX_BODY)).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Name and body of the box at the start of `place`; the body may end beyond it.
fn next_box<R: Read + Seek>(
    reader: &mut R,
    place: Range<u64>,
) -> io::Result<Option<([u8; 4], Range<u64>)>> {
    // Boxes without a body, which are 8 bytes, tell nothing; the others have a 16th byte.
    if place.start.saturating_add(16) > place.end {
        return Ok(None);
    }
    reader.seek(SeekFrom::Start(place.start))?;
    let mut head = [0; 16];
    reader.read_exact(&mut head)?;
    let (size, header_len) = match number(&head[..4]) {
        0 => (place.end - place.start, 8),
        1 => (number(&head[8..]), 16),
        size => (size, 8),
    };
    let name = [head[4], head[5], head[6], head[7]];
    let (start, end) = (place.start + header_len, place.start.saturating_add(size));
    Ok((size >= header_len).then_some((name, start..end)))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `elst` body of 32-bit entries `(segment_duration, media_time, rate)`.
    fn list(entries: &[(u32, i32, u16)]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend((entries.len() as u32).to_be_bytes());
        for &(duration, start, rate) in entries {
            bytes.extend(duration.to_be_bytes());
            bytes.extend(start.to_be_bytes());
            bytes.extend(rate.to_be_bytes());
            bytes.extend([0, 0]);
        }
        bytes
    }

    #[test]
    fn only_a_list_of_one_plain_edit_is_taken() {
        assert_eq!(single_edit(&list(&[(900, 1024, 1)])), Some((1024, 900)));
        assert_eq!(single_edit(&list(&[(50, -1, 1), (900, 2112, 1)])), Some((2112, 900)));
        assert_eq!(single_edit(&list(&[(900, 0, 1), (900, 0, 1)])), None);
        assert_eq!(single_edit(&list(&[(900, 1024, 2)])), None);
        assert_eq!(single_edit(&list(&[(900, -2, 1)])), None);
        assert_eq!(single_edit(&list(&[])), None);
        let whole = list(&[(900, 1024, 1)]);
        for cut in 0..whole.len() {
            assert_eq!(single_edit(&whole[..cut]), None, "{cut} bytes");
        }
    }

    #[test]
    fn long_entries_have_64_bit_numbers() {
        let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 1];
        bytes.extend((1_u64 << 33).to_be_bytes());
        bytes.extend(1024_u64.to_be_bytes());
        bytes.extend([0, 1, 0, 0]);
        assert_eq!(single_edit(&bytes), Some((1024, 1 << 33)));
    }
}
