//! An adapter: its parameters, its files, and merging.

use std::path::Path;

use super::config::LoraConfig;
use crate::error::{ErrorKind, Result, ZooError};
use crate::weights::{
    ADAPTER_CONFIG, Attached, Base, Builder, LowRankPlan, Parameters, Plan, load_adapter,
    save_adapter,
};

/// The updates beside one model's linear layers.
#[derive(Debug)]
pub struct LoraAdapter {
    config: LoraConfig,
    attached: Vec<Attached>,
    parameters: Parameters,
    base_hash: String,
}

impl LoraAdapter {
    /// The model that `build` makes of `root`, frozen, and a fresh adapter beside it, which
    /// changes nothing yet. [`Builder::finish`] reports what the folder lacks, as always.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the config contradicts itself or a target is the name of
    /// no linear layer; what `build` fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// use model_zoo::Builder;
    /// use model_zoo::llama::{Llama, LlamaConfig};
    /// use model_zoo::lora::{LoraAdapter, LoraConfig};
    /// use tensor_core::{DType, Device};
    ///
    /// let config = LlamaConfig { vocab_size: 9, hidden_size: 8, intermediate_size: 8,
    ///     num_hidden_layers: 2, num_attention_heads: 2, ..LlamaConfig::default() };
    /// let root = Builder::random(1, DType::F32, Device::Cpu);
    /// let lora = LoraConfig { r: 2, ..LoraConfig::default() };
    /// let (llama, adapter) = LoraAdapter::around(&root, &lora, |root| Llama::new(root, &config))?;
    /// assert_eq!(adapter.parameters().total(), 2 * 2 * (2 * 8 + 8 * 2));
    /// assert!(llama.parameters().vars().all(|var| !var.trainable()));
    /// # Ok::<(), model_zoo::ZooError>(())
    /// ```
    pub fn around<M>(
        root: &Builder,
        config: &LoraConfig,
        build: impl FnOnce(&Builder) -> Result<M>,
    ) -> Result<(M, Self)> {
        config.check()?;
        let plan = LowRankPlan {
            targets: config.target_modules.clone(),
            rank: config.r,
            scaling: config.scaling(),
            dropout: config.lora_dropout,
        };
        let (model, made) = root.with_attachments(Plan::LowRank(plan), build)?;
        if let Some(target) = made.unmet_target() {
            let detail = format!("target_modules: `{target}` is the name of no linear layer");
            return Err(ZooError::config("lora", detail).hint(made.known_names()));
        }
        let adapter = Self {
            config: config.clone(),
            base_hash: made.base_hash(),
            attached: made.updates,
            parameters: made.parameters,
        };
        Ok((model, adapter))
    }

    /// What the adapter is.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// The updates, under PEFT's names, such as
    /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`: f32, whatever the model is
    /// kept in, and f64 beside one in f64.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Full names of the layers that have an update.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.attached.iter().map(|layer| layer.name.as_str())
    }

    /// A hash of the model's weights as they were read, widened to f32: the same for a file of
    /// halves and one of their exact values.
    pub fn base_hash(&self) -> &str {
        &self.base_hash
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors`, which PEFT loads. The latter
    /// also names the weights that the adapter belongs to.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        save_adapter(dir, &self.config, &self.parameters, &[self.base()])
    }

    /// Sets the updates from a folder that [`save`](Self::save) or PEFT wrote; one of PEFT does not
    /// name the weights it belongs to.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when rank or scaling differ; [`Weights`](ErrorKind::Weights)
    /// when the adapter belongs to other weights, or listing the tensors that do not fit.
    pub fn load(&self, dir: &Path) -> Result<()> {
        let found = LoraConfig::open(dir)?;
        let (got, own) = ((found.r, found.scaling()), (self.config.r, self.config.scaling()));
        if got != own {
            let detail =
                format!("rank and scaling are {got:?}, expected {own:?} as the adapter was made");
            return Err(ZooError::config(dir.join(ADAPTER_CONFIG).display().to_string(), detail)
                .hint("make the adapter with LoraConfig::open of this folder"));
        }
        let belongs_to = found.base_model_name_or_path.as_deref();
        load_adapter(dir, &self.parameters, &[self.base()], belongs_to)
    }

    fn base(&self) -> Base<'_> {
        Base { name: "base", hash: &self.base_hash }
    }

    /// Adds the updates to the model's weights, rounded to their dtype; the layers then cost what
    /// they cost without, and the model's folder holds them when saved.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) when a weight is kept in 8 bits, and
    /// [`Option`](ErrorKind::Option) when this was done before; nothing is changed then.
    pub fn merge(&self) -> Result<()> {
        if self.attached.iter().any(|layer| layer.update.is_merged()) {
            return Err(ZooError::option("lora", "is merged, expected one that is not"));
        }
        let merged = self.attached.iter().map(|layer| {
            let Some(weight) = &layer.weight else {
                let detail = format!("`{}` is kept in 8 bits, expected a float dtype", layer.name);
                let hint = "read the folder as stored, merge and save that";
                return Err(ZooError::new(ErrorKind::Weights, "lora", detail).hint(hint));
            };
            Ok((layer, weight, layer.update.added_to(&weight.value())?))
        });
        for (layer, weight, value) in merged.collect::<Result<Vec<_>>>()? {
            weight.set(&value)?;
            layer.update.set_merged();
        }
        Ok(())
    }
}
