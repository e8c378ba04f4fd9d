//! How the tensors of HuBERT and wav2vec 2.0 are called in files.
//!
//! The encoder's names begin with the family's, or with nothing in a bare encoder; torch 2 renamed
//! the two parts of a normed weight.

use super::config::SpeechFamily;
use crate::weights::NameRules;

/// Roots of the encoder's names.
const ROOTS: [&str; 4] =
    ["feature_extractor.", "feature_projection.", "encoder.", "masked_spec_embed"];

/// What a checkpoint of pre-training or of another head has beside the encoder: the quantiser and
/// its projections (wav2vec 2.0), the cluster embedding of HuBERT's pre-training, classifiers.
const OTHER_HEADS: [&str; 9] = [
    "quantizer.",
    "project_q.",
    "project_hid.",
    "dropout_features.",
    "final_proj.",
    "label_embs_concat",
    "projector.",
    "classifier.",
    "layer_weights",
];

impl NameRules {
    /// HuBERT or wav2vec 2.0. A model reads the heads it has and leaves the others; a file of
    /// one family fits the other, whose arithmetic is the same.
    pub fn speech(family: SpeechFamily) -> Self {
        let canonical: fn(&str) -> String = match family {
            SpeechFamily::Hubert => |name| canonical(name, "hubert"),
            SpeechFamily::Wav2Vec2 => |name| canonical(name, "wav2vec2"),
        };
        Self { canonical, ignorable }
    }
}

fn ignorable(name: &str) -> bool {
    name.starts_with("lm_head.")
        || name.ends_with(".masked_spec_embed")
        || OTHER_HEADS.iter().any(|head| name.starts_with(head))
}

fn canonical(name: &str, family: &str) -> String {
    let bare = ["hubert.", "wav2vec2."].iter().find_map(|root| name.strip_prefix(root));
    let rooted = match bare {
        Some(bare) => format!("{family}.{bare}"),
        None if ROOTS.iter().any(|root| name.starts_with(root)) => format!("{family}.{name}"),
        None => name.to_owned(),
    };
    for (old, new) in [
        ("pos_conv_embed.conv.weight_g", "pos_conv_embed.conv.parametrizations.weight.original0"),
        ("pos_conv_embed.conv.weight_v", "pos_conv_embed.conv.parametrizations.weight.original1"),
    ] {
        if let Some(stem) = rooted.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    rooted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_tensor_has_one_name() {
        let normed = "hubert.encoder.pos_conv_embed.conv.parametrizations.weight.original0";
        for (found, expected) in [
            ("encoder.pos_conv_embed.conv.weight_g", normed),
            ("wav2vec2.encoder.pos_conv_embed.conv.weight_g", normed),
            (normed, normed),
            ("masked_spec_embed", "hubert.masked_spec_embed"),
            ("wav2vec2.masked_spec_embed", "hubert.masked_spec_embed"),
            ("lm_head.bias", "lm_head.bias"),
        ] {
            assert_eq!(canonical(found, "hubert"), expected);
        }
        assert!(ignorable("quantizer.codevectors") && !ignorable("hubert.encoder.layers.3.x"));
    }
}
