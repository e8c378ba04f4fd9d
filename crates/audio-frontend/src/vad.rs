//! Energy-based voice activity: where a recording is louder than its own background.
//!
//! For trimming silence at the ends of utterances and for cutting long recordings at pauses. It knows
//! loudness only, so that music and noise count as voice.
//!
//! A frame of 25 ms every 10 ms has the level `10 log10(mean(x^2))` dBFS. It is active when that exceeds
//!
//! ```text
//! max(absolute_db, min(background + margin_db, peak - range_db / 2), peak - range_db)
//! ```
//!
//! where `background` is the 10th percentile and `peak` the 99th percentile of the levels. The cap at
//! `peak - range_db / 2` keeps recordings without any silence active: their background is speech. Pauses
//! shorter than `min_silence_s` are bridged, bursts shorter than `min_speech_s` dropped, and what is left
//! is widened by `padding_s` on either side.

use std::ops::Range;

/// Thresholds of the detector. The defaults suit read speech in a quiet to moderately noisy room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadOptions {
    /// Never active below this level, in dBFS.
    pub absolute_db: f32,
    /// Active this far above the background, in dB.
    pub margin_db: f32,
    /// Never active this far below the peak, in dB.
    pub range_db: f32,
    /// Pauses shorter than this are part of the speech, in seconds.
    pub min_silence_s: f64,
    /// Bursts shorter than this are noise, in seconds.
    pub min_speech_s: f64,
    /// Kept on either side of speech, in seconds.
    pub padding_s: f64,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            absolute_db: -60.0,
            margin_db: 9.0,
            range_db: 40.0,
            min_silence_s: 0.3,
            min_speech_s: 0.1,
            padding_s: 0.1,
        }
    }
}

/// The loud parts of `samples` as ranges of sample indices: ascending, disjoint, not empty.
///
/// # Examples
///
/// ```
/// use audio_frontend::vad::{VadOptions, segments};
///
/// let mut samples = vec![0.0; 48_000];
/// for (i, x) in samples[16_000..32_000].iter_mut().enumerate() {
///     *x = 0.3 * (i as f32 * 0.2).sin();
/// }
/// let found = segments(&samples, 16_000, &VadOptions::default());
/// assert_eq!(found.len(), 1);
/// assert!(found[0].start.abs_diff(14_400) <= 400 && found[0].end.abs_diff(33_600) <= 400);
/// ```
pub fn segments(samples: &[f32], sample_rate: u32, options: &VadOptions) -> Vec<Range<usize>> {
    let rate = f64::from(sample_rate);
    let in_samples = |seconds: f64| (seconds.max(0.0) * rate).round() as usize;
    let (length, hop) = (in_samples(0.025).max(1), in_samples(0.010).max(1));
    let levels = levels_db(samples, length, hop);
    let Some(threshold) = threshold_db(&levels, options) else { return Vec::new() };

    let min_silence = in_samples(options.min_silence_s);
    // 1. Runs of active frames, in samples.
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (frame, _) in levels.iter().enumerate().filter(|&(_, &level)| level > threshold) {
        let (start, end) = (frame * hop, (frame * hop + length).min(samples.len()));
        match runs.last_mut() {
            // 2. Short pauses are bridged as the runs are made.
            Some(last) if start.saturating_sub(last.end) <= min_silence => last.end = end,
            _ => runs.push(start..end),
        }
    }
    // 3. Short bursts go, and the rest is widened; neighbours that now touch become one.
    runs.retain(|run| run.len() >= in_samples(options.min_speech_s).min(samples.len()));
    let padding = in_samples(options.padding_s);
    let mut widened: Vec<Range<usize>> = Vec::with_capacity(runs.len());
    for run in runs {
        let (start, end) =
            (run.start.saturating_sub(padding), run.end.saturating_add(padding).min(samples.len()));
        match widened.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => widened.push(start..end),
        }
    }
    widened
}

/// `samples` without the silence before the first and after the last loud part; empty when all is silent.
pub fn trim_silence<'a>(samples: &'a [f32], sample_rate: u32, options: &VadOptions) -> &'a [f32] {
    let found = segments(samples, sample_rate, options);
    match (found.first(), found.last()) {
        (Some(first), Some(last)) => &samples[first.start..last.end],
        _ => &[],
    }
}

