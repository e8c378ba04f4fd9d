//! What the integration tests share: a WAV writer, tones, and where the data lies.
#![allow(dead_code, reason = "each test binary uses a part of this module")]

use std::path::{Path, PathBuf};

/// A WAV header's format tag.
#[derive(Clone, Copy)]
pub enum Format {
    Pcm16,
    Float32,
}

/// A WAV file of interleaved samples, as bytes.
pub fn wav(samples: &[f32], rate: u32, channels: u16, format: Format) -> Vec<u8> {
    let (tag, bits) = match format {
        Format::Pcm16 => (1_u16, 16_u16),
        Format::Float32 => (3, 32),
    };
    let data: Vec<u8> = match format {
        Format::Pcm16 => samples
            .iter()
            .flat_map(|x| ((x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).to_le_bytes())
            .collect(),
        Format::Float32 => samples.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    let frame_bytes = channels * bits / 8;
    let mut bytes = Vec::with_capacity(44 + data.len());
    bytes.extend(b"RIFF");
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.wrapping_mul(u32::from(frame_bytes)).to_le_bytes());
    bytes.extend(frame_bytes.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// `amplitude sin(2 pi hz t)`.
pub fn tone(hz: f64, amplitude: f64, rate: u32, n: usize) -> Vec<f32> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    (0..n).map(|i| (amplitude * (step * i as f64).sin()) as f32).collect()
}

/// Amplitude of the component at `hz`, by correlation over the middle of `samples` under a Blackman
/// window, which keeps other tones at least 110 dB away.
pub fn amplitude_at(samples: &[f32], rate: u32, hz: f64) -> f64 {
    let middle = &samples[samples.len() / 8..samples.len() - samples.len() / 8];
    let n = middle.len() as f64;
    let (mut re, mut im, mut total) = (0.0, 0.0, 0.0);
    for (i, &x) in middle.iter().enumerate() {
        let place = std::f64::consts::TAU * (i as f64 + 0.5) / n;
        let w = 0.358_75 - 0.488_29 * place.cos() + 0.141_28 * (2.0 * place).cos()
            - 0.011_68 * (3.0 * place).cos();
        let angle = std::f64::consts::TAU * hz * i as f64 / f64::from(rate);
        re += w * f64::from(x) * angle.cos();
        im += w * f64::from(x) * angle.sin();
        total += w;
    }
    2.0 * re.hypot(im) / total
}

/// A file of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file of the data folder beside the project, or `None` with a word about it.
pub fn shared(test: &str, name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CONSONANCE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped {test}: no shared data (set CONSONANCE_DATA)");
    None
}
