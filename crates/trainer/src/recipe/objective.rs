//! `pretrain.objective`: what a projector learns before any task, as arXiv 2412.15712 names it.

use std::fmt;
use std::str::FromStr;

use anyhow::{bail, ensure};

/// How speech and text are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Cosine of averages over positions.
    Cosine,
    /// Minus the Sinkhorn divergence between all positions.
    Wasserstein,
}

/// Which hidden states of the language model are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// What the first layer reads.
    Embedding,
    /// After the last norm.
    Last,
    /// Those of `pretrain.layers`.
    All,
    /// One of them; 0 is the embedding.
    Layer(usize),
}

/// A contrast between recordings and their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contrast {
    /// By what.
    pub likeness: Likeness,
    /// At which hidden states.
    pub place: Where,
}

/// The parts of the loss of pretraining; without any, there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PretrainObjective {
    /// Recordings against their texts.
    pub contrast: Option<Contrast>,
    /// Cross-entropy of the transcript, after its prompt.
    pub asr: bool,
    /// Next-word prediction in sequences of speech and text.
    pub mixed: bool,
}

impl PretrainObjective {
    /// Whether the projector starts as it was drawn.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

const KNOWN: &str =
    "`none`, or `asr`, `mixed-nwp` and one `contr-{cos,wasser}-{emb,last,all,INDEX}` joined by `+`";

impl FromStr for PretrainObjective {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut objective = Self::default();
        if text == "none" {
            return Ok(objective);
        }
        for part in text.split('+') {
            let twice = match part {
                "asr" => std::mem::replace(&mut objective.asr, true),
                "mixed-nwp" | "mixed" => std::mem::replace(&mut objective.mixed, true),
                _ => match part.strip_prefix("contr-").and_then(contrast) {
                    Some(found) => objective.contrast.replace(found).is_some(),
                    None => bail!("`{text}` has a part `{part}`, expected {KNOWN}"),
                },
            };
            ensure!(!twice, "`{text}` has `{part}` beside another of its kind, expected {KNOWN}");
        }
        Ok(objective)
    }
}

fn contrast(text: &str) -> Option<Contrast> {
    let (likeness, place) = text.split_once('-')?;
    let likeness = match likeness {
        "cos" => Likeness::Cosine,
        "wasser" => Likeness::Wasserstein,
        _ => return None,
    };
    let place = match place {
        "emb" => Where::Embedding,
        "last" => Where::Last,
        "all" => Where::All,
        index => Where::Layer(index.parse().ok()?),
    };
    Some(Contrast { likeness, place })
}

impl fmt::Display for PretrainObjective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if let Some(Contrast { likeness, place }) = self.contrast {
            let likeness = match likeness {
                Likeness::Cosine => "cos",
                Likeness::Wasserstein => "wasser",
            };
            let place = match place {
                Where::Embedding => "emb".to_owned(),
                Where::Last => "last".to_owned(),
                Where::All => "all".to_owned(),
                Where::Layer(index) => index.to_string(),
            };
            parts.push(format!("contr-{likeness}-{place}"));
        }
        parts.extend(self.asr.then(|| "asr".to_owned()));
        parts.extend(self.mixed.then(|| "mixed-nwp".to_owned()));
        f.write_str(&if parts.is_empty() { "none".to_owned() } else { parts.join("+") })
    }
}

impl Where {
    /// The hidden states meant in a model of `n_layers` layers, ascending; `all` are those of
    /// `listed`.
    ///
    /// # Errors
    ///
    /// Names a state that the model does not have.
    pub fn layers(self, listed: &[usize], n_layers: usize) -> anyhow::Result<Vec<usize>> {
        let mut layers = match self {
            Self::Embedding => vec![0],
            Self::Last => vec![n_layers],
            Self::Layer(index) => vec![index],
            Self::All => listed.to_vec(),
        };
        layers.sort_unstable();
        layers.dedup();
        let over = layers.iter().find(|&&layer| layer > n_layers);
        if let Some(layer) = over {
            let key = if matches!(self, Self::All) { "layers" } else { "objective" };
            bail!("pretrain.{key}: hidden state {layer}, expected 0 to {n_layers} of this model");
        }
        Ok(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "none",
            "asr",
            "mixed-nwp",
            "contr-cos-emb",
            "contr-wasser-all+asr",
            "contr-cos-7",
            "contr-wasser-last+asr+mixed-nwp",
        ] {
            assert_eq!(text.parse::<PretrainObjective>().unwrap().to_string(), text);
        }
        let short = "mixed+contr-cos-all".parse::<PretrainObjective>().unwrap();
        assert_eq!(short.to_string(), "contr-cos-all+mixed-nwp");
    }

    #[test]
    fn what_is_not_known_or_said_twice_is_named() {
        for (text, part) in [
            ("contr-cos", "part `contr-cos`"),
            ("contr-dot-emb", "part `contr-dot-emb`"),
            ("asr+none", "part `none`"),
            ("", "part ``"),
            ("asr+asr", "`asr` beside another"),
            ("contr-cos-emb+contr-wasser-emb", "`contr-wasser-emb` beside another"),
        ] {
            let error = text.parse::<PretrainObjective>().unwrap_err().to_string();
            assert!(error.contains(part) && error.ends_with("joined by `+`"), "{error}");
        }
    }

    #[test]
    fn layers_are_ascending_and_those_of_the_model() {
        assert_eq!(Where::All.layers(&[4, 0, 4], 6).unwrap(), [0, 4]);
        assert_eq!(Where::Last.layers(&[1], 6).unwrap(), [6]);
        assert_eq!(Where::Embedding.layers(&[1], 6).unwrap(), [0]);
        let error = Where::Layer(7).layers(&[], 6).unwrap_err().to_string();
        assert_eq!(error, "pretrain.objective: hidden state 7, expected 0 to 6 of this model");
        let error = Where::All.layers(&[0, 32], 6).unwrap_err().to_string();
        assert_eq!(error, "pretrain.layers: hidden state 32, expected 0 to 6 of this model");
    }
}