/// Level of each frame in dBFS; a clip shorter than a frame is one frame.
fn levels_db(samples: &[f32], length: usize, hop: usize) -> Vec<f32> {
    if samples.is_empty() {
        return Vec::new();
    }
    let n_frames = samples.len().saturating_sub(length).div_ceil(hop) + 1;
    (0..n_frames)
        .map(|frame| {
            let start = frame * hop;
            let part = &samples[start..(start + length).min(samples.len())];
            let power = part.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / part.len() as f64;
            (10.0 * power.max(1e-12).log10()) as f32
        })
        .collect()
}

fn threshold_db(levels: &[f32], options: &VadOptions) -> Option<f32> {
    let mut sorted = levels.to_vec();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let percentile = |p: f64| sorted[(p * last as f64).round() as usize];
    let (background, peak) = (percentile(0.10), percentile(0.99));
    let relative = (background + options.margin_db).min(peak - options.range_db / 2.0);
    Some(options.absolute_db.max(relative).max(peak - options.range_db))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(n: usize, amplitude: f32) -> impl Iterator<Item = f32> {
        (0..n).map(move |i| amplitude * (i as f32 * 0.2).sin())
    }

    #[test]
    fn silence_has_no_segments_and_trims_to_nothing() {
        for n in [0, 1, 399, 16_000] {
            let samples = vec![0.0; n];
            assert!(segments(&samples, 16_000, &VadOptions::default()).is_empty(), "{n}");
            assert!(trim_silence(&samples, 16_000, &VadOptions::default()).is_empty());
        }
    }

    #[test]
    fn steady_sound_is_kept_whole() {
        for n in [1, 100, 16_000, 50_001] {
            let samples: Vec<f32> = tone(n, 0.2).map(|x| x + 0.1).collect();
            assert_eq!(trim_silence(&samples, 16_000, &VadOptions::default()).len(), n);
        }
    }

    #[test]
    fn a_long_pause_splits_and_a_short_one_does_not() {
        for (pause, want) in [(16_000, 2), (2_000, 1)] {
            let mut samples = vec![0.0; 8_000];
            samples.extend(tone(16_000, 0.3));
            samples.resize(samples.len() + pause, 0.0);
            samples.extend(tone(16_000, 0.3));
            samples.resize(samples.len() + 8_000, 0.0);
            let found = segments(&samples, 16_000, &VadOptions::default());
            assert_eq!(found.len(), want, "{pause}: {found:?}");
            assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    #[test]
    fn endless_bridges_and_paddings_keep_everything() {
        let mut samples = vec![0.0; 8_000];
        samples.extend(tone(16_000, 0.3));
        samples.resize(60_000, 0.0);
        samples.extend(tone(16_000, 0.3));
        let options = VadOptions { min_silence_s: f64::INFINITY, ..VadOptions::default() };
        assert_eq!(segments(&samples, 16_000, &options).len(), 1);
        let options = VadOptions { padding_s: f64::INFINITY, ..VadOptions::default() };
        assert_eq!(segments(&samples, 16_000, &options).first(), Some(&(0..76_000)));
    }

    #[test]
    fn a_click_is_not_speech() {
        let mut samples = vec![0.0; 32_000];
        samples[4_000..4_100].copy_from_slice(&[0.5; 100]);
        samples.splice(16_000..24_000, tone(8_000, 0.3));
        let found = segments(&samples, 16_000, &VadOptions::default());
        assert_eq!(found.len(), 1);
        assert!(found[0].start > 12_000, "{found:?}");
    }

    #[test]
    fn speech_over_noise_is_found_by_its_margin() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut samples: Vec<f32> = (0..64_000).map(|_| 0.02 * noise()).collect();
        for (x, y) in samples[24_000..40_000].iter_mut().zip(tone(16_000, 0.3)) {
            *x += y;
        }
        let found = segments(&samples, 16_000, &VadOptions::default());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].start.abs_diff(22_400) <= 400 && found[0].end.abs_diff(41_600) <= 400);
    }
}
