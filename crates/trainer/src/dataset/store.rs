//! Samples and features of utterances, made on demand and kept in memory up to a cap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use audio_frontend::augment::speed_perturb;
use audio_frontend::{Features, LogMel};

use super::audio::load_samples;
use crate::manifest::Utterance;

/// Log-Mel features of a list of utterances.
pub struct FeatureStore {
    utterances: Arc<Vec<Utterance>>,
    log_mel: LogMel,
    kept: Kept<Features>,
}

impl FeatureStore {
    /// Features with `n_mels` bands, at most `capacity` bytes of them in memory.
    pub fn new(utterances: Arc<Vec<Utterance>>, n_mels: usize, capacity: usize) -> Self {
        Self { utterances, log_mel: LogMel::new(n_mels), kept: Kept::new(capacity) }
    }

    /// Features `(F, T)` of utterance `index`, its sound played `speed` times as fast.
    ///
    /// # Errors
    ///
    /// Names the manifest line of sound that cannot be decoded.
    pub fn get(&self, index: usize, speed: f64) -> anyhow::Result<Arc<Features>> {
        let bytes = |features: &Features| size_of_val(features.data.as_slice());
        self.kept.get((index, speed.to_bits()), bytes, || {
            Ok(self.log_mel.compute(&samples_at(&self.utterances[index], speed)?))
        })
    }
}

/// Samples of a list of utterances, mono at 16 kHz.
pub struct SampleStore {
    utterances: Arc<Vec<Utterance>>,
    kept: Kept<Vec<f32>>,
}

impl SampleStore {
    /// At most `capacity` bytes of samples stay in memory.
    pub fn new(utterances: Arc<Vec<Utterance>>, capacity: usize) -> Self {
        Self { utterances, kept: Kept::new(capacity) }
    }

    /// Samples of utterance `index`, played `speed` times as fast.
    ///
    /// # Errors
    ///
    /// Names the manifest line of sound that cannot be decoded.
    pub fn get(&self, index: usize, speed: f64) -> anyhow::Result<Arc<Vec<f32>>> {
        let bytes = |samples: &Vec<f32>| size_of_val(samples.as_slice());
        self.kept
            .get((index, speed.to_bits()), bytes, || samples_at(&self.utterances[index], speed))
    }
}

fn samples_at(utterance: &Utterance, speed: f64) -> anyhow::Result<Vec<f32>> {
    let samples = load_samples(utterance)?;
    if speed == 1.0 {
        return Ok(samples);
    }
    speed_perturb(&samples, speed)
        .with_context(|| format!("{}: utterance `{}`", utterance.place, utterance.id))
}

/// What was made, by utterance and the bits of the speed.
pub(crate) struct Kept<T> {
    /// Bytes that are kept; later ones are made anew each time.
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: HashMap<(usize, u64), Arc<T>>,
    bytes: usize,
}

impl<T> Kept<T> {
    /// Keeps at most `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::new(State { made: HashMap::new(), bytes: 0 }) }
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// What belongs to `key`, made where it is not kept.
    pub(crate) fn get(
        &self,
        key: (usize, u64),
        bytes_of: impl Fn(&T) -> usize,
        make: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Arc<T>> {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = lock().made.get(&key) {
            return Ok(made.clone());
        }
        let made = Arc::new(make()?);
        let bytes = bytes_of(&made);
        let mut state = lock();
        // Another thread may have made the same one meanwhile; bytes count once.
        if state.bytes + bytes <= self.capacity && state.made.insert(key, made.clone()).is_none() {
            state.bytes += bytes;
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_made_once() {
        let kept = Kept::new(10);
        let made = std::cell::Cell::new(0);
        let get = |item| {
            let make = || {
                made.set(made.get() + 1);
                Ok(item)
            };
            *kept.get((item, 0), |_| 6, make).unwrap()
        };
        assert_eq!([get(1), get(1), get(2), get(2)], [1, 1, 2, 2]);
        // The second did not fit beside the first.
        assert_eq!(made.get(), 3);
    }
}
