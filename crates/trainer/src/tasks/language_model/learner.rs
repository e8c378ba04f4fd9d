//! What learns: a whole model, or an adapter beside a frozen one.

use std::path::Path;

use anyhow::ensure;
use model_zoo::llama::{Llama, LlamaConfig};
use model_zoo::lora::LoraAdapter;
use model_zoo::{Builder, LoadOptions, Parameters};
use tensor_core::{DType, Device, Tensor};

use crate::dataset::export_dtype;
use crate::model_folder::open_llama_beside;
use crate::recipe::{Recipe, resolve_path};

/// Name of the buffer that says which weights an adapter was trained beside.
const BASE_HASH: &str = "base_hash";

/// A model, and the adapter that is trained in its place where `[lora]` asks for one.
pub(super) struct Learner {
    pub(super) model: Llama,
    adapter: Option<LoraAdapter>,
}

impl Learner {
    /// Opens or makes the model. Weights beside an adapter stay as the folder holds them.
    pub(super) fn open(recipe: &Recipe) -> anyhow::Result<Self> {
        let (dir, lora) = (&recipe.model.dir, &recipe.lora);
        let (mut model, adapter) = if dir.is_empty() {
            let config = LlamaConfig::open(&resolve_path(&recipe.model.config))?;
            (Llama::new(&Builder::random(recipe.seed, DType::F32, Device::Cpu), &config)?, None)
        } else if lora.r == 0 {
            (Llama::open(&resolve_path(dir), LoadOptions::default())?, None)
        } else {
            open_llama_beside(dir, lora, recipe.seed)?
        };
        model.set_gradient_checkpointing(recipe.train.grad_checkpoint);
        Ok(Self { model, adapter })
    }

    /// What is trained and saved.
    pub(super) fn parameters(&self) -> &Parameters {
        match &self.adapter {
            Some(adapter) => adapter.parameters(),
            None => self.model.parameters(),
        }
    }

    /// Writes what was trained: a Hugging Face folder, or one of PEFT.
    pub(super) fn save(&self, dir: &Path, recipe: &Recipe) -> anyhow::Result<()> {
        match &self.adapter {
            Some(adapter) => adapter.save(dir)?,
            None => self.model.save_hf_folder(dir, export_dtype(recipe))?,
        }
        Ok(())
    }

    /// Adds the adapter to the weights, which are rounded to their dtype, and writes a Hugging Face
    /// folder. The model is spent for training.
    pub(super) fn save_merged(&self, dir: &Path, recipe: &Recipe) -> anyhow::Result<()> {
        if let Some(adapter) = &self.adapter {
            adapter.merge()?;
        }
        Ok(self.model.save_hf_folder(dir, export_dtype(recipe))?)
    }

    /// Says in a checkpoint which weights the adapter belongs to.
    pub(super) fn buffers(&self) -> anyhow::Result<Vec<(String, Tensor)>> {
        let Some(adapter) = &self.adapter else { return Ok(Vec::new()) };
        let hash = adapter.base_hash().as_bytes().to_vec();
        let shape = [hash.len()];
        Ok(vec![(BASE_HASH.to_owned(), Tensor::from_vec(hash, &shape, Device::Cpu)?)])
    }

    /// Refuses a checkpoint that was written beside other weights.
    pub(super) fn check_buffers(
        &self,
        read: &dyn Fn(&str) -> tensor_core::Result<Tensor>,
    ) -> anyhow::Result<()> {
        let Some(adapter) = &self.adapter else { return Ok(()) };
        let saved = read(BASE_HASH)?.to_vec::<u8>()?;
        let (saved, own) = (String::from_utf8_lossy(&saved), adapter.base_hash());
        ensure!(
            saved == own,
            "model.dir: weights are {own}, expected {saved} as at the checkpoint (hint: an adapter \
             goes on beside the weights it began with)"
        );
        Ok(())
    }
}
