//! The resampler against known tones, published implementations and itself in blocks.

mod common;

use audio_frontend::resample::{Filter, Window};
use audio_frontend::{Resampler, resample};
use common::{amplitude_at, tone};
use proptest::prelude::*;

/// Signal to error ratio in dB, away from the edges, where the filter sees the silence outside.
fn snr_db(got: &[f32], want: &[f32], margin: usize) -> f64 {
    let inner = margin..got.len().min(want.len()) - margin;
    let power = |x: f64| x * x;
    let signal: f64 = inner.clone().map(|i| power(f64::from(want[i]))).sum();
    let error: f64 = inner.map(|i| power(f64::from(got[i]) - f64::from(want[i]))).sum();
    10.0 * (signal / error).log10()
}

const RATES: [(u32, u32); 8] = [
    (44_100, 16_000),
    (48_000, 16_000),
    (8_000, 16_000),
    (22_050, 16_000),
    (11_025, 16_000),
    (96_000, 16_000),
    (16_000, 44_100),
    // Coprime, with more phases than are tabulated.
    (44_101, 16_001),
];

#[test]
fn tones_in_the_band_keep_their_shape() {
    for (from, to) in RATES {
        let nyquist = f64::from(from.min(to)) / 2.0;
        for share in [0.01, 0.11, 0.5, 0.85] {
            let hz = share * nyquist;
            let n = from as usize / 2;
            let got = resample(&tone(hz, 0.5, from, n), from, to).unwrap();
            let want = tone(hz, 0.5, to, got.len());
            let snr = snr_db(&got, &want, got.len() / 6);
            assert!(snr > 90.0, "{from} to {to}, {hz} Hz: {snr:.1} dB");
        }
    }
}

#[test]
fn tones_above_the_new_band_vanish() {
    for (from, to) in RATES {
        if from <= to {
            continue;
        }
        let nyquist = f64::from(to) / 2.0;
        for above in [1.02, 1.1, 1.3] {
            let hz = above * nyquist;
            if hz >= f64::from(from) / 2.0 {
                continue;
            }
            let got = resample(&tone(hz, 1.0, from, from as usize / 2), from, to).unwrap();
            let alias = f64::from(to) - hz;
            let level = 20.0 * amplitude_at(&got, to, alias).log10();
            assert!(level < -80.0, "{from} to {to}: {hz} Hz leaves {level:.1} dB at {alias} Hz");
        }
    }
}

#[test]
fn images_above_the_old_band_are_absent() {
    let got = resample(&tone(3_000.0, 1.0, 8_000, 8_000), 8_000, 16_000).unwrap();
    let level = 20.0 * amplitude_at(&got, 16_000, 5_000.0).log10();
    assert!(level < -80.0, "image at {level:.1} dB");
}

#[test]
fn a_constant_stays_that_constant() {
    for (from, to) in RATES {
        let got = resample(&vec![0.5; from as usize / 4], from, to).unwrap();
        let inner = got.len() / 4..got.len() * 3 / 4;
        assert!(got[inner].iter().all(|x| (x - 0.5).abs() < 1e-5), "{from} to {to}");
    }
}

#[test]
fn lengths_are_rounded_up() {
    for (n, from, to, want) in [
        (0, 8_000, 16_000, 0),
        (1, 8_000, 16_000, 2),
        (1, 48_000, 16_000, 1),
        (3, 48_000, 16_000, 1),
        (4, 48_000, 16_000, 2),
        (44_100, 44_100, 16_000, 16_000),
        (44_101, 44_100, 16_000, 16_001),
        (5, 16_000, 16_000, 5),
    ] {
        let got = resample(&vec![0.1; n], from, to).unwrap();
        assert_eq!(got.len(), want, "{n} samples, {from} to {to}");
        assert_eq!(Resampler::new(from, to).unwrap().output_len(n as u64), want as u64);
    }
}

#[test]
fn a_finished_resampler_is_as_new() {
    let samples = tone(440.0, 0.5, 44_100, 3_000);
    let mut resampler = Resampler::new(44_100, 16_000).unwrap();
    let mut twice = [Vec::new(), Vec::new()];
    for out in &mut twice {
        resampler.process(&samples, out);
        resampler.finish(out);
    }
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn senseless_rates_and_filters_are_refused() {
    for (from, to) in [(0, 16_000), (16_000, 0), (0, 0), (1, 16_000), (u32::MAX, 16_000)] {
        assert!(Resampler::new(from, to).is_err(), "{from} to {to}");
    }
    let window = Window::Hann;
    for (zero_crossings, rolloff) in
        [(0, 0.9), (6, 0.0), (6, 1e-9), (6, 1.1), (6, f64::NAN), (9999, 0.9)]
    {
        let filter = Filter { zero_crossings, rolloff, window };
        assert!(Resampler::with_filter(2, 1, filter).is_err(), "{filter:?}");
    }
    for beta in [-1.0, 1e9, f64::NAN] {
        let filter = Filter { window: Window::Kaiser { beta }, ..Filter::KAISER_BEST };
        assert!(Resampler::with_filter(2, 1, filter).is_err(), "{filter:?}");
    }
}

/// `tests/golden/resample.json`: a seeded input and what published resamplers make of it.
#[test]
fn the_result_equals_torchaudio_and_is_near_soxr() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/resample.json");
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let floats = |value: &serde_json::Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let input = floats(&golden["input"]);
    for case in golden["cases"].as_array().unwrap() {
        let rate = |key: &str| u32::try_from(case[key].as_u64().unwrap()).unwrap();
        let (from, to) = (rate("from"), rate("to"));
        for (key, filter) in [("kaiser_best", Filter::KAISER_BEST), ("hann", Filter::HANN)] {
            let mut resampler = Resampler::with_filter(from, to, filter).unwrap();
            let mut got = Vec::new();
            resampler.process(&input, &mut got);
            resampler.finish(&mut got);
            let want = floats(&case[key]);
            assert_eq!(got.len(), want.len(), "{from} to {to}, {key}");
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Both sum up to 400 products in f32, in different orders.
            assert!(worst < 5e-6, "{from} to {to}, {key}: {worst:e}");
        }
        // The input is band-limited, so that soxr's different transition band does not show.
        let got = resample(&input, from, to).unwrap();
        let want = floats(&case["soxr_vhq"]);
        let snr = snr_db(&got, &want, got.len() / 4);
        assert!(snr > 80.0, "{from} to {to}, soxr: {snr:.1} dB");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn blocks_of_any_size_equal_the_whole(
        from in 1..60_u32,
        to in 1..60_u32,
        samples in prop::collection::vec(-1.0..1.0_f32, 0..600),
        cuts in prop::collection::vec(0..120_usize, 0..12),
    ) {
        let (from, to) = (from * 1000, to * 1000);
        let whole = resample(&samples, from, to).unwrap();
        let mut resampler = Resampler::new(from, to).unwrap();
        let (mut rest, mut joined) = (&samples[..], Vec::new());
        for cut in cuts {
            let (block, after) = rest.split_at(cut.min(rest.len()));
            resampler.process(block, &mut joined);
            rest = after;
        }
        resampler.process(rest, &mut joined);
        resampler.finish(&mut joined);
        prop_assert_eq!(joined, whole);
    }
}
