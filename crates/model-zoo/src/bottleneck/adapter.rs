//! An adapter: its parameters and its files.

use std::path::Path;

use super::config::{BottleneckConfig, PLACE};
use crate::error::{Result, ZooError};
use crate::weights::{ADAPTER_CONFIG, Base, Builder, Parameters, Plan, load_adapter, save_adapter};

/// The blocks behind one model's linear layers.
#[derive(Debug)]
pub struct BottleneckAdapter {
    config: BottleneckConfig,
    layers: Vec<String>,
    parameters: Parameters,
    base_hash: String,
}

impl BottleneckAdapter {
    /// The model that `build` makes of `root`, frozen, and a fresh adapter in it, which changes
    /// nothing yet. [`Builder::finish`] reports what a folder lacks, as always.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself or a target is the
    /// name of no linear layer; what `build` fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// use model_zoo::bert::{Bert, BertConfig};
    /// use model_zoo::bottleneck::{BottleneckAdapter, BottleneckConfig, Placement};
    /// use model_zoo::{Builder, ModelKind};
    /// use tensor_core::{DType, Device};
    ///
    /// let config = BertConfig { hidden_size: 8, num_attention_heads: 2, num_hidden_layers: 3,
    ///     intermediate_size: 16, vocab_size: 20, ..BertConfig::default() };
    /// let root = Builder::random(1, DType::F32, Device::Cpu);
    /// let blocks = BottleneckConfig { reduction_factor: Some(4),
    ///     ..BottleneckConfig::placed(ModelKind::Bert, Placement::Both) };
    /// let (bert, adapter) = BottleneckAdapter::around(&root, &blocks, |root| Bert::new(root, &config))?;
    /// // Two blocks a layer, each of 2 m d + d + m parameters, where d = 8 and m = 2.
    /// assert_eq!(adapter.parameters().total(), 3 * 2 * (2 * 2 * 8 + 8 + 2));
    /// assert!(bert.parameters().vars().all(|var| !var.trainable()));
    /// # Ok::<(), model_zoo::ZooError>(())
    /// ```
    pub fn around<M>(
        root: &Builder,
        config: &BottleneckConfig,
        build: impl FnOnce(&Builder) -> Result<M>,
    ) -> Result<(M, Self)> {
        let (model, made) = root.with_attachments(Plan::Bottleneck(config.plan()?), build)?;
        if let Some(target) = made.unmet_target() {
            let detail = format!("target_modules: `{target}` is the name of no linear layer");
            return Err(ZooError::config(PLACE, detail).hint(made.known_names()));
        }
        let base_hash = made.base_hash();
        let (layers, parameters) = (made.layers, made.parameters);
        Ok((model, Self { config: config.clone(), layers, parameters, base_hash }))
    }

    /// What the adapter is.
    pub fn config(&self) -> &BottleneckConfig {
        &self.config
    }

    /// The blocks' parameters, such as
    /// `base_model.model.model.layers.0.mlp.down_proj.adapter_down.weight`: f32, whatever the model
    /// is kept in, and f64 beside one in f64.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Full names of the layers that have a block behind them.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.layers.iter().map(String::as_str)
    }

    /// A hash of the model's weights as they were read; see
    /// [`LoraAdapter::base_hash`](crate::lora::LoraAdapter::base_hash).
    pub fn base_hash(&self) -> &str {
        &self.base_hash
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors`, which also names the weights
    /// that the adapter belongs to.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        save_adapter(dir, &self.config, &self.parameters, &[self.base()])
    }

    /// Sets the blocks from a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when what the blocks compute differs;
    /// [`Weights`](crate::ErrorKind::Weights) when the adapter belongs to other weights, or listing
    /// the tensors that do not fit.
    pub fn load(&self, dir: &Path) -> Result<()> {
        let found = BottleneckConfig::open(dir)?;
        let form = |config: &BottleneckConfig| {
            let BottleneckConfig { non_linearity, scaling, ln_before, .. } = config;
            (non_linearity.clone(), *scaling, *ln_before)
        };
        let (got, own) = (form(&found), form(&self.config));
        if got != own {
            let detail = format!(
                "non_linearity, scaling and ln_before are {got:?}, expected {own:?} as the adapter \
                 was made"
            );
            return Err(ZooError::config(dir.join(ADAPTER_CONFIG).display().to_string(), detail)
                .hint("make the adapter with BottleneckConfig::open of this folder"));
        }
        let belongs_to = found.base_model_name_or_path.as_deref();
        load_adapter(dir, &self.parameters, &[self.base()], belongs_to)
    }

    fn base(&self) -> Base<'_> {
        Base { name: "base", hash: &self.base_hash }
    }
}
