//! The tensors of a Hugging Face folder, whole or in shards, under canonical names.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tensor_core::{SafeTensors, Tensor};

use super::names::NameRules;
use super::weight_form::WeightForm;
use crate::error::{ErrorKind, Result, ZooError};
use crate::json;

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// Memory-mapped weight files, and which file holds which tensor.
pub(crate) struct FolderSource {
    /// The file that errors name: the whole file, or the index.
    pub path: PathBuf,
    shards: Vec<SafeTensors>,
    /// Canonical name -> (shard, name in the file).
    places: HashMap<String, (usize, String)>,
    /// Canonical names in file order, for a stable report.
    names: Vec<String>,
}

impl FolderSource {
    /// Opens `dir/model.safetensors`, or the shards that the index beside it lists.
    pub fn open(dir: &Path, rules: NameRules) -> Result<Self> {
        let whole = dir.join(WHOLE);
        let index = dir.join(INDEX);
        let (path, shards) = if whole.is_file() {
            let shard = SafeTensors::open(&whole)?;
            (whole, vec![shard])
        } else if index.is_file() {
            let shards = open_shards(dir, &index)?;
            (index, shards)
        } else {
            let hint = "export pytorch_model.bin with safe_serialization=True";
            let detail = format!("folder has neither `{WHOLE}` nor `{INDEX}`");
            let place = format!("weights: {}", dir.display());
            return Err(ZooError::new(ErrorKind::Io, place, detail).hint(hint));
        };

        let mut places = HashMap::new();
        let mut names = Vec::new();
        for (shard, file) in shards.iter().enumerate() {
            for found in file.names() {
                let name = (rules.canonical)(&found);
                let renamed = name != found;
                match places.entry(name) {
                    Entry::Vacant(place) => {
                        names.push(place.key().clone());
                        place.insert((shard, found));
                    }
                    // Of two spellings the renamed one is read. `transformers` trains
                    // `cls.predictions.decoder.bias` of an untied BERT and saves beside it the
                    // `cls.predictions.bias` that it left at zero.
                    Entry::Occupied(mut place) if renamed => {
                        place.insert((shard, found));
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        Ok(Self { path, shards, places, names })
    }

    /// Canonical names in file order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The tensor in this form, or `None` when the folder lacks it.
    ///
    /// One that is not of a float dtype keeps it, for the report.
    pub fn tensor(&self, name: &str, form: WeightForm) -> Result<Option<Tensor>> {
        let Some((shard, found)) = self.places.get(name) else { return Ok(None) };
        let shard = &self.shards[*shard];
        let mapped = shard.mapped_tensor(found)?;
        Ok(Some(match form {
            WeightForm::AsStored | WeightForm::Int8 => mapped,
            // In memory of its own: a folder may be written to once it is read.
            WeightForm::DType(dtype) if dtype == mapped.dtype() => shard.tensor(found)?,
            WeightForm::DType(dtype) if mapped.dtype().is_float() => mapped.to_dtype(dtype)?,
            WeightForm::DType(_) => mapped,
        }))
    }
}

fn open_shards(dir: &Path, index: &Path) -> Result<Vec<SafeTensors>> {
    let map: ShardIndex = json::read(index)?;
    let files: BTreeSet<&String> = map.weight_map.values().collect();
    let place = || format!("weights: {}", index.display());
    let mut shards = Vec::with_capacity(files.len());
    for file in files {
        // A shard is a plain file name: an index must not reach outside its folder.
        if Path::new(file).file_name().is_none_or(|name| name != file.as_str()) {
            let detail = format!("shard `{file}` is not a plain file name");
            return Err(ZooError::new(ErrorKind::Weights, place(), detail));
        }
        let path = dir.join(file);
        if !path.is_file() {
            let detail = format!("shard `{file}` is listed but absent, expected beside the index");
            let hint = "was all of the folder downloaded";
            return Err(ZooError::new(ErrorKind::Io, place(), detail).hint(hint));
        }
        shards.push(SafeTensors::open(&path)?);
    }
    Ok(shards)
}
