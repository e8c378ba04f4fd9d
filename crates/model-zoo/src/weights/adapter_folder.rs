//! The folder of an adapter: its config, and a weight file that names what it belongs to.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tensor_core::{SafeTensors, Tensor, save_safetensors};

use super::parameters::Parameters;
use crate::error::{ErrorKind, Result, ZooError};
use crate::json;

/// Name of the config's file, as in PEFT.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// A frozen model that an adapter belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    /// What the model is to the adapter; `name_hash` is a key of the weight file's metadata.
    pub name: &'a str,
    /// Hash of its weights.
    pub hash: &'a str,
}

impl Base<'_> {
    fn key(&self) -> String {
        format!("{}_hash", self.name)
    }
}

/// Writes config and parameters to `dir`, with the hash of each base.
pub(crate) fn save_adapter(
    dir: &Path,
    config: &impl Serialize,
    parameters: &Parameters,
    bases: &[Base<'_>],
) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|e| ZooError::io(dir, e))?;
    let tensors: Vec<(String, Tensor)> =
        parameters.iter().map(|(name, var)| (name.to_owned(), var.value())).collect();
    let mut metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    metadata.extend(bases.iter().map(|base| (base.key(), base.hash.to_owned())));
    save_safetensors(dir.join(WEIGHTS), &tensors, &metadata)?;
    json::write(&dir.join(ADAPTER_CONFIG), config)
}

/// Sets the parameters from `dir`, whose weight file belongs to `bases` if it says so;
/// `belongs_to` is what its config calls them.
pub(crate) fn load_adapter(
    dir: &Path,
    parameters: &Parameters,
    bases: &[Base<'_>],
    belongs_to: Option<&str>,
) -> Result<()> {
    let path = dir.join(WEIGHTS);
    let file = SafeTensors::open(&path)?;
    let metadata = file.metadata();
    for base in bases {
        let other = metadata.get(&base.key()).filter(|&hash| *hash != base.hash);
        if let Some(hash) = other {
            let detail = format!("{} weights are {hash}, expected {}", base.name, base.hash);
            let hint = format!("the adapter belongs to {}", belongs_to.unwrap_or("another model"));
            let place = path.display().to_string();
            return Err(ZooError::new(ErrorKind::Weights, place, detail).hint(hint));
        }
    }
    parameters.load(&path)
}
