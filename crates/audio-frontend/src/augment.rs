//! Seeded augmentation: SpecAugment and vocal tract warping on features, speed perturbation on waveforms.
//!
//! All are pure functions of `(seed, index)`, where `index` names the example and the epoch (for instance
//! `epoch * n_utterances + utterance`), so that a batch can be made again in any order on any machine.

mod rng;
mod spec_augment;
mod speed;
mod vocal_tract;

pub use spec_augment::SpecAugment;
pub use speed::{SpeedPerturb, speed_perturb};
pub use vocal_tract::VocalTract;
