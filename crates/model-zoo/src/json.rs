//! Reading and writing the JSON files of a model folder.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tensor_core::DType;

use crate::error::{ErrorKind, Result, ZooError};

/// Parses `path`; the error names the file, the line and the column.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| ZooError::io(path, e))?;
    serde_json::from_str(&text)
        .map_err(|e| ZooError::new(ErrorKind::Config, path.display().to_string(), e.to_string()))
}

/// Writes `value` to `path`, indented by two spaces as `transformers` does.
///
/// The file appears complete or not at all: it is written beside its place and renamed.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| ZooError::config(path.display().to_string(), e.to_string()))?;
    text.push('\n');
    let partial = path.with_extension("json.partial");
    std::fs::write(&partial, text).map_err(|e| ZooError::io(&partial, e))?;
    std::fs::rename(&partial, path).map_err(|e| ZooError::io(path, e))
}

/// Refuses a folder that lacks `file`, naming both.
pub(crate) fn expect_file(dir: &Path, file: &str, kind: ErrorKind, hint: &str) -> Result<()> {
    if dir.join(file).is_file() {
        return Ok(());
    }
    let detail = match dir.is_dir() {
        true => format!("folder has no `{file}`"),
        false => format!("is not a folder, expected one that holds `{file}`"),
    };
    Err(ZooError::new(kind, dir.display().to_string(), detail).hint(hint))
}

/// Advice when a folder lacks its config.
pub(crate) const FOLDER_HINT: &str =
    "a model folder holds config.json, model.safetensors and tokenizer.json";

/// Refuses a config that names another architecture. One that names none passes.
pub(crate) fn expect_model_type(
    path: &Path,
    config: &Map<String, Value>,
    expected: &str,
) -> Result<()> {
    match config.get("model_type") {
        None => Ok(()),
        Some(Value::String(found)) if found == expected => Ok(()),
        Some(found) => {
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            let detail = format!("model_type is `{found}`, expected `{expected}`");
            Err(ZooError::config(path.display().to_string(), detail))
        }
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

/// Writes `dir/config.json` so that `transformers` picks the right class and dtype.
pub(crate) fn export_config<T: Serialize>(
    dir: &Path,
    config: &T,
    model_type: &str,
    architecture: &str,
    dtype: DType,
) -> Result<()> {
    let path = dir.join("config.json");
    let value = serde_json::to_value(config)
        .map_err(|e| ZooError::config(path.display().to_string(), e.to_string()))?;
    let Value::Object(mut fields) = value else {
        return Err(ZooError::config(path.display().to_string(), "config is not an object"));
    };
    fields.insert("architectures".into(), Value::from(vec![architecture]));
    fields.insert("model_type".into(), Value::from(model_type));
    // `torch_dtype` is the older spelling of the same key; a stale one would win in old versions.
    fields.remove("torch_dtype");
    fields.insert("dtype".into(), Value::from(dtype_name(dtype)));
    write(&path, &fields)
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "float64",
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        _ => "float32",
    }
}
