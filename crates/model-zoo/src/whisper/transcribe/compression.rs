//! How repetitive a text is.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Bytes of `text` over its bytes after zlib compression; 0 of no text.
///
/// Text in a loop compresses well: above 2.4 it is usually no transcript. Compressors differ by a
/// byte or two, so that the third digit is not to be relied on.
///
/// # Source
///
/// `compression_ratio` in `whisper/utils.py` of openai-whisper 20250625.
pub fn compression_ratio(text: &str) -> f64 {
    // The best level searches for repetitions as zlib does at its default one.
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail; text that could not be compressed is not repetitive.
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed.map_or(0.0, |bytes| text.len() as f64 / bytes.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_is_seen() {
        // Python: len(t) / len(zlib.compress(t)).
        let close = |text: &str, expected: f64| {
            let got = compression_ratio(text);
            assert!((got - expected).abs() < 0.01 * expected, "{got} and {expected}");
        };
        close("and so my fellow americans ask not what your country can do for you", 67.0 / 64.0);
        close(&"thank you. ".repeat(40), 440.0 / 24.0);
        close(&"Thank you. ".repeat(5), 55.0 / 22.0);
        assert_eq!(compression_ratio(""), 0.0);
    }
}
