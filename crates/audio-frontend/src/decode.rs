//! From a sound file to mono samples at the file's own rate: `packets` is symphonia behind a guard.
//!
//! # What is read
//!
//! WAV (PCM, float, A-law, mu-law, ADPCM), FLAC, MP3, Ogg Vorbis, AAC and ALAC in MP4/M4A, raw ADTS. Opus
//! is not decoded. The encoder's delay and padding are trimmed from MP3, Vorbis and M4A; from the last by its
//! edit list, when that makes one cut and the track's clock ticks in samples. Raw ADTS says nothing of either,
//! so that its sound starts late, mostly by 1024 samples.
//!
//! # What is refused
//!
//! A file that ends before its header says so ([`ErrorKind::Truncated`]); an MP3 is compared only when it
//! carries an exact length, to within two frames, and an Ogg file only by its last page. Damaged packets,
//! FLAC checksums that fail, sample rates outside 100 Hz to 3.072 MHz, more than 256 channels, and NaN or
//! infinite samples. Bytes after the end of the sound (tags, padding, junk) are tolerated.

mod header;
mod mp4;
mod packets;
mod source;

use std::fs::File;
use std::path::Path;

use crate::error::{AudioError, ErrorKind, Origin, Result};

pub(crate) use packets::PacketDecoder;

pub(crate) fn open_file(path: &Path) -> Result<(File, Origin)> {
    let origin = Origin::Path(path.to_owned());
    let fail = |error: std::io::Error| {
        AudioError::new(ErrorKind::Io, &origin, format!("cannot open: {error}")).caused_by(error)
    };
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(AudioError::new(
            ErrorKind::Io,
            &origin,
            "expected a sound file, got a directory",
        ));
    }
    Ok((file, origin))
}
