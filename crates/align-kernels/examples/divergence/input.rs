//! Arrays from a safetensors file, each checked against what it should be.

use std::path::Path;

use align_kernels::{Points, Ragged};
use anyhow::{Context, Result, bail};
use half::{bf16, f16};
use ndarray::Array2;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A safetensors file.
pub struct Input<'a> {
    path: &'a Path,
    file: SafeTensors<'a>,
}

/// Points in the precision of the file.
pub enum Cloud {
    F32(Array2<f32>),
    BF16(Array2<bf16>),
    F16(Array2<f16>),
}

impl Cloud {
    pub fn points(&self) -> Points<'_> {
        match self {
            Self::F32(points) => points.view().into(),
            Self::BF16(points) => points.view().into(),
            Self::F16(points) => points.view().into(),
        }
    }
}

/// Points with the items they form.
pub struct Items {
    pub cloud: Cloud,
    offsets: Vec<usize>,
    /// Where they came from, for errors.
    place: String,
}

impl Items {
    pub fn ragged(&self) -> Result<Ragged<'_>> {
        Ragged::new(self.cloud.points(), &self.offsets).with_context(|| self.place.clone())
    }
}

impl<'a> Input<'a> {
    /// Reads the header of `bytes`, the contents of `path`.
    pub fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).with_context(|| {
            let hint = "safetensors.numpy.save_file writes one";
            format!("{}: not a safetensors file (hint: {hint})", path.display())
        })?;
        Ok(Self { path, file })
    }

    /// Refuses tensors that `reader` would pass over: a misspelt name would change its result.
    pub fn allow_only(&self, reader: &str, names: &[&str]) -> Result<()> {
        let mut strangers: Vec<&str> =
            self.file.names().into_iter().filter(|name| !names.contains(name)).collect();
        strangers.sort_unstable();
        match strangers.first() {
            None => Ok(()),
            Some(name) => {
                let (path, names) = (self.path.display(), names.join(", "));
                bail!("{path}: {reader} takes no tensor {name}, expected some of {names}")
            }
        }
    }

    /// Points `(N, D)`, which must be there.
    pub fn cloud(&self, name: &str) -> Result<Cloud> {
        let Some(tensor) = self.find(name) else {
            let mut names = self.file.names();
            names.sort_unstable();
            let (path, names) = (self.path.display(), names.join(", "));
            bail!("{path}: no tensor {name}, expected x and y, got [{names}]");
        };
        let &[n, width] = tensor.shape() else {
            return Err(self.wrong_shape(name, &tensor, "(points, width)"));
        };
        let bytes = tensor.data();
        Ok(match tensor.dtype() {
            Dtype::F32 => Cloud::F32(Array2::from_shape_vec((n, width), read_f32(bytes))?),
            Dtype::BF16 => {
                let values = read(bytes, bf16::from_le_bytes);
                Cloud::BF16(Array2::from_shape_vec((n, width), values)?)
            }
            Dtype::F16 => {
                let values = read(bytes, f16::from_le_bytes);
                Cloud::F16(Array2::from_shape_vec((n, width), values)?)
            }
            _ => return Err(self.wrong_dtype(name, &tensor, "F32, BF16 or F16")),
        })
    }

    /// Points with their offsets, or as one item.
    pub fn items(&self, name: &str) -> Result<Items> {
        let cloud = self.cloud(name)?;
        let offsets_name = format!("{name}_offsets");
        let offsets = match self.indices(&offsets_name)? {
            Some(offsets) => offsets,
            None => vec![0, cloud.points().count()],
        };
        let place = format!("{}: {offsets_name}", self.path.display());
        Ok(Items { cloud, offsets, place })
    }

    /// Weights, where there are any.
    pub fn weights(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some(tensor) = self.find(name) else { return Ok(None) };
        if tensor.dtype() != Dtype::F32 {
            return Err(self.wrong_dtype(name, &tensor, "F32"));
        }
        if tensor.shape().len() != 1 {
            return Err(self.wrong_shape(name, &tensor, "one weight a point"));
        }
        Ok(Some(read_f32(tensor.data())))
    }

    /// Whole numbers of at least 0, of any rank from 1 up, where there are any.
    pub fn indices(&self, name: &str) -> Result<Option<Vec<usize>>> {
        let Some(tensor) = self.find(name) else { return Ok(None) };
        if tensor.dtype() != Dtype::I64 {
            return Err(self.wrong_dtype(name, &tensor, "I64"));
        }
        let most = if name == "drawn" { 2 } else { 1 };
        if !(1..=most).contains(&tensor.shape().len()) {
            return Err(self.wrong_shape(name, &tensor, "a list"));
        }
        let values = read(tensor.data(), i64::from_le_bytes);
        let whole = |(k, value): (usize, i64)| {
            let path = self.path.display();
            let complaint = || format!("{path}: {name}[{k}] is {value}, expected at least 0");
            usize::try_from(value).ok().with_context(complaint)
        };
        values.into_iter().enumerate().map(whole).collect::<Result<_>>().map(Some)
    }

    fn find(&self, name: &str) -> Option<TensorView<'a>> {
        self.file.tensor(name).ok()
    }

    fn wrong_dtype(&self, name: &str, tensor: &TensorView<'_>, expected: &str) -> anyhow::Error {
        let (path, got) = (self.path.display(), tensor.dtype());
        anyhow::anyhow!("{path}: {name} is {got:?}, expected {expected}")
    }

    fn wrong_shape(&self, name: &str, tensor: &TensorView<'_>, expected: &str) -> anyhow::Error {
        let (path, got) = (self.path.display(), tensor.shape());
        anyhow::anyhow!("{path}: {name} has shape {got:?}, expected {expected}")
    }
}

fn read_f32(bytes: &[u8]) -> Vec<f32> {
    read(bytes, f32::from_le_bytes)
}

/// Little-endian elements; `bytes` is a whole number of them by the header's check.
fn read<const SIZE: usize, T>(bytes: &[u8], element: fn([u8; SIZE]) -> T) -> Vec<T> {
    bytes.as_chunks::<SIZE>().0.iter().copied().map(element).collect()
}
