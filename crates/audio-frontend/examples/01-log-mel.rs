//! Log-Mel features of a sound file, drawn as text: low bands at the bottom, time to the right.
//!
//! ```text
//! cargo run --release -p audio-frontend --example 01-log-mel -- speech.flac
//! ```
//!
//! Without a file it draws a rising tone of its own.

use std::error::Error;

use audio_frontend::{LoadOptions, LogMel, info, load};

fn main() -> Result<(), Box<dyn Error>> {
    let samples = match std::env::args().nth(1) {
        Some(path) => {
            let header = info(&path)?;
            println!("{path}: {} Hz, {} channels", header.sample_rate, header.channels);
            load(&path, &LoadOptions::default())?.samples
        }
        None => rising_tone(),
    };
    let features = LogMel::new(80).compute(&samples);
    println!(
        "{} samples -> {} bands x {} frames",
        samples.len(),
        features.n_mels,
        features.n_frames
    );

    let shades = [' ', '.', ':', '+', '#', '@'];
    let columns = features.n_frames.min(96);
    for mel in (0..features.n_mels).rev().step_by(4) {
        let band = features.band(mel);
        let line: String = (0..columns)
            .map(|column| {
                // Values lie in about -1..=1.5; most of speech is between -0.5 and 1.
                let value = band[column * features.n_frames / columns];
                let shade = ((value + 0.5) * 4.0).clamp(0.0, 5.0) as usize;
                shades[shade]
            })
            .collect();
        println!("{line}");
    }
    Ok(())
}

/// Two seconds at 16 kHz, from 100 Hz to 4 kHz.
fn rising_tone() -> Vec<f32> {
    let seconds = (0..32_000).map(|i| i as f32 / 16_000.0);
    seconds.map(|t| 0.5 * (std::f32::consts::TAU * (100.0 * t + 975.0 * t * t)).sin()).collect()
}
