//! How LLaMA's tensors are called in files: with the prefix `model.` or, saved as a bare
//! `LlamaModel`, without it.

use crate::weights::NameRules;

impl NameRules {
    /// LLaMA: names begin with `model.`, beside them stands `lm_head`. Old checkpoints store
    /// their rotary frequencies, which follow from the config.
    pub fn llama() -> Self {
        Self { canonical, ignorable: |name| name.ends_with("rotary_emb.inv_freq") }
    }
}

fn canonical(name: &str) -> String {
    let bare = ["embed_tokens.", "layers.", "norm.", "rotary_emb."];
    match bare.iter().any(|root| name.starts_with(root)) {
        true => format!("model.{name}"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_tensor_has_one_name() {
        for (found, expected) in [
            ("norm.weight", "model.norm.weight"),
            ("layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"),
            ("model.embed_tokens.weight", "model.embed_tokens.weight"),
            ("lm_head.weight", "lm_head.weight"),
        ] {
            assert_eq!(canonical(found), expected);
        }
        let rules = NameRules::llama();
        assert!((rules.ignorable)("model.layers.0.self_attn.rotary_emb.inv_freq"));
        assert!(!(rules.ignorable)("lm_head.weight"));
    }
}
