//! Sound files to the inputs of speech encoders.
//!
//! ```text
//! file, reader, bytes --decode--> mono f32 at 16 kHz --log_mel--> Whisper input_features
//!                                                    --hubert---> HuBERT input_values
//! ```
//!
//! WAV, FLAC, MP3, Ogg Vorbis and AAC/M4A are read at any sample rate and channel count, whole
//! ([`load`]) or as a bounded-memory stream ([`AudioStream`]). The log-Mel features equal those of the
//! published Whisper front ends within 1e-4. Damaged input gives an [`AudioError`] that names the file,
//! the position and the cause; it never panics.
//!
//! ```
//! use audio_frontend::{LoadOptions, LogMel, load_bytes};
//! # let mut wav = b"RIFF\x2c\x7d\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data".to_vec();
//! # wav.extend(32_000_u32.to_le_bytes());
//! # wav[4..8].copy_from_slice(&32_036_u32.to_le_bytes());
//! # wav.resize(44 + 32_000, 0);
//! // `wav` holds the bytes of one second of sound; `load("speech.flac", ..)` reads a file.
//! let waveform = load_bytes(&wav, &LoadOptions::default())?;
//! assert_eq!((waveform.sample_rate, waveform.samples.len()), (16_000, 16_000));
//!
//! let log_mel = LogMel::new(80);
//! let any_length = log_mel.compute(&waveform.samples);
//! assert_eq!((any_length.n_mels, any_length.n_frames), (80, 100));
//! let thirty_seconds = log_mel.compute_padded(&waveform.samples, 480_000);
//! assert_eq!(thirty_seconds.n_frames, 3000);
//! # Ok::<(), audio_frontend::AudioError>(())
//! ```
//!
//! Nothing here knows of tensors, models or devices: slices in, slices out. Units are seconds and Hz
//! at every public boundary. Every random choice is a pure function of `(seed, index)`.

#![forbid(unsafe_code)]

pub mod augment;
pub mod decode;
pub mod error;
pub mod hubert;
pub mod lengths;
mod loading;
pub mod log_mel;
pub mod mel_filters;
pub mod resample;
mod sound;
pub mod stft;
pub mod stream;
pub mod vad;

pub use augment::{SpecAugment, SpeedPerturb, VocalTract};
pub use error::{AudioError, ErrorKind, Position, Result};
pub use hubert::zero_mean_unit_var_norm;
pub use lengths::{hubert_encoder_length, whisper_encoder_length, whisper_n_frames};
pub use loading::{info, load, load_bytes, load_reader};
pub use log_mel::{Features, LogMel};
pub use mel_filters::MelFilters;
pub use resample::{Resampler, resample};
pub use sound::{AudioInfo, LoadOptions, Waveform};
pub use stft::Stft;
pub use stream::AudioStream;
pub use vad::{VadOptions, trim_silence};

/// The sample rate every encoder of this project listens at, in Hz.
pub const SAMPLE_RATE: u32 = 16_000;
