//! How text is generated, under the names of `GenerationConfig` of `transformers` 5.23.

use std::path::PathBuf;

use anyhow::ensure;
use model_zoo::WeightForm;
use model_zoo::decoding::{
    BeamSearch, NoRepeatNgram, RepetitionPenalty, Sampling, ScoreRule, Strategy,
};
use model_zoo::llama::LlamaGenerationConfig;

/// `top_k` where neither the user nor the folder says one.
const TOP_K: usize = 50;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Hugging Face folder of the model.
    pub(crate) model: PathBuf,
    pub(crate) weights: WeightForm,
    pub(crate) search: Search,
    /// Most tokens of a text; the model's positions bound it too.
    pub(crate) max_new_tokens: usize,
    /// Above 1 discourages tokens that prompt or text hold already.
    pub(crate) repetition_penalty: f64,
    /// No run of this many tokens comes twice; 0 allows all.
    pub(crate) no_repeat_ngram_size: usize,
    /// Prompts are questions of a chat.
    pub(crate) chat: Option<Chat>,
}

/// The chat that a prompt is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chat {
    /// What comes before the question.
    pub(crate) system: Option<String>,
}

/// How tokens are chosen.
#[derive(Debug, Clone)]
pub(crate) enum Search {
    /// The likeliest every time.
    Greedy,
    /// Beam search.
    Beam {
        search: BeamSearch,
        /// How many of the beams to tell of.
        num_return_sequences: usize,
    },
    /// Drawn at random.
    Sample(SampleOptions),
}

/// How tokens are drawn; what is `None` is the folder's to say.
#[derive(Debug, Clone)]
pub(crate) struct SampleOptions {
    pub(crate) temperature: Option<f64>,
    pub(crate) top_k: Option<usize>,
    pub(crate) top_p: Option<f64>,
    pub(crate) min_p: f64,
    pub(crate) num_return_sequences: usize,
    pub(crate) seed: u64,
}

impl Search {
    /// Texts of each prompt.
    pub(crate) fn num_return_sequences(&self) -> usize {
        match self {
            Self::Greedy => 1,
            Self::Beam { num_return_sequences, .. } => *num_return_sequences,
            Self::Sample(sample) => sample.num_return_sequences,
        }
    }

    pub(super) fn strategy(&self, folder: &LlamaGenerationConfig) -> Strategy {
        match self {
            Self::Greedy => Strategy::Greedy,
            Self::Beam { search, .. } => Strategy::Beam(search.clone()),
            Self::Sample(sample) => Strategy::Sample(Sampling {
                temperature: sample.temperature.or(folder.temperature).unwrap_or(1.0),
                top_k: sample.top_k.or(folder.top_k).unwrap_or(TOP_K),
                top_p: sample.top_p.or(folder.top_p).unwrap_or(1.0),
                min_p: sample.min_p,
                num_return_sequences: sample.num_return_sequences,
                length_penalty: None,
                seed: sample.seed,
            }),
        }
    }
}

impl Options {
    /// Refuses what no search can serve, before a model is read.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.max_new_tokens > 0, "--max-new-tokens is 0, expected at least 1 (hint: 128)");
        let penalty = self.repetition_penalty;
        ensure!(
            penalty > 0.0 && penalty.is_finite(),
            "--repetition-penalty is {penalty}, expected above 0 (hint: 1 changes nothing, more \
             discourages repetition)"
        );
        let n = self.search.num_return_sequences();
        ensure!(n > 0, "--num-return-sequences is 0, expected at least 1 (hint: 1)");
        match &self.search {
            Search::Greedy => {}
            Search::Beam { search, .. } => {
                let beams = search.num_beams;
                ensure!(beams > 0, "--num-beams is 0, expected at least 1 (hint: 1)");
                ensure!(
                    n <= beams,
                    "--num-return-sequences is {n}, expected at most {beams}, the beams (hint: \
                     --num-beams {n} or more, or --do-sample)"
                );
            }
            Search::Sample(sample) => {
                if let Some(temperature) = sample.temperature {
                    ensure!(
                        temperature > 0.0 && temperature.is_finite(),
                        "--temperature is {temperature}, expected above 0 (hint: without \
                         --do-sample the likeliest token is taken)"
                    );
                }
                if let Some(top_p) = sample.top_p {
                    ensure!(
                        top_p > 0.0 && top_p <= 1.0,
                        "--top-p is {top_p}, expected above 0 and at most 1 (hint: 1 keeps all)"
                    );
                }
                ensure!(
                    (0.0..1.0).contains(&sample.min_p),
                    "--min-p is {}, expected at least 0 and under 1 (hint: 0 keeps all)",
                    sample.min_p
                );
            }
        }
        Ok(())
    }

    /// The rules, in the order of `transformers`.
    pub(super) fn rules(&self) -> Vec<Box<dyn ScoreRule>> {
        let mut rules: Vec<Box<dyn ScoreRule>> = Vec::new();
        if self.repetition_penalty != 1.0 {
            rules.push(Box::new(RepetitionPenalty { penalty: self.repetition_penalty as f32 }));
        }
        if self.no_repeat_ngram_size > 0 {
            rules.push(Box::new(NoRepeatNgram { size: self.no_repeat_ngram_size }));
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_folders_and_then_the_libraries() {
        let asked = SampleOptions {
            temperature: None,
            top_k: None,
            top_p: Some(0.5),
            min_p: 0.0,
            num_return_sequences: 2,
            seed: 7,
        };
        let folder = LlamaGenerationConfig {
            temperature: Some(0.6),
            top_p: Some(0.9),
            ..LlamaGenerationConfig::default()
        };
        let Strategy::Sample(found) = Search::Sample(asked).strategy(&folder) else {
            panic!("tokens are drawn")
        };
        assert_eq!((found.temperature, found.top_k, found.top_p), (0.6, 50, 0.5));
        assert_eq!((found.num_return_sequences, found.seed), (2, 7));
    }
}
