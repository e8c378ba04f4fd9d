//! Whisper's front end on fixed signals, one thread.

use audio_frontend::log_mel::N_SAMPLES;
use audio_frontend::{Features, LogMel};

use crate::Workload;

/// A clip, its padding and the number of bands.
#[derive(Debug, Clone, Copy)]
pub struct LogMelCase {
    /// Name in the peer's script.
    pub name: &'static str,
    /// Bands.
    pub n_mels: usize,
    /// Samples of the clip.
    pub n_samples: usize,
    /// Samples after padding.
    pub padded: usize,
}

/// The window is what every Whisper encoder reads; 128 bands are large-v3's; 10 s is the mean
/// length of read speech, where the padding is free; 10 s unpadded is what training on short clips
/// uses.
pub const LOG_MEL_CASES: &[LogMelCase] = &[
    LogMelCase { name: "window_30s_80", n_mels: 80, n_samples: N_SAMPLES, padded: N_SAMPLES },
    LogMelCase { name: "window_30s_128", n_mels: 128, n_samples: N_SAMPLES, padded: N_SAMPLES },
    LogMelCase { name: "clip_10s_padded_80", n_mels: 80, n_samples: 160_000, padded: N_SAMPLES },
    LogMelCase { name: "clip_10s_80", n_mels: 80, n_samples: 160_000, padded: 160_000 },
];

/// Two tones and a little noise, the same as in the peer's script.
pub fn signal(n: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..n)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
            let t = i as f64 / 16_000.0;
            let tones = 0.3 * (2765.0 * t).sin() + 0.2 * (9425.0 * t).sin();
            (tones + 0.05 * noise) as f32
        })
        .collect()
}

/// Every case once for each of the two peers, whose lines `peers/log_mel.py` prints.
pub(crate) fn workloads() -> Vec<Workload> {
    let mut all = Vec::new();
    for bench in ["log_mel_openai_whisper", "log_mel_librosa"] {
        for &case in LOG_MEL_CASES {
            let samples = signal(case.n_samples);
            let front_end = LogMel::new(case.n_mels);
            let (mut scratch, mut features) = (front_end.scratch(), Features::default());
            all.push(Workload {
                bench,
                shape: case.name.to_owned(),
                dtype: "f32",
                one_thread: true,
                run: Box::new(move || {
                    front_end.compute_into(&samples, case.padded, &mut scratch, &mut features);
                    Ok(())
                }),
            });
        }
    }
    all
}
