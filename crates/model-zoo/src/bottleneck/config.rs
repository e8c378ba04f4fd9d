//! `adapter_config.json` of bottleneck adapters.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::placement::Placement;
use crate::config;
use crate::error::{ErrorKind, Result, ZooError};
use crate::folder::ModelKind;
use crate::json;
use crate::layers::Activation;
use crate::weights::{ADAPTER_CONFIG, BottleneckPlan, BottleneckWidth};

/// What blocks stand behind, and how large they are.
///
/// Keys are those of AdapterHub's configs where it has them; layers are named as in
/// [`LoraConfig`](crate::lora::LoraConfig).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BottleneckConfig {
    /// `BOTTLENECK`.
    pub adapter_type: String,
    /// Name or folder of the model that the adapter belongs to.
    pub base_model_name_or_path: Option<String>,
    /// Linear layers with a block behind them: their names, or the ends of these from a dot on.
    pub target_modules: Vec<String>,
    /// Those of them that have none, named likewise.
    pub exclude_modules: Vec<String>,
    /// Inner width of every block; this or `reduction_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottleneck_size: Option<usize>,
    /// The layer's width over the inner width, rounded down to at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduction_factor: Option<usize>,
    /// Name of the function between the two maps.
    pub non_linearity: String,
    /// What blocks add is multiplied by this.
    pub scaling: f64,
    /// Dropout before the second map, in training.
    pub dropout: f64,
    /// Whether blocks begin with a layer norm.
    pub ln_before: bool,
}

impl Default for BottleneckConfig {
    /// AdapterHub's values for Houlsby et al.: a sixteenth of the width, `swish`; behind no layer.
    fn default() -> Self {
        Self {
            adapter_type: TYPE.to_owned(),
            base_model_name_or_path: None,
            target_modules: Vec::new(),
            exclude_modules: Vec::new(),
            bottleneck_size: None,
            reduction_factor: Some(16),
            non_linearity: "swish".to_owned(),
            scaling: 1.0,
            dropout: 0.0,
            ln_before: false,
        }
    }
}

const TYPE: &str = "BOTTLENECK";

impl BottleneckConfig {
    /// The default blocks at `placement` of every layer of `kind`. Of Whisper these are the layers
    /// of both stacks, and both attentions of a decoder layer.
    pub fn placed(kind: ModelKind, placement: Placement) -> Self {
        let (target_modules, exclude_modules) = placement.targets(kind);
        Self { target_modules, exclude_modules, ..Self::default() }
    }

    /// Reads and checks `dir/adapter_config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the file is absent, malformed or of another adapter.
    pub fn open(dir: &Path) -> Result<Self> {
        let hint = "an adapter's folder holds adapter_config.json and adapter_model.safetensors";
        json::expect_file(dir, ADAPTER_CONFIG, ErrorKind::Config, hint)?;
        let config: Self = json::read(&dir.join(ADAPTER_CONFIG))?;
        config.plan().map_err(|e| e.at(dir.join(ADAPTER_CONFIG).display().to_string()))?;
        Ok(config)
    }

    /// Inner width of the block behind a layer of `width` outputs.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when not one of `bottleneck_size` and `reduction_factor` is
    /// given, or it is 0.
    pub fn inner_width(&self, width: usize) -> Result<usize> {
        Ok(self.width()?.of(width))
    }

    fn width(&self) -> Result<BottleneckWidth> {
        let (width, field) = match (self.bottleneck_size, self.reduction_factor) {
            (Some(size), None) => (BottleneckWidth::Size(size), ("bottleneck_size", size)),
            (None, Some(by)) => (BottleneckWidth::Reduction(by), ("reduction_factor", by)),
            (size, by) => {
                let detail = format!(
                    "bottleneck_size is {size:?} and reduction_factor {by:?}, expected one of them"
                );
                return Err(ZooError::config(PLACE, detail));
            }
        };
        config::check_positive(&[field]).map_err(|e| e.at(PLACE))?;
        Ok(width)
    }

    /// The checked config, as the builder reads it.
    pub(super) fn plan(&self) -> Result<BottleneckPlan> {
        let fault = |detail: String| Err(ZooError::config(PLACE, detail));
        if self.adapter_type != TYPE {
            return fault(format!("adapter_type is `{}`, expected `{TYPE}`", self.adapter_type));
        }
        if self.target_modules.is_empty() {
            return fault("target_modules is empty, expected names of linear layers".to_owned());
        }
        if !self.scaling.is_finite() {
            return fault(format!("scaling is {}, expected a finite number", self.scaling));
        }
        let dropout = [("dropout", self.dropout)];
        config::check_probabilities(&dropout).map_err(|e| e.at(PLACE))?;
        let activation = Activation::from_name(&self.non_linearity).map_err(|e| e.at(PLACE))?;
        Ok(BottleneckPlan {
            targets: self.target_modules.clone(),
            excluded: self.exclude_modules.clone(),
            width: self.width()?,
            non_linearity: activation.function(),
            scaling: self.scaling,
            dropout: self.dropout,
            ln_before: self.ln_before,
        })
    }
}

pub(super) const PLACE: &str = "bottleneck adapter";
