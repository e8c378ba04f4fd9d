//! What the configs of all models share: reading, checking and exporting `config.json`.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tensor_core::DType;

use crate::error::{ErrorKind, Result, ZooError};
use crate::json;

const FILE: &str = "config.json";
const HINT: &str = "a model folder holds config.json, model.safetensors and tokenizer.json";

/// A model's `config.json` under its published names.
pub(crate) trait ModelConfig: Serialize + DeserializeOwned {
    /// What `transformers` calls the architecture.
    const MODEL_TYPE: &'static str;

    /// As [`MODEL_TYPE`](Self::MODEL_TYPE), where one config serves several architectures.
    fn model_type(&self) -> &'static str {
        Self::MODEL_TYPE
    }

    /// The keys that have no field, kept for export.
    fn extra(&self) -> &Map<String, Value>;

    /// Refuses dimensions that no model can have.
    fn check(&self) -> Result<()>;
}

/// What every config says of itself.
#[derive(Deserialize)]
pub(crate) struct Named {
    pub model_type: Option<String>,
}

/// Parses `dir/config.json` without checking its values.
pub(crate) fn read<T: DeserializeOwned>(dir: &Path) -> Result<T> {
    json::expect_file(dir, FILE, ErrorKind::Config, HINT)?;
    json::read(&dir.join(FILE))
}

/// Reads and checks `dir/config.json`. A file that names no architecture passes.
pub(crate) fn open<C: ModelConfig>(dir: &Path) -> Result<C> {
    let config: C = read(dir)?;
    let place = dir.join(FILE).display().to_string();
    let found = config.extra().get("model_type");
    if let Some(found) = found.filter(|found| found.as_str() != Some(C::MODEL_TYPE)) {
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        let detail = format!("model_type is `{found}`, expected `{}`", C::MODEL_TYPE);
        return Err(ZooError::config(place, detail));
    }
    config.check().map_err(|e| e.at(place))?;
    Ok(config)
}

/// Writes `dir/config.json` so that `transformers` picks the class `architecture` and the dtype.
pub(crate) fn export<C: ModelConfig>(
    dir: &Path,
    config: &C,
    architecture: &str,
    dtype: DType,
) -> Result<()> {
    let path = dir.join(FILE);
    let failed = |detail: String| ZooError::config(path.display().to_string(), detail);
    let value = serde_json::to_value(config).map_err(|e| failed(e.to_string()))?;
    let Value::Object(mut fields) = value else {
        return Err(failed("config is not an object".into()));
    };
    fields.insert("architectures".into(), Value::from(vec![architecture]));
    fields.insert("model_type".into(), Value::from(config.model_type()));
    // `torch_dtype` is the older spelling of the same key; a stale one would win in old versions.
    fields.remove("torch_dtype");
    fields.insert("dtype".into(), Value::from(dtype_name(dtype)));
    json::write(&path, &fields)
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "float64",
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        _ => "float32",
    }
}

/// Refuses the first extent that is zero.
pub(crate) fn check_positive(fields: &[(&str, usize)]) -> Result<()> {
    match fields.iter().find(|(_, value)| *value == 0) {
        None => Ok(()),
        Some((name, _)) => {
            Err(ZooError::config("config", format!("{name} is 0, expected at least 1")))
        }
    }
}

/// Refuses a number of heads that does not divide the width.
pub(crate) fn check_heads(width_name: &str, width: usize, name: &str, heads: usize) -> Result<()> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    let detail = format!("{width_name} is {width}, expected a multiple of {name} {heads}");
    Err(ZooError::config("config", detail))
}

/// Refuses the first value outside `[0, 1)`, NaN included.
pub(crate) fn check_probabilities(fields: &[(&str, f64)]) -> Result<()> {
    match fields.iter().find(|(_, p)| !(0.0..1.0).contains(p)) {
        None => Ok(()),
        Some((name, p)) => {
            Err(ZooError::config("config", format!("{name} is {p}, expected 0 <= p < 1")))
        }
    }
}
