//! The parameters of a model, by name, in creation order.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tensor_core::{DType, SafeTensors, Tensor, Var, save_safetensors};

use super::report::Mismatch;
use crate::error::{ErrorKind, Result, ZooError};

/// Named trainable tensors. Cloning shares them.
///
/// A tied parameter is stored once, under the name it was created by; its
/// other names find it through [`get`](Self::get) but are not listed.
#[derive(Clone, Default)]
pub struct Parameters {
    entries: Vec<(String, Var)>,
    index: HashMap<String, usize>,
    initialised: Vec<String>,
    /// Weights that are kept in 8 bits, and so are no parameters.
    quantized: Vec<String>,
}

impl Parameters {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names in creation order, tied parameters once.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Parameters in creation order.
    pub fn vars(&self) -> impl ExactSizeIterator<Item = &Var> {
        self.entries.iter().map(|(_, var)| var)
    }

    /// Names with their parameters, in creation order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.entries.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The parameter of that name, or of that tied name.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.index.get(name).map(|&at| &self.entries[at].1)
    }

    /// Number of parameters, tied ones once.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of scalars in all parameters.
    pub fn total(&self) -> usize {
        self.vars().map(|var| var.shape().iter().product::<usize>()).sum()
    }

    /// Dtype of the first parameter; f32 when there is none.
    pub fn dtype(&self) -> DType {
        self.vars().next().map_or(DType::F32, |var| var.value().dtype())
    }

    /// Names of the parameters that were drawn because the folder had none of their module.
    pub fn initialised(&self) -> &[String] {
        &self.initialised
    }

    /// Adds a parameter.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) when the name is taken.
    pub fn insert(&mut self, name: impl Into<String>, var: Var) -> Result<()> {
        let name = name.into();
        self.claim(&name, self.entries.len())?;
        self.entries.push((name, var));
        Ok(())
    }

    /// Lets `alias` find the parameter `name`.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) when `name` is unknown or `alias` is taken.
    pub fn tie(&mut self, alias: &str, name: &str) -> Result<()> {
        let Some(&at) = self.index.get(name) else {
            let detail = format!("cannot tie `{alias}` to `{name}`, which does not exist");
            return Err(ZooError::new(ErrorKind::Weights, "parameters", detail));
        };
        self.claim(alias, at)
    }

    /// Adds all of `other` after what is here.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) when a name is taken.
    pub fn extend(&mut self, other: &Parameters) -> Result<()> {
        let base = self.entries.len();
        for (name, var) in other.iter() {
            self.insert(name, var.clone())?;
        }
        for (alias, &at) in &other.index {
            if other.entries[at].0 != *alias {
                self.claim(alias, base + at)?;
            }
        }
        self.initialised.extend_from_slice(&other.initialised);
        self.quantized.extend_from_slice(&other.quantized);
        Ok(())
    }

    /// Writes the parameters to a safetensors file, in creation order, tied ones once.
    ///
    /// `dtype` converts each tensor; `None` keeps what it has. The write is atomic.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) when the file cannot be written; [`Weights`](ErrorKind::Weights) when
    /// weights are kept in 8 bits.
    pub fn save(&self, path: &Path, dtype: Option<DType>) -> Result<()> {
        self.save_with(path, dtype, &[])
    }

    /// As [`save`](Self::save), and writes the tied names `aliases` as tensors of their own.
    pub(crate) fn save_with(
        &self,
        path: &Path,
        dtype: Option<DType>,
        aliases: &[&str],
    ) -> Result<()> {
        if let Some(name) = self.quantized.first() {
            let detail = format!("`{name}` is kept in 8 bits, expected a float dtype");
            let hint = "read the folder as stored and save that";
            return Err(ZooError::new(ErrorKind::Weights, "parameters", detail).hint(hint));
        }
        let tied = aliases.iter().filter_map(|&alias| Some((alias, self.get(alias)?)));
        let tensors: Vec<(String, Tensor)> = self
            .iter()
            .chain(tied)
            .map(|(name, var)| {
                let value = var.value();
                let dtype = dtype.unwrap_or(value.dtype());
                Ok((name.to_owned(), value.to_dtype(dtype)?))
            })
            .collect::<Result<_>>()?;
        // `transformers` refuses a file that does not say which framework's layout it has.
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        Ok(save_safetensors(path, &tensors, &metadata)?)
    }

    /// Sets every parameter from a file written by [`save`](Self::save), in place.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) listing what is missing, unexpected, wrongly shaped or not
    /// of a float dtype; nothing is changed then. [`Io`](ErrorKind::Io) when the file cannot be read.
    pub fn load(&self, path: &Path) -> Result<()> {
        let file = SafeTensors::open(path)?;
        let strangers = file.names().into_iter().filter(|name| !self.index.contains_key(name));
        let mut report = Mismatch { unexpected: strangers.collect(), ..Mismatch::default() };
        let mut loaded = Vec::with_capacity(self.len());
        for (name, var) in self.iter() {
            if file.shape(name).is_none() {
                report.missing.push(name.to_owned());
                continue;
            }
            let (tensor, like) = (file.tensor(name)?, var.value());
            if report.fits(name, &tensor, like.shape()) {
                loaded.push((var, tensor.to_dtype(like.dtype())?.to_device(like.device())?));
            }
        }
        if let Some(error) = report.error(path) {
            return Err(error);
        }
        for (var, tensor) in loaded {
            var.set(&tensor)?;
        }
        Ok(())
    }

    /// What was registered from entry `start` on, with the ties among it.
    pub(crate) fn since(&self, start: usize) -> Parameters {
        let entries: Vec<(String, Var)> = self.entries[start..].to_vec();
        let index = self
            .index
            .iter()
            .filter(|(_, at)| **at >= start)
            .map(|(name, at)| (name.clone(), at - start))
            .collect::<HashMap<_, _>>();
        let initialised =
            self.initialised.iter().filter(|name| index.contains_key(*name)).cloned().collect();
        Parameters { entries, index, initialised, quantized: self.quantized.clone() }
    }

    pub(crate) fn note_quantized(&mut self, name: &str) -> Result<()> {
        if self.index.contains_key(name) || self.quantized.iter().any(|before| before == name) {
            let detail = format!("`{name}` is registered twice");
            return Err(ZooError::new(ErrorKind::Weights, "parameters", detail));
        }
        self.quantized.push(name.to_owned());
        Ok(())
    }

    pub(crate) fn note_initialised(&mut self, name: &str) {
        self.initialised.push(name.to_owned());
    }

    fn claim(&mut self, name: &str, at: usize) -> Result<()> {
        if self.index.get(name).is_some_and(|&before| before != at) {
            let detail = format!("`{name}` is registered twice");
            return Err(ZooError::new(ErrorKind::Weights, "parameters", detail));
        }
        self.index.insert(name.to_owned(), at);
        Ok(())
    }
}

impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, var)| (name, var.shape()))).finish()
    }
}
