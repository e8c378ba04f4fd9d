//! Whisper's front end on one thread: log-Mel features, and the resampling before them.
//!
//! `benches/peers/log_mel.py` times openai-whisper's and librosa's front ends on the same signals.

use std::hint::black_box;

use audio_frontend::log_mel::N_SAMPLES;
use audio_frontend::{Features, LogMel, resample};
use consonance_benches::{LOG_MEL_CASES, LogMelCase, signal};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn log_mel(c: &mut Criterion) {
    let window = signal(N_SAMPLES);
    let mut group = c.benchmark_group("log_mel");
    for &LogMelCase { name, n_mels, n_samples, padded } in LOG_MEL_CASES {
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
