use super::*;

fn tone(hz: f32, n: usize) -> Vec<f32> {
    (0..n).map(|i| 0.5 * (std::f32::consts::TAU * hz * i as f32 / 16_000.0).sin()).collect()
}

/// The definition in f64, frame by frame, with the dense filter bank.
fn naive(samples: &[f32], n_mels: usize) -> Vec<f64> {
    let stft = Stft::new(N_FFT, HOP_LENGTH);
    let bank = MelFilters::new(16_000, N_FFT, n_mels).to_dense();
    let (n_bins, all_frames) = (stft.n_bins(), stft.n_frames(samples.len()));
    let n_frames = all_frames.saturating_sub(1);
    let power = stft.power_spectrogram(samples);
    let mut out = vec![0.0; n_mels * n_frames];
    for m in 0..n_mels {
        for t in 0..n_frames {
            let mel: f64 = (0..n_bins)
                .map(|k| f64::from(bank[m * n_bins + k]) * f64::from(power[k * all_frames + t]))
                .sum();
            out[m * n_frames + t] = mel.max(1e-10).log10();
        }
    }
    let top = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    out.iter().map(|&x| (x.max(top - 8.0) + 4.0) / 4.0).collect()
}

fn assert_near(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(got) - want).abs() < 1e-5, "{i}: {got} {want}");
    }
}

#[test]
fn any_length_equals_the_definition() {
    for n in [160, 161, 200, 399, 400, 2_559, 2_560, 2_720, 10_007] {
        let samples: Vec<f32> = (0..n).map(|i| ((i * i) as f32 * 0.013).sin() * 0.3).collect();
        for n_mels in [1, 80, 128] {
            let features = LogMel::new(n_mels).compute(&samples);
            assert_eq!((features.n_mels, features.n_frames), (n_mels, n / 160), "{n}");
            assert_near(&features.data, &naive(&samples, n_mels));
        }
    }
}

#[test]
fn padding_equals_zeros_that_are_really_there() {
    for (n, total) in
        [(0, 4_800), (1, 4_800), (777, 4_800), (4_399, 4_800), (4_401, 4_800), (4_800, 4_800)]
    {
        let samples = tone(440.0, n);
        let mut zeros = samples.clone();
        zeros.resize(total, 0.0);
        let log_mel = LogMel::new(80);
        let same = log_mel.compute_padded(&samples, total) == log_mel.compute(&zeros);
        assert!(same, "{n} of {total}");
    }
}

#[test]
fn samples_beyond_the_window_are_never_read() {
    let mut samples = tone(440.0, 9_600);
    let log_mel = LogMel::new(80);
    let want = log_mel.compute(&samples[..4_800]);
    samples[4_800..].fill(f32::NAN);
    assert_eq!(log_mel.compute_padded(&samples, 4_800), want);
}

#[test]
fn nan_stays_in_the_pairs_of_frames_that_see_it() {
    let mut samples = tone(440.0, 16_000);
    samples[8_000] = f32::NAN;
    let features = LogMel::new(80).compute(&samples);
    for t in 0..features.n_frames {
        let sees = |t: usize| (t * 160).abs_diff(8_000) < 200;
        let pair_sees = sees(t / 2 * 2) || sees(t / 2 * 2 + 1);
        assert_eq!(features.band(0)[t].is_nan(), pair_sees, "{t}");
    }
}

#[test]
fn a_sine_peaks_in_its_own_band() {
    let log_mel = LogMel::new(80);
    for hz in [120.0, 440.0, 1000.0, 2500.0, 7000.0] {
        let features = log_mel.compute(&tone(hz, 16_000));
        let loudest =
            (0..80).max_by(|&a, &b| features.band(a)[50].total_cmp(&features.band(b)[50])).unwrap();
        let bank = MelFilters::new(16_000, N_FFT, 80);
        let (first, weights) = bank.filter(loudest);
        let (low, high) = ((first as f32 - 1.0) * 40.0, (first + weights.len()) as f32 * 40.0);
        assert!((low..=high).contains(&hz), "{hz} Hz in {low}..{high}");
    }
}

#[test]
fn silence_hits_the_floor() {
    let features = LogMel::new(80).compute(&vec![0.0; 1600]);
    assert_eq!(features.n_frames, 10);
    assert!(features.data.iter().all(|&x| (x + 1.5).abs() < 1e-6));
    assert!(LogMel::new(80).compute(&[]).data.is_empty());
    assert!(LogMel::new(80).compute(&[0.5; 159]).data.is_empty());
}

#[test]
fn reused_buffers_and_many_clips_change_nothing() {
    let log_mel = LogMel::new(80);
    let clips: Vec<Vec<f32>> = [3_000, 16_000, 161, 0, 9_999].map(|n| tone(300.0, n)).to_vec();
    let alone: Vec<Features> = clips.iter().map(|clip| log_mel.compute(clip)).collect();
    assert_eq!(log_mel.compute_many(&clips, None), alone);
    let (mut scratch, mut features) = (log_mel.scratch(), Features::default());
    for (clip, want) in clips.iter().zip(&alone) {
        log_mel.compute_into(clip, clip.len(), &mut scratch, &mut features);
        assert_eq!(&features, want);
    }
    let padded = log_mel.compute_many(&clips, Some(16_000));
    assert!(padded.iter().all(|features| features.n_frames == 100));
}
