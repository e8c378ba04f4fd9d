//! How BERT's tensors are called in files.
//!
//! `transformers` saves a bare `BertModel` without the prefix `bert.` and a
//! `BertForMaskedLM` with it; checkpoints older than 2020 call a norm's gain
//! `gamma`; tied projections are written or left out by version.

use crate::weights::NameRules;

impl NameRules {
    /// BERT: the encoder's names begin with `bert.`, heads have their own roots. A model reads
    /// the heads it has and leaves the others.
    pub fn bert() -> Self {
        Self { canonical, ignorable }
    }
}

fn ignorable(name: &str) -> bool {
    ["cls.", "classifier.", "bert.pooler."].iter().any(|head| name.starts_with(head))
        || name == "bert.embeddings.position_ids"
}

fn canonical(name: &str) -> String {
    let rooted = match name {
        // Two names of one bias; a file may hold either or both.
        "cls.predictions.decoder.bias" => "cls.predictions.bias".to_owned(),
        n if ["bert.", "cls.", "classifier."].iter().any(|root| n.starts_with(root)) => {
            n.to_owned()
        }
        n if ["embeddings.", "encoder.", "pooler."].iter().any(|root| n.starts_with(root)) => {
            format!("bert.{n}")
        }
        n => n.to_owned(),
    };
    match (rooted.strip_suffix("LayerNorm.gamma"), rooted.strip_suffix("LayerNorm.beta")) {
        (Some(stem), _) => format!("{stem}LayerNorm.weight"),
        (_, Some(stem)) => format!("{stem}LayerNorm.bias"),
        _ => rooted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_tensor_has_one_name() {
        for (found, expected) in [
            ("embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
            ("bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
            ("encoder.layer.0.output.dense.bias", "bert.encoder.layer.0.output.dense.bias"),
            ("cls.predictions.decoder.bias", "cls.predictions.bias"),
            ("classifier.weight", "classifier.weight"),
            ("surprise.weight", "surprise.weight"),
        ] {
            assert_eq!(canonical(found), expected);
        }
        assert!(!ignorable("surprise.weight"));
    }
}
