//! What is asked of a sound file, what it says of itself, and what comes out.

use crate::error::{AudioError, Result};

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
