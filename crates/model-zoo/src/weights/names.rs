//! One name for each tensor, whatever wrote the file.
//!
//! `transformers` saves a bare `BertModel` without the `bert.` prefix and a
//! `BertForMaskedLM` with it; checkpoints older than 2020 call a norm's gain
//! `gamma`; tied projections are written or left out by version. Rules map a
//! file's names to the full form that this crate uses, and say which of them a
//! model may leave unread.

/// How one model reads the names in a file.
#[derive(Clone, Copy)]
pub struct NameRules {
    /// The name used here for a name found in a file.
    pub canonical: fn(&str) -> String,
    /// Whether a tensor of this (canonical) name may stay unread without being reported.
    pub ignorable: fn(&str) -> bool,
}

impl NameRules {
    /// Names are taken as they are, and every tensor must be used.
    pub fn exact() -> Self {
        Self { canonical: str::to_owned, ignorable: |_| false }
    }

    /// Whisper, encoder and decoder: names begin with `model.`, the output projection is tied.
    pub fn whisper() -> Self {
        Self { canonical: canonical_whisper, ignorable: |name| name == "proj_out.weight" }
    }

    /// Whisper's encoder alone: as [`whisper`](Self::whisper), and the decoder stays unread.
    pub fn whisper_encoder() -> Self {
        Self { canonical: canonical_whisper, ignorable: |name| !name.starts_with("model.encoder.") }
    }

    /// BERT: the encoder's names begin with `bert.`, heads have their own roots. A model reads
    /// the heads it has and leaves the others.
    pub fn bert() -> Self {
        Self {
            canonical: canonical_bert,
            ignorable: |name| {
                ["cls.", "classifier.", "bert.pooler."].iter().any(|head| name.starts_with(head))
                    || name == "bert.embeddings.position_ids"
            },
        }
    }
}

fn canonical_whisper(name: &str) -> String {
    match name {
        n if n.starts_with("model.") || n.starts_with("proj_out.") => n.to_owned(),
        n if n.starts_with("encoder.") || n.starts_with("decoder.") => format!("model.{n}"),
        // A bare `WhisperEncoder`, as audio classifiers and speech language models keep it.
        n if ["conv1.", "conv2.", "embed_positions.", "layers.", "layer_norm."]
            .iter()
            .any(|root| n.starts_with(root)) =>
        {
            format!("model.encoder.{n}")
        }
        n => n.to_owned(),
    }
}

fn canonical_bert(name: &str) -> String {
    let rooted = match name {
        // The bias of the vocabulary projection is tied to this one and written as either.
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
    fn every_spelling_of_a_bert_tensor_has_one_name() {
        let rules = NameRules::bert();
        for (found, expected) in [
            ("embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
            ("bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
            ("encoder.layer.0.output.dense.bias", "bert.encoder.layer.0.output.dense.bias"),
            ("cls.predictions.decoder.bias", "cls.predictions.bias"),
            ("classifier.weight", "classifier.weight"),
            ("surprise.weight", "surprise.weight"),
        ] {
            assert_eq!((rules.canonical)(found), expected);
        }
        assert!(!(rules.ignorable)("surprise.weight"));
    }

    #[test]
    fn every_spelling_of_a_whisper_tensor_has_one_name() {
        let rules = NameRules::whisper();
        for (found, expected) in [
            ("encoder.conv1.weight", "model.encoder.conv1.weight"),
            ("model.encoder.conv1.weight", "model.encoder.conv1.weight"),
            ("layers.2.fc1.bias", "model.encoder.layers.2.fc1.bias"),
            ("proj_out.weight", "proj_out.weight"),
        ] {
            assert_eq!((rules.canonical)(found), expected);
        }
    }
}
