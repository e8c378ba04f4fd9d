//! Whisper's front end on one thread: log-Mel features, and the resampling before them.
//!
//! `benches/peers/log_mel.py` times openai-whisper's and librosa's front ends on the same signals.

use std::hint::black_box;

use audio_frontend::log_mel::N_SAMPLES;
use audio_frontend::{Features, LogMel, resample};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Two tones and a little noise, the same as in the peer script.
fn signal(n: usize) -> Vec<f32> {
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

fn log_mel(c: &mut Criterion) {
    let window = signal(N_SAMPLES);
    // The window is what every Whisper encoder reads; 128 bands are large-v3's; 10 s is the mean length of
    // read speech, where the padding is free; 10 s unpadded is what training on short clips uses.
    let cases = [
        ("window_30s_80", 80, N_SAMPLES, N_SAMPLES),
        ("window_30s_128", 128, N_SAMPLES, N_SAMPLES),
        ("clip_10s_padded_80", 80, 160_000, N_SAMPLES),
        ("clip_10s_80", 80, 160_000, 160_000),
    ];
    let mut group = c.benchmark_group("log_mel");
    for (name, n_mels, n_samples, padded) in cases {
        let front_end = LogMel::new(n_mels);
        let (mut scratch, mut features) = (front_end.scratch(), Features::default());
        group.throughput(Throughput::Elements(n_samples as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let samples = black_box(&window[..n_samples]);
                front_end.compute_into(samples, padded, &mut scratch, &mut features);
                black_box(&features);
            });
        });
    }
    group.finish();
}

fn resampling(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample");
    // Compact discs, telephones and studio recordings: 10 s each.
    for from in [44_100, 8_000, 48_000] {
        let samples = signal(from as usize * 10);
        group.throughput(Throughput::Elements(samples.len() as u64));
        group.bench_function(format!("{from}_to_16000_10s"), |b| {
            b.iter(|| resample(black_box(&samples), from, 16_000).expect("plain rates"));
        });
    }
    group.finish();
}

criterion_group!(benches, log_mel, resampling);
criterion_main!(benches);
