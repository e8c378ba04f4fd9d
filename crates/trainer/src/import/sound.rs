//! Sound as bytes: what kind it is, and how joined sound is written.

use std::path::Path;

use anyhow::Context as _;

/// File extensions that this project reads.
pub(super) const EXTENSIONS: &[&str] = &["wav", "flac", "ogg", "mp3", "m4a", "aac"];

/// The extension for sound bytes: what they begin with, else what `name` ends in.
///
/// # Errors
///
/// When neither is known, and for Opus, which this project does not decode.
pub(super) fn extension_of(bytes: &[u8], name: &str) -> anyhow::Result<&'static str> {
    // The codec's own header comes after the page's.
    let is_opus = bytes.windows(8).take(64).any(|window| window == b"OpusHead");
    anyhow::ensure!(
        !is_opus,
        "sound is Opus, expected {} (hint: convert it, ffmpeg -i IN.opus OUT.flac)",
        EXTENSIONS.join(", ")
    );
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    if begins(b"RIFF") {
        return Ok("wav");
    }
    if begins(b"fLaC") {
        return Ok("flac");
    }
    if begins(b"OggS") {
        return Ok("ogg");
    }
    if begins(b"ID3") || (bytes.len() > 1 && bytes[0] == 0xff && bytes[1] & 0xe6 == 0xe2) {
        return Ok("mp3");
    }
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or("");
    EXTENSIONS.iter().copied().find(|known| known.eq_ignore_ascii_case(ending)).with_context(|| {
        format!(
            "{} bytes begin like no sound file, expected {}",
            bytes.len(),
            EXTENSIONS.join(", ")
        )
    })
}

/// Length of a sound file in seconds, by its header, or by decoding it where the header is silent.
pub(super) fn duration(path: &Path) -> anyhow::Result<f64> {
    if let Some(seconds) = audio_frontend::info(path)?.duration_s {
        return Ok(seconds);
    }
    Ok(audio_frontend::load(path, &audio_frontend::LoadOptions::default())?.duration_s())
}

/// A WAV file of mono samples in 16 bits; what is beyond full scale is clipped.
pub(super) fn wav(samples: &[f32], sample_rate: u32) -> Vec<u8> {
    let n_bytes = 2 * samples.len() as u32;
    let mut bytes = Vec::with_capacity(44 + 2 * samples.len());
    bytes.extend(b"RIFF");
    bytes.extend((36 + n_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    // PCM, one channel.
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(sample_rate.to_le_bytes());
    bytes.extend((2 * sample_rate).to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend(n_bytes.to_le_bytes());
    // 32768 is what decoders divide by, so that 16-bit sound comes through unchanged.
    let quantised = samples.iter().map(|x| (x * 32_768.0).round().clamp(-32_768.0, 32_767.0));
    bytes.extend(quantised.flat_map(|x| (x as i16).to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bit_sound_comes_through_unchanged() {
        let samples: Vec<f32> =
            [-32_768i16, -1, 0, 1, 12_345, 32_767].map(|x| f32::from(x) / 32_768.0).to_vec();
        let bytes = wav(&samples, 16_000);
        let options = audio_frontend::LoadOptions::default();
        assert_eq!(audio_frontend::load_bytes(&bytes, &options).unwrap().samples, samples);
        assert_eq!(extension_of(&bytes, "x.flac").unwrap(), "wav");
        assert_eq!(wav(&[2.0, -2.0], 8_000)[44..], [0xff, 0x7f, 0, 0x80]);
    }

    #[test]
    fn sound_goes_by_its_bytes_then_by_its_name() {
        assert_eq!(extension_of(b"fLaC....", "a.wav").unwrap(), "flac");
        assert_eq!(extension_of(b"\xff\xfb\x90", "").unwrap(), "mp3");
        assert_eq!(extension_of(b"\x00\x00", "a.M4A").unwrap(), "m4a");
        let error = extension_of(b"text", "a.txt").unwrap_err().to_string();
        assert!(error.starts_with("4 bytes begin like no sound file, expected wav"), "{error}");
        let error = extension_of(b"OggS....................OpusHead", "").unwrap_err().to_string();
        assert!(error.starts_with("sound is Opus, expected"), "{error}");
    }
}
