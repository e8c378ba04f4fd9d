//! A caller's reader as symphonia's byte source, with what can be told from the bytes alone.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use super::mp4;
use crate::error::{AudioError, ErrorKind, Origin, Position, Result};

/// The longest possible Ogg page: 27 bytes of header, 255 lacing values, 255 segments of 255 bytes.
const MAX_OGG_PAGE: u64 = 27 + 255 + 255 * 255;

/// A seekable reader of known length.
pub(super) struct Source<R> {
    inner: R,
    len: u64,
}

/// What the bytes tell before they are decoded.
pub(super) struct Facts {
    pub(super) magic: Magic,
    /// Length in bytes.
    pub(super) len: u64,
    /// What an MP4 trims.
    pub(super) movie: mp4::Movie,
}

impl<R: Read + Seek> Source<R> {
    /// Measures the reader and looks at what symphonia does not: cut ends and edit lists.
    pub(super) fn new(mut inner: R, origin: &Origin) -> Result<(Self, Facts)> {
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
        let mut movie = mp4::Movie::default();
        let cut = match magic {
            Magic::Ogg => cut_ogg_page(&mut inner, len)
                .map_err(fail)?
                .map(|missing| ("last Ogg page".to_owned(), missing)),
            Magic::Mp4 => {
                movie = mp4::movie(&mut inner, len).map_err(fail)?;
                mp4::cut_box(&mut inner, len)
                    .map_err(fail)?
                    .map(|cut| (format!("`{}` box", cut.name), cut.missing))
            }
            _ => None,
        };
        if let Some((part, missing)) = cut {
            return Err(AudioError::new(
                ErrorKind::Truncated,
                origin,
                format!("file ends inside its {part}, at least {missing} bytes missing"),
            )
            .at(Position::Byte(len))
            .hinted("fetch or copy the file again"));
        }
        inner.seek(SeekFrom::Start(0)).map_err(fail)?;
        Ok((Self { inner, len }, Facts { magic, len, movie }))
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

/// Bytes that the last Ogg page lacks, if any. symphonia takes what there is for the whole.
///
/// A page is its header, one byte a segment, and the segments (RFC 3533, section 6).
fn cut_ogg_page<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<Option<u64>> {
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
    Ok((missing > 0).then_some(missing))
}
