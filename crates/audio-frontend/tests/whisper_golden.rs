//! The front end against transformers' `WhisperFeatureExtractor`, on real speech.

mod common;

use audio_frontend::{LoadOptions, LogMel, load};
use safetensors::SafeTensors;

#[test]
fn whisper_features_equal_those_of_transformers() {
    const NAME: &str = "whisper_features_equal_those_of_transformers";
    let Some(audio) = common::shared(NAME, "golden/jfk_16k.flac") else { return };
    let Some(golden) = common::shared(NAME, "golden/whisper-tiny_jfk.safetensors") else { return };
    let bytes = std::fs::read(golden).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let want = tensors.tensor("input_features").unwrap();
    assert_eq!(want.shape(), [80, 3000]);

    let waveform = load(audio, &LoadOptions::default()).unwrap();
    assert_eq!(waveform.sample_rate, 16_000);
    let got = LogMel::new(80).compute_padded(&waveform.samples, 480_000);
    assert_eq!((got.n_mels, got.n_frames), (80, 3000));

    let want = want.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    let worst = got.data.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
    println!("largest difference {worst:e}");
    assert!(worst < 1e-4, "largest difference {worst:e}");
}
