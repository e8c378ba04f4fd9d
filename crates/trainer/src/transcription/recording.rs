//! Sound of one recording as the windows a model hears.

use std::ops::Range;

use audio_frontend::log_mel::HOP_LENGTH;
use audio_frontend::vad::{VadOptions, segments};
use audio_frontend::{Features, LogMel};
use model_zoo::whisper::{LogMelSource, LogMelWindow};
use tensor_core::{Device, Tensor};

use crate::dataset::audio::{SAMPLE_RATE, Window};

/// Pauses shorter than this stay inside a region, so that a sentence is not torn apart.
const MIN_SILENCE_S: f64 = 2.0;
/// Sound kept on either side of speech: soft beginnings and ends are part of the words.
const PADDING_S: f64 = 0.4;

/// Where a recording has speech: seconds, ascending. Loudness alone decides.
pub(super) fn speech_regions(samples: &[f32]) -> Vec<Range<f64>> {
    let options =
        VadOptions { min_silence_s: MIN_SILENCE_S, padding_s: PADDING_S, ..VadOptions::default() };
    let seconds = |n: usize| n as f64 / f64::from(SAMPLE_RATE);
    segments(samples, SAMPLE_RATE, &options)
        .into_iter()
        .map(|found| seconds(found.start)..seconds(found.end))
        .collect()
}

/// A recording whose features were made at once: loudness is relative to the loudest of all.
///
/// A window of a model that wants it filled ends in zeros, as in openai-whisper.
pub(super) struct WholeRecording {
    features: Features,
    n_frames: usize,
    window: Window,
}

impl WholeRecording {
    pub(super) fn new(log_mel: &LogMel, window: Window, samples: &[f32]) -> Self {
        let n_frames = samples.len() / HOP_LENGTH;
        // Silence follows the end, where the last frames would see the sound mirrored.
        let features = match window {
            Window::Padded(longest) => log_mel.compute_padded(samples, samples.len() + longest),
            Window::Free(_) => log_mel.compute(samples),
        };
        Self { features, n_frames, window }
    }
}

impl LogMelSource for WholeRecording {
    type Error = anyhow::Error;

    fn n_frames(&self) -> usize {
        self.n_frames
    }

    fn window(&mut self, seek: usize, len: usize) -> anyhow::Result<LogMelWindow> {
        let n_frames = match self.window {
            Window::Padded(longest) => longest / HOP_LENGTH,
            Window::Free(_) => len,
        };
        let n_mels = self.features.n_mels;
        let mut values = Vec::with_capacity(n_mels * n_frames);
        for band in 0..n_mels {
            values.extend(&self.features.band(band)[seek..seek + len]);
            values.resize((band + 1) * n_frames, 0.0);
        }
        let input_features = Tensor::from_vec(values, &[1, n_mels, n_frames], Device::Cpu)?;
        Ok(LogMelWindow { input_features, n_frames })
    }
}

/// A recording whose windows are heard as clips of their own, as the pipeline of `transformers`
/// does with chunks.
pub(super) struct Clips<'a> {
    pub(super) log_mel: &'a LogMel,
    pub(super) window: Window,
    pub(super) samples: &'a [f32],
}

impl LogMelSource for Clips<'_> {
    type Error = anyhow::Error;

    fn n_frames(&self) -> usize {
        self.samples.len() / HOP_LENGTH
    }

    fn window(&mut self, seek: usize, len: usize) -> anyhow::Result<LogMelWindow> {
        let clip = &self.samples[seek * HOP_LENGTH..(seek + len) * HOP_LENGTH];
        let (input_features, n_frames) = self.window.features(self.log_mel, clip)?;
        Ok(LogMelWindow { input_features, n_frames })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(n: usize) -> Vec<f32> {
        (0..n).map(|k| 0.3 * (k as f32 * 0.2).sin()).collect()
    }

    #[test]
    fn regions_are_the_loud_parts_in_seconds() {
        let mut samples = vec![0.0; 16_000];
        samples.extend(tone(16_000));
        samples.resize(96_000, 0.0);
        samples.extend(tone(8_000));
        let found = speech_regions(&samples);
        let near = |a: f64, b: f64| (a - b).abs() < 0.03;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(near(found[0].start, 0.6) && near(found[0].end, 2.4), "{found:?}");
        assert!(near(found[1].start, 5.6) && near(found[1].end, 6.5), "{found:?}");
        assert!(speech_regions(&vec![0.0; 16_000]).is_empty());
    }

    #[test]
    fn a_padded_window_ends_in_zeros_and_a_free_one_with_the_sound() {
        let (log_mel, samples) = (LogMel::new(80), tone(16_000));
        let whole = log_mel.compute_padded(&samples, 64_000);
        for (window, n_frames) in [(Window::Padded(48_000), 300), (Window::Free(48_000), 25)] {
            let mut recording = WholeRecording::new(&log_mel, window, &samples);
            assert_eq!(recording.n_frames(), 100);
            let part = recording.window(70, 25).unwrap();
            assert_eq!(part.input_features.shape(), [1, 80, n_frames]);
            assert_eq!(part.n_frames, n_frames);
            let values = part.input_features.to_vec_f32().unwrap();
            let second = &values[n_frames..2 * n_frames];
            assert_eq!(second[..20], whole.band(1)[70..90]);
            assert!(second[25..].iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn a_clip_is_as_loud_as_itself() {
        let (log_mel, mut samples) = (LogMel::new(80), tone(16_000));
        samples.iter_mut().skip(8_000).for_each(|x| *x *= 0.01);
        let window = Window::Free(48_000);
        let mut clips = Clips { log_mel: &log_mel, window, samples: &samples };
        let part = clips.window(50, 50).unwrap();
        let expected = log_mel.compute(&samples[8_000..]);
        assert_eq!(part.input_features.to_vec_f32().unwrap(), expected.data);
    }
}
