//! How Whisper's tensors are called in files: with the prefix `model.`, without it, or as an
//! encoder alone.

use crate::weights::NameRules;

impl NameRules {
    /// Whisper, encoder and decoder: names begin with `model.`, the output projection is tied.
    pub fn whisper() -> Self {
        Self { canonical, ignorable: |name| name == "proj_out.weight" }
    }

    /// Whisper's encoder alone: as [`whisper`](Self::whisper), and the decoder stays unread.
    pub fn whisper_encoder() -> Self {
        Self { canonical, ignorable: |name| !name.starts_with("model.encoder.") }
    }

    /// Of Whisper some of the decoder's attention to the encoder: all else stays unread.
    pub fn whisper_cross_attention() -> Self {
        Self { canonical, ignorable: |_| true }
    }
}

fn canonical(name: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_tensor_has_one_name() {
        for (found, expected) in [
            ("encoder.conv1.weight", "model.encoder.conv1.weight"),
            ("model.encoder.conv1.weight", "model.encoder.conv1.weight"),
            ("layers.2.fc1.bias", "model.encoder.layers.2.fc1.bias"),
            ("proj_out.weight", "proj_out.weight"),
        ] {
            assert_eq!(canonical(found), expected);
        }
    }
}
