//! What a header may say, and the errors when it says something else.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::errors::Error as SymphoniaError;

use super::source::Magic;
use crate::error::{AudioError, ErrorKind, Origin, Position, Result};

/// Sample rates outside this range are a damaged header, not a recording.
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 100..=3_072_000;
/// More channels than this are a damaged header; it bounds the size of a packet's buffer.
const MAX_CHANNELS: usize = 256;

/// Sample rate and channel count that the decoder settled on, else those of the container.
pub(super) fn settled_params(
    origin: &Origin,
    decoder: &AudioCodecParameters,
    container: &AudioCodecParameters,
) -> Result<(u32, usize)> {
    let rate = decoder.sample_rate.or(container.sample_rate);
    let channels = decoder.channels.as_ref().or(container.channels.as_ref()).map(|c| c.count());
    check_header(origin, rate, channels)?;
    rate.zip(channels).ok_or_else(|| {
        AudioError::new(
            ErrorKind::Unsupported,
            origin,
            format!("header lacks the format, got rate {rate:?} and channels {channels:?}"),
        )
        .hinted("convert the file to FLAC or 16-bit WAV")
    })
}

/// Refuses a sample rate or channel count that no recording has; what is absent passes.
pub(super) fn check_header(
    origin: &Origin,
    rate: Option<u32>,
    channels: Option<usize>,
) -> Result<()> {
    if let Some(rate) = rate
        && !SAMPLE_RATES.contains(&rate)
    {
        return Err(AudioError::new(
            ErrorKind::Corrupt,
            origin,
            format!(
                "absurd sample rate, expected {} to {} Hz, got {rate}",
                SAMPLE_RATES.start(),
                SAMPLE_RATES.end()
            ),
        )
        .hinted("the header is damaged"));
    }
    if let Some(channels) = channels
        && !(1..=MAX_CHANNELS).contains(&channels)
    {
        return Err(AudioError::new(
            ErrorKind::Corrupt,
            origin,
            format!("absurd channel count, expected 1 to {MAX_CHANNELS}, got {channels}"),
        )
        .hinted("the header is damaged"));
    }
    Ok(())
}

pub(super) fn no_known_codec(origin: &Origin) -> AudioError {
    AudioError::new(
        ErrorKind::Unsupported,
        origin,
        "no audio track in a known codec, expected PCM, FLAC, MP3, Vorbis, AAC or ALAC",
    )
    .hinted("convert the file, for example: ffmpeg -i in.opus out.flac")
}

/// A failure before the first packet: unknown kind of file, or known kind with a bad header.
pub(super) fn header_error(
    origin: &Origin,
    magic: Magic,
    byte_len: u64,
    error: SymphoniaError,
) -> AudioError {
    let eof = matches!(&error, SymphoniaError::IoError(io)
        if io.kind() == std::io::ErrorKind::UnexpectedEof);
    let (kind, what, hint) = match (&error, magic) {
        (SymphoniaError::IoError(_), _) if !eof => (
            ErrorKind::Io,
            format!("cannot read the header: {error}"),
            "the disk or reader failed, not the file's contents",
        ),
        (_, Magic::Unknown) => (
            ErrorKind::Unsupported,
            format!("not a known sound file: {error}"),
            "expected WAV, FLAC, MP3, Ogg Vorbis, AAC or M4A",
        ),
        _ if eof => {
            return AudioError::new(
                ErrorKind::Truncated,
                origin,
                format!("file ends inside its {magic:?} header, got {byte_len} bytes"),
            )
            .at(Position::Byte(byte_len))
            .hinted("fetch or copy the file again")
            .caused_by(error);
        }
        (SymphoniaError::Unsupported(_), _) => (
            ErrorKind::Unsupported,
            format!("cannot decode: {error}"),
            "convert the file to FLAC or 16-bit WAV",
        ),
        _ => (
            ErrorKind::Corrupt,
            format!("bad {magic:?} header: {error}"),
            "fetch or copy the file again",
        ),
    };
    AudioError::new(kind, origin, what).hinted(hint).caused_by(error)
}
