//! Training utterances said anew: at another speed, and with other words of the same speaker.

use audio_frontend::SpeedPerturb;
use tensor_core::Philox;

use super::splice::{Splicer, Stretch};
use crate::manifest::Utterance;
use crate::recipe::Recipe;

/// Speed and splicing of a recipe's `[augment]`; what sound is made of, frames or samples, is the
/// caller's.
pub struct Respoken {
    speed: SpeedPerturb,
    /// Share of utterances that are spliced.
    splice: Option<(f64, Splicer)>,
    /// Random stream of splicing.
    stream: u64,
    seed: u64,
}

impl Respoken {
    /// `texts` are the transcripts of `utterances`. Words are drawn from the random streams whose
    /// numbers are `stream` with the number of the draw in its low bits.
    ///
    /// # Errors
    ///
    /// When words shall be spliced and the manifests do not say where they are.
    pub fn new(
        recipe: &Recipe,
        utterances: &[Utterance],
        texts: &[String],
        stream: u64,
    ) -> anyhow::Result<Self> {
        let augment = &recipe.augment;
        let splice = match augment.splice > 0.0 {
            true => Some((augment.splice, Splicer::new(utterances, texts)?)),
            false => None,
        };
        let speed = SpeedPerturb { factors: augment.speed.clone() };
        Ok(Self { speed, splice, stream, seed: recipe.seed })
    }

    /// Speed factor of draw number `draw`.
    pub fn speed(&self, draw: u64) -> f64 {
        self.speed.factor(self.seed, draw)
    }

    /// Stretches and text of utterance `item` under draw number `draw`; `None` where its words
    /// stay as they are.
    pub fn splice(&self, item: usize, draw: u64) -> Option<(Vec<Stretch>, String)> {
        let (share, splicer) = self.splice.as_ref()?;
        let mut rng = Philox::new(self.seed, self.stream | draw);
        if f64::from(rng.uniform()) >= *share {
            return None;
        }
        splicer.splice(item, &mut rng)
    }
}
