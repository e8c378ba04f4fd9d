//! Prefix-beam decoding: the likeliest labellings, not the likeliest path.

use std::collections::HashMap;

use super::emission::Emission;
use crate::error::{Result, ZooError};

/// Options of [`prefix_beam`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrefixBeamOptions {
    /// Prefixes kept after every frame.
    pub beam_width: usize,
    /// Labellings returned, at most `beam_width`.
    pub n_best: usize,
    /// Labels less likely than this at a frame, as a log-probability, do not extend a prefix
    /// there; minus infinity considers all.
    pub token_min_logp: f64,
}

impl Default for PrefixBeamOptions {
    /// Beams of 32, one result, every label considered.
    fn default() -> Self {
        Self { beam_width: 32, n_best: 1, token_min_logp: f64::NEG_INFINITY }
    }
}

/// One labelling.
#[derive(Debug, Clone, PartialEq)]
pub struct CtcHypothesis {
    /// Labels without blanks.
    pub ids: Vec<u32>,
    /// Log-probability: of all paths that read as `ids`, as far as the beam kept them.
    pub log_prob: f64,
}

/// A prefix by its parent and last label.
type Key = (usize, u32);

/// Log-probabilities of the paths that read as a prefix, by whether they end in a blank.
#[derive(Debug, Clone, Copy)]
struct Mass {
    blank: f64,
    label: f64,
}

impl Mass {
    const NONE: Self = Self { blank: f64::NEG_INFINITY, label: f64::NEG_INFINITY };

    fn total(self) -> f64 {
        log_add(self.blank, self.label)
    }
}

/// The parent of the empty prefix.
const NOWHERE: usize = usize::MAX;

/// Prefixes by number, each with its parent and last label. A prefix that leaves the beam and comes
/// back has its old number.
struct Prefixes {
    keys: Vec<Key>,
    numbers: HashMap<Key, usize>,
}

impl Prefixes {
    fn number(&mut self, key: Key) -> usize {
        *self.numbers.entry(key).or_insert_with(|| {
            self.keys.push(key);
            self.keys.len() - 1
        })
    }

    fn ids(&self, mut number: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        while self.keys[number].0 != NOWHERE {
            ids.push(self.keys[number].1);
            number = self.keys[number].0;
        }
        ids.reverse();
        ids
    }
}

/// The likeliest labellings of an item, best first.
///
/// Where no prefix falls out of the beam, the probabilities are exact. Equal ones are ordered by
/// which prefix was met first, so that results repeat.
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) when `blank` is no label or a number of the options is 0.
///
/// # Source
///
/// Hannun et al. 2014, arXiv:1408.2873, algorithm 1, without a language model.
pub fn prefix_beam(
    emission: &Emission,
    blank: u32,
    options: &PrefixBeamOptions,
) -> Result<Vec<CtcHypothesis>> {
    emission.check_blank("ctc prefix beam", blank)?;
    if options.beam_width == 0 || options.n_best == 0 {
        let PrefixBeamOptions { beam_width, n_best, .. } = options;
        let detail = format!("beam_width {beam_width}, n_best {n_best}, expected at least 1");
        return Err(ZooError::option("ctc prefix beam", detail));
    }
    let root = (NOWHERE, blank);
    let mut prefixes = Prefixes { keys: vec![root], numbers: HashMap::from([(root, 0)]) };
    let mut beam = vec![(0, Mass { blank: 0.0, ..Mass::NONE })];
    for frame in emission.frames() {
        let mut next: HashMap<Key, Mass> = HashMap::new();
        for &(number, mass) in &beam {
            let (key, total) = (prefixes.keys[number], mass.total());
            let stay = next.entry(key).or_insert(Mass::NONE);
            stay.blank = log_add(stay.blank, total + frame[blank as usize]);
            if number != 0 {
                stay.label = log_add(stay.label, mass.label + frame[key.1 as usize]);
            }
            for (label, &log_prob) in frame.iter().enumerate() {
                let label = label as u32;
                if label == blank || log_prob < options.token_min_logp {
                    continue;
                }
                // A repeat is a new label only after a blank.
                let before = if number != 0 && label == key.1 { mass.blank } else { total };
                if before == f64::NEG_INFINITY || log_prob == f64::NEG_INFINITY {
                    continue;
                }
                let longer = next.entry((number, label)).or_insert(Mass::NONE);
                longer.label = log_add(longer.label, before + log_prob);
            }
        }
        // The order of the map must not show: keys, which are unique, settle ties.
        let mut ranked: Vec<(Key, Mass, f64)> =
            next.into_iter().map(|(key, mass)| (key, mass, mass.total())).collect();
        ranked.sort_unstable_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        ranked.truncate(options.beam_width);
        beam = ranked.into_iter().map(|(key, mass, _)| (prefixes.number(key), mass)).collect();
    }
    beam.truncate(options.n_best);
    let hypotheses = beam
        .into_iter()
        .map(|(number, mass)| CtcHypothesis { ids: prefixes.ids(number), log_prob: mass.total() });
    Ok(hypotheses.collect())
}

/// `ln(e^a + e^b)`.
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}
