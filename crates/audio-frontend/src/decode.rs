//! From a sound file to one mono waveform at the wanted sample rate.
//!
//! The work is done by two parts: `packets` (symphonia behind a guard) turns bytes into mono samples at the
//! file's own rate, and [`AudioStream`] resamples and cuts them. Whole-file loading is that stream
//! collected, so that both forms give the same bits.
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
use std::io::{Read, Seek};
use std::path::Path;

use crate::error::{AudioError, ErrorKind, Origin, Result};
use crate::stream::AudioStream;

pub(crate) use packets::PacketDecoder;

/// Which part of a sound to load, and at what rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadOptions {
    /// Sample rate of the result, in Hz.
    pub sample_rate: u32,
    /// Where to start, in seconds; 0 is the start of the file.
    pub offset_s: f64,
    /// How much to load, in seconds; `None` is all that follows. A longer request than the file holds
    /// gives what there is.
    pub duration_s: Option<f64>,
}

impl Default for LoadOptions {
    /// The whole file at 16 kHz.
    fn default() -> Self {
        Self { sample_rate: crate::SAMPLE_RATE, offset_s: 0.0, duration_s: None }
    }
}

impl LoadOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if !(self.offset_s.is_finite() && self.offset_s >= 0.0) {
            return Err(AudioError::option(
                "load",
                format!("offset_s, expected a finite number >= 0, got {}", self.offset_s),
                "offsets are in seconds from the start of the file",
            ));
        }
        match self.duration_s {
            Some(duration_s) if !(duration_s.is_finite() && duration_s > 0.0) => {
                Err(AudioError::option(
                    "load",
                    format!("duration_s, expected a finite number > 0, got {duration_s}"),
                    "leave duration_s out to load everything after the offset",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Mono samples, nominally in -1..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct Waveform {
    /// Amplitudes `(T,)`. All finite.
    pub samples: Vec<f32>,
    /// Samples per second.
    pub sample_rate: u32,
}

impl Waveform {
    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}

/// What a file's header says, without decoding the sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioInfo {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Channel count.
    pub channels: usize,
    /// Length in frames (samples per channel). `None` when the header does not say; an estimate for an MP3
    /// without a length tag.
    pub n_frames: Option<u64>,
    /// Length in seconds, under the same conditions.
    pub duration_s: Option<f64>,
}

/// Loads a sound file as mono samples at `options.sample_rate`.
///
/// Channels are averaged. The result for `(offset_s, duration_s)` is bit for bit the slice
/// `round(offset_s * sample_rate) ..` of `round(duration_s * sample_rate)` samples of the whole file's
/// result, because the resampler is primed with the samples before the cut. (MP3 after a long seek may
/// differ in the last bits of its first samples.)
///
/// # Errors
///
/// Every [`ErrorKind`]: see the [module](self) for what is refused.
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
