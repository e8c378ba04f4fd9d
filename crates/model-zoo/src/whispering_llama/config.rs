//! `adapter_config.json` of Whispering-LLaMA.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::head_split::WlSplit;
use crate::error::{ErrorKind, Result, ZooError};
use crate::json;
use crate::weights::ADAPTER_CONFIG;

const TYPE: &str = "WHISPERING_LLAMA";

/// Which adapters the layers have, and how large they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhisperingConfig {
    /// `WHISPERING_LLAMA`.
    pub adapter_type: String,
    /// Name or folder of the LLaMA that the adapters belong to.
    pub base_model_name_or_path: Option<String>,
    /// Name or folder of the Whisper that is heard.
    pub whisper_name_or_path: Option<String>,
    /// Learned rows `M` of a layer.
    pub adapter_prompt_length: usize,
    /// First layer that has adapters, counted from 0.
    pub adapter_start_layer: usize,
    /// How the audio is heard; `None`: it is not, which is LLaMA-Adapter.
    pub audio: Option<AudioAdapterConfig>,
    /// Added to the mean square in the norms of the adapters.
    pub rms_norm_eps: f64,
}

/// How Whisper's keys and values reach LLaMA's heads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioAdapterConfig {
    /// `r`: Whisper's width over the inner width of `Ad`; divides it.
    pub reduction_factor: usize,
    /// Whether keys and values share one `Ad`. Their norms are apart in any case.
    pub shared: bool,
    /// How a frame's elements become heads.
    pub wl_split: WlSplit,
}

impl Default for WhisperingConfig {
    /// [`wl_m`](Self::wl_m).
    fn default() -> Self {
        Self::wl_m()
    }
}

impl WhisperingConfig {
    /// `WL_L` of the paper: `r = 8`, keys and values apart; 26,403,900 parameters beside LLaMA-7B
    /// and Whisper large-v2.
    pub fn wl_l() -> Self {
        Self::hearing(8, false)
    }

    /// `WL_M`: `r = 16`, shared; 7,971,900 parameters.
    pub fn wl_m() -> Self {
        Self::hearing(16, true)
    }

    /// `WL_S`: `r = 32`, shared; 4,899,900 parameters.
    pub fn wl_s() -> Self {
        Self::hearing(32, true)
    }

    /// LLaMA-Adapter, which hears nothing: 1,228,830 parameters.
    pub fn llama_adapter() -> Self {
        Self {
            adapter_type: TYPE.to_owned(),
            base_model_name_or_path: None,
            whisper_name_or_path: None,
            adapter_prompt_length: 10,
            adapter_start_layer: 2,
            audio: None,
            rms_norm_eps: 1e-5,
        }
    }

    /// LLaMA-Adapter with 40 rows, as many parameters as `WL_S`: 4,915,230.
    pub fn big_adapter() -> Self {
        Self { adapter_prompt_length: 40, ..Self::llama_adapter() }
    }

    fn hearing(reduction_factor: usize, shared: bool) -> Self {
        let audio = AudioAdapterConfig { reduction_factor, shared, wl_split: WlSplit::Released };
        Self { audio: Some(audio), ..Self::llama_adapter() }
    }

    /// Reads `dir/adapter_config.json`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when the file is absent, malformed or of another adapter.
    pub fn open(dir: &Path) -> Result<Self> {
        let hint = "an adapter's folder holds adapter_config.json and adapter_model.safetensors";
        json::expect_file(dir, ADAPTER_CONFIG, ErrorKind::Config, hint)?;
        let path = dir.join(ADAPTER_CONFIG);
        let config: Self = json::read(&path)?;
        if config.adapter_type != TYPE {
            let detail = format!("adapter_type is `{}`, expected `{TYPE}`", config.adapter_type);
            return Err(ZooError::config(path.display().to_string(), detail));
        }
        Ok(config)
    }
}
