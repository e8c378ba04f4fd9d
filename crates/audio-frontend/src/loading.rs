//! From a sound file to one mono waveform at the wanted sample rate.
//!
//! Whole-file loading is [`AudioStream`] collected, so that both forms give the same bits.

use std::io::{Read, Seek};
use std::path::Path;

use crate::decode::{PacketDecoder, open_file};
use crate::error::Result;
use crate::sound::{AudioInfo, LoadOptions, Waveform};
use crate::stream::AudioStream;

/// Loads a sound file as mono samples at `options.sample_rate`.
///
/// Channels are averaged. The result for `(offset_s, duration_s)` is bit for bit the slice
/// `round(offset_s * sample_rate) ..` of `round(duration_s * sample_rate)` samples of the whole file's
/// result, because the resampler is primed with the samples before the cut. (MP3 after a long seek may
/// differ in the last bits of its first samples.)
///
/// # Errors
///
/// Every [`ErrorKind`](crate::ErrorKind): [`decode`](crate::decode) says what is refused.
///
/// # Examples
///
/// ```no_run
/// use audio_frontend::{LoadOptions, load};
///
/// let options = LoadOptions { offset_s: 1.5, duration_s: Some(2.0), ..LoadOptions::default() };
/// let waveform = load("speech.flac", &options)?;
/// assert!(waveform.samples.len() <= 32_000);
/// # Ok::<(), audio_frontend::AudioError>(())
/// ```
pub fn load(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Waveform> {
    AudioStream::open(path, options)?.collect_waveform()
}

/// Loads a sound from bytes in memory. See [`load`].
///
/// # Errors
///
/// As [`load`].
pub fn load_bytes(bytes: &[u8], options: &LoadOptions) -> Result<Waveform> {
    AudioStream::from_bytes(bytes, options)?.collect_waveform()
}

/// Loads a sound from a seekable reader, from its start. See [`load`].
///
/// # Errors
///
/// As [`load`].
pub fn load_reader<R>(reader: R, options: &LoadOptions) -> Result<Waveform>
where
    R: Read + Seek + Send + Sync,
{
    AudioStream::from_reader(reader, options)?.collect_waveform()
}

/// Reads the header of a sound file: enough to check a manifest, without decoding.
///
/// An uncompressed WAV whose header promises more than the file holds is refused here too; other damage
/// is found only by decoding.
///
/// # Errors
///
/// As [`load`], less those that need the samples.
pub fn info(path: impl AsRef<Path>) -> Result<AudioInfo> {
    let (file, origin) = open_file(path.as_ref())?;
    PacketDecoder::open(file, origin)?.checked_info()
}
