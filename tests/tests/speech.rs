//! Synthetic speech: a word is a sweep.

/// The words of the world; each sounds as a sweep of its own.
const WORDS: [&str; 8] = ["red", "green", "blue", "one", "two", "three", "yes", "no"];
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples of a word.
pub const WORD_SAMPLES: usize = 2_400;

/// The words of utterance `k`: two to five of them.
pub fn words(k: usize) -> Vec<&'static str> {
    (0..2 + k % 4).map(|at| WORDS[(k * 5 + at * (1 + k % 3)) % WORDS.len()]).collect()
}

/// A sweep for each word, a little higher or lower by speaker.
pub fn sound(words: &[&str], k: usize) -> Vec<f32> {
    let mut samples = Vec::with_capacity(words.len() * WORD_SAMPLES);
    for word in words {
        let index = WORDS.iter().position(|known| known == word).unwrap();
        let start = 300.0 + 350.0 * index as f64 + 20.0 * (k % 3) as f64;
        for n in 0..WORD_SAMPLES {
            let t = n as f64 / f64::from(SAMPLE_RATE);
            let phase = std::f64::consts::TAU * (start + 900.0 * t) * t;
            samples.push((0.4 * phase.sin()) as f32);
        }
    }
    samples
}

/// A WAV file of 16-bit mono samples.
pub fn wav(samples: &[f32]) -> Vec<u8> {
    let n_bytes = 2 * samples.len() as u32;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + n_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(SAMPLE_RATE.to_le_bytes());
    bytes.extend((2 * SAMPLE_RATE).to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend(n_bytes.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|x| ((x * 32767.0) as i16).to_le_bytes()));
    bytes
}
