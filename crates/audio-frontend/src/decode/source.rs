//! A caller's reader as symphonia's byte source, with what can be told from the bytes alone.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use crate::error::{AudioError, ErrorKind, Origin, Position, Result};

/// The longest possible Ogg page: 27 bytes of header, 255 lacing values, 255 segments of 255 bytes.
const MAX_OGG_PAGE: u64 = 27 + 255 + 255 * 255;

/// Boxes at the top level of an MP4 file that may be cut short.
const MP4_BOXES: [&[u8]; 7] = [b"ftyp", b"moov", b"mdat", b"moof", b"sidx", b"free", b"skip"];

/// A seekable reader of known length.
pub(super) struct Source<R> {
    inner: R,
    len: u64,
}

impl<R: Read + Seek> Source<R> {
    /// Measures the reader and looks at its first and, for Ogg, its last bytes.
    pub(super) fn new(mut inner: R, origin: &Origin) -> Result<(Self, Magic)> {
        let fail = |error: io::Error| {
            AudioError::new(ErrorKind::Io, origin, format!("cannot read: {error}"))
                .hinted("the source must be seekable; read a pipe into memory first")
                .caused_by(error)
        };
        let len = inner.seek(SeekFrom::End(0)).map_err(fail)?;
        inner.seek(SeekFrom::Start(0)).map_err(fail)?;
        if len == 0 {
            return Err(AudioError::new(
                ErrorKind::Empty,
                origin,
                "file is empty, expected a sound file, got 0 bytes",
            ));
        }
        let mut head = Vec::with_capacity(12);
        inner.by_ref().take(12).read_to_end(&mut head).map_err(fail)?;
        let magic = Magic::of(&head);
        let cut = match magic {
            Magic::Ogg => cut_ogg_page(&mut inner, len).map_err(fail)?,
            Magic::Mp4 => cut_mp4_box(&mut inner, len).map_err(fail)?,
            _ => None,
        };
        if let Some(Cut { part, missing }) = cut {
            return Err(AudioError::new(
                ErrorKind::Truncated,
                origin,
                format!("file ends inside its {part}, at least {missing} bytes missing"),
            )
            .at(Position::Byte(len))
            .hinted("fetch or copy the file again"));
        }
        inner.seek(SeekFrom::Start(0)).map_err(fail)?;
        Ok((Self { inner, len }, magic))
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf)
    }
}

impl<R: Seek> Seek for Source<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl<R: Read + Seek + Send + Sync> MediaSource for Source<R> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// What the first bytes look like, to tell a damaged file of a known kind from an unknown kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Magic {
    Wav,
    Flac,
    Ogg,
    Mp4,
    Unknown,
}

impl Magic {
    fn of(head: &[u8]) -> Self {
        match head {
            [b'R', b'I', b'F', b'F', ..] => Magic::Wav,
            [b'f', b'L', b'a', b'C', ..] => Magic::Flac,
            [b'O', b'g', b'g', b'S', ..] => Magic::Ogg,
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Magic::Mp4,
            _ => Magic::Unknown,
        }
    }
}

/// The part of a file that its end falls into.
struct Cut {
    part: String,
    missing: u64,
}

/// Whether the last Ogg page is cut. symphonia takes what there is for the whole.
///
/// A page is its header, one byte a segment, and the segments (RFC 3533, section 6).
fn cut_ogg_page<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<Option<Cut>> {
    reader.seek(SeekFrom::Start(len.saturating_sub(2 * MAX_OGG_PAGE)))?;
    let mut tail = Vec::new();
    reader.take(2 * MAX_OGG_PAGE).read_to_end(&mut tail)?;
    let Some(start) = tail.windows(5).rposition(|bytes| bytes == b"OggS\0") else {
        return Ok(None);
    };
    let page = &tail[start..];
    let mut expected = 27;
    if let Some(&n_segments) = page.get(26) {
        expected += usize::from(n_segments);
        let lacing = page.get(27..expected).unwrap_or(&[]);
        expected += lacing.iter().map(|&n| usize::from(n)).sum::<usize>();
    }
    let missing = expected.saturating_sub(page.len()) as u64;
    Ok((missing > 0).then(|| Cut { part: "last Ogg page".into(), missing }))
}

/// Whether a top-level MP4 box reaches beyond the file (ISO/IEC 14496-12, section 4.2).
fn cut_mp4_box<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<Option<Cut>> {
    let mut at = 0_u64;
    // Every box is at least 8 bytes, so this ends; a file of many tiny boxes is not worth reading on.
    for _ in 0..100_000 {
        if at.saturating_add(16) > len {
            break;
        }
        reader.seek(SeekFrom::Start(at))?;
        let mut head = [0; 16];
        reader.read_exact(&mut head)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
        let name = &head[4..8];
        let size = match number(&head[..4]) {
            0 => break,
            1 => number(&head[8..]),
            size => size,
        };
        if size < 8 || !MP4_BOXES.contains(&name) {
            break;
        }
        let end = at.saturating_add(size);
        if end > len {
            let part = format!("`{}` box", String::from_utf8_lossy(name));
            return Ok(Some(Cut { part, missing: end - len }));
        }
        at = end;
    }
    Ok(None)
}
