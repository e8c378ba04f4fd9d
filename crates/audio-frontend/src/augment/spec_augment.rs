//! SpecAugment: bands of frequency and stretches of time are blanked out.

use super::rng::Rng;
use crate::log_mel::Features;

/// How many masks, and how wide. Time warping is left out, as most recipes do.
///
/// # Source
///
/// Park et al. 2019, arXiv:1904.08779, section 2: each mask's width is uniform in `0..=max`, and its place
/// is uniform among those where it fits. The default is the LibriSpeech double policy (LD), with the
/// `p` of the Switchboard policies, 0.2 instead of 1, for the sake of short clips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpecAugment {
    /// Number of frequency masks (`m_F`).
    pub n_freq_masks: usize,
    /// Widest frequency mask, in Mel bands (`F`).
    pub max_freq_width: usize,
    /// Number of time masks (`m_T`).
    pub n_time_masks: usize,
    /// Widest time mask, in frames of 10 ms (`T`).
    pub max_time_width: usize,
    /// Widest time mask as a share of the clip (`p`), which spares short clips.
    pub max_time_share: f32,
    /// What masked values become. 0 is about the middle of Whisper's range and what transformers writes.
    pub mask_value: f32,
}

impl Default for SpecAugment {
    fn default() -> Self {
        Self {
            n_freq_masks: 2,
            max_freq_width: 27,
            n_time_masks: 2,
            max_time_width: 100,
            max_time_share: 0.2,
            mask_value: 0.0,
        }
    }
}

impl SpecAugment {
    /// Masks `features` in place.
    ///
    /// Masks fall within the first `n_valid_frames` (all, if that is more than there are), so that none is
    /// wasted on padding. The result depends on nothing but the arguments.
    ///
    /// # Examples
    ///
    /// ```
    /// use audio_frontend::{Features, SpecAugment};
    ///
    /// let clean = Features { data: vec![1.0; 80 * 300], n_mels: 80, n_frames: 300 };
    /// let (mut a, mut b) = (clean.clone(), clean.clone());
    /// SpecAugment::default().apply(&mut a, 300, 17, 4);
    /// SpecAugment::default().apply(&mut b, 300, 17, 4);
    /// assert_eq!(a, b);
    /// ```
    pub fn apply(&self, features: &mut Features, n_valid_frames: usize, seed: u64, index: u64) {
        let mut rng = Rng::new(seed, index, 0x5bec);
        let (n_mels, n_frames) = (features.n_mels, features.n_frames);
        let n_valid = n_valid_frames.min(n_frames);
        for _ in 0..self.n_freq_masks {
            let (start, width) = draw(&mut rng, n_mels, self.max_freq_width);
            for mel in start..start + width {
                features.data[mel * n_frames..mel * n_frames + n_valid].fill(self.mask_value);
            }
        }
        let share = (self.max_time_share.clamp(0.0, 1.0) * n_valid as f32) as usize;
        for _ in 0..self.n_time_masks {
            let (start, width) = draw(&mut rng, n_valid, self.max_time_width.min(share));
            for row in features.data.chunks_exact_mut(n_frames.max(1)) {
                row[start..start + width].fill(self.mask_value);
            }
        }
    }
}

/// Start and width of a mask of at most `max_width` within `0..len`.
fn draw(rng: &mut Rng, len: usize, max_width: usize) -> (usize, usize) {
    let width = rng.up_to(max_width.min(len));
    (rng.up_to(len - width), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(n_mels: usize, n_frames: usize) -> Features {
        Features { data: vec![1.0; n_mels * n_frames], n_mels, n_frames }
    }

    #[test]
    fn masks_stay_within_their_widths_and_the_valid_frames() {
        let policy = SpecAugment { n_freq_masks: 1, n_time_masks: 1, ..SpecAugment::default() };
        for index in 0..200 {
            let mut features = ones(80, 500);
            policy.apply(&mut features, 400, 1, index);
            let untouched_band = (0..80).find(|&m| features.band(m)[..400].contains(&1.0)).unwrap();
            let masked_frames = features.band(untouched_band).iter().filter(|&&x| x == 0.0).count();
            let free_frame =
                (0..400).find(|&t| (0..80).any(|m| features.band(m)[t] == 1.0)).unwrap();
            let masked_bands = (0..80).filter(|&m| features.band(m)[free_frame] == 0.0).count();
            assert!(masked_frames <= 80 && masked_bands <= 27, "{masked_frames} {masked_bands}");
            assert!((0..80).all(|m| features.band(m)[400..].iter().all(|&x| x == 1.0)));
        }
    }

    #[test]
    fn widths_reach_their_maximum_and_zero() {
        let policy = SpecAugment { n_time_masks: 0, n_freq_masks: 1, ..SpecAugment::default() };
        let widths: Vec<usize> = (0..500)
            .map(|index| {
                let mut features = ones(80, 3);
                policy.apply(&mut features, 3, 9, index);
                (0..80).filter(|&m| features.band(m)[0] == 0.0).count()
            })
            .collect();
        assert_eq!(widths.iter().max(), Some(&27));
        assert_eq!(widths.iter().min(), Some(&0));
    }

    #[test]
    fn odd_sizes_and_a_different_seed_are_fine() {
        for (n_mels, n_frames) in [(0, 0), (1, 1), (1, 900), (128, 1), (3, 0)] {
            SpecAugment::default().apply(&mut ones(n_mels, n_frames), usize::MAX, 1, 2);
        }
        let (mut a, mut b) = (ones(80, 300), ones(80, 300));
        SpecAugment::default().apply(&mut a, 300, 1, 0);
        SpecAugment::default().apply(&mut b, 300, 2, 0);
        assert_ne!(a, b);
    }
}
