//! `[sweep]`: the runs that `sweep` compares.

use serde::{Deserialize, Serialize};

/// `[sweep]`: the runs of a `speech-llm` recipe that the command `sweep` compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Each in the place of `pretrain.objective`.
    pub objectives: Vec<String>,
    /// Each in the place of `seed`; tables show means and spreads over them.
    pub seeds: Vec<u64>,
}

impl Default for Sweep {
    fn default() -> Self {
        let objectives = [
            "none",
            "asr",
            "contr-cos-emb",
            "contr-cos-all",
            "contr-wasser-emb",
            "contr-wasser-all",
            "contr-wasser-all+asr",
        ];
        Self { objectives: objectives.map(str::to_owned).into(), seeds: vec![1, 2, 3] }
    }
}
