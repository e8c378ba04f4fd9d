//! The safetensors format: memory-mapped reading, atomic writing.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, TensorView};

use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Device, element_dispatch};
use crate::tensor::Tensor;

/// An open safetensors file. Tensors are read from the map one by one when asked for.
pub struct SafeTensors {
    path: PathBuf,
    map: Mmap,
    /// Offset of the first tensor byte.
    data_start: usize,
    metadata: safetensors::tensor::Metadata,
}

impl SafeTensors {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) when the file cannot be opened; [`Weights`](ErrorKind::Weights) when
    /// it is not a whole safetensors file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let at = path.display().to_string();
        let io = |error: std::io::Error| Error::new(ErrorKind::Io, &at, format!("cannot open: {error}"));
        let file = File::open(&path).map_err(io)?;
        // SAFETY: the map is private and read-only. Another process that truncates the file while
        // it is mapped breaks the map's contract, as it would any memory-mapped reader; weights
        // are replaced by rename, never in place.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let (header, metadata) =
            safetensors::SafeTensors::read_metadata(&map).map_err(|error| {
                Error::new(ErrorKind::Weights, &at, format!("not a safetensors file: {error}"))
                    .with_hint("is the download complete?")
            })?;
        let data_start = header + 8;
        let data_end = metadata.tensors().values().map(|info| info.data_offsets.1).max().unwrap_or(0);
        if map.len() != data_start + data_end {
            return Err(Error::new(
                ErrorKind::Weights,
                &at,
                format!("file has {} bytes, its header promises {}", map.len(), data_start + data_end),
            )
            .with_hint("is the download complete?"));
        }
        Ok(Self { path, map, data_start, metadata })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.metadata.tensors().into_keys().collect();
        names.sort();
        names
    }

    /// Shape of one tensor; `None` when there is none of that name.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.metadata.info(name).map(|info| info.shape.clone())
    }

    /// Free-form strings stored beside the tensors.
    pub fn metadata(&self) -> HashMap<String, String> {
        self.metadata.metadata().clone().unwrap_or_default()
    }

    /// Reads one tensor in the dtype of the file.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) when there is none of that name, or its dtype is not one of
    /// [`DType`].
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let at = || format!("{}: tensor `{name}`", self.path.display());
        let info = self
            .metadata
            .info(name)
            .ok_or_else(|| Error::new(ErrorKind::Weights, at(), "is not in the file"))?;
        let dtype = from_file_dtype(info.dtype).ok_or_else(|| {
            Error::new(
                ErrorKind::Weights,
                at(),
                format!("dtype is {:?}, expected F64, F32, BF16, F16, I64, U32 or U8", info.dtype),
            )
        })?;
        let (start, end) = info.data_offsets;
        let bytes = &self.map[self.data_start + start..self.data_start + end];
        element_dispatch!(dtype, T => {
            let mut values = vec![T::default(); info.shape.iter().product()];
            // The map does not align tensors, so bytes are copied rather than cast.
            bytemuck::cast_slice_mut::<T, u8>(&mut values).copy_from_slice(bytes);
            Tensor::from_vec(values, &info.shape, Device::Cpu)
        })
    }
}

fn from_file_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        Dtype::I64 => DType::I64,
        Dtype::U32 => DType::U32,
        Dtype::U8 => DType::U8,
        _ => return None,
    })
}

fn to_file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::I64 => Dtype::I64,
        DType::U32 => Dtype::U32,
        DType::U8 => Dtype::U8,
    }
}

/// Serialises tensors to the bytes of a safetensors file; equal input gives equal bytes.
pub fn encode_safetensors(
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let bytes = tensors
        .iter()
        .map(|(name, tensor)| {
            let data = element_dispatch!(tensor.dtype(), T => {
                bytemuck::cast_slice::<T, u8>(&tensor.cpu_slice::<T>()?).to_vec()
            });
            Ok((name, tensor, data))
        })
        .collect::<Result<Vec<_>>>()?;
    let fail = |error: safetensors::SafeTensorError| {
        Error::new(ErrorKind::Weights, "safetensors", format!("cannot serialise: {error}"))
    };
    let views = bytes
        .iter()
        .map(|(name, tensor, data)| {
            TensorView::new(to_file_dtype(tensor.dtype()), tensor.shape().to_vec(), data)
                .map(|view| (name.as_str(), view))
                .map_err(fail)
        })
        .collect::<Result<Vec<_>>>()?;
    // The library keeps metadata in a hash map, whose order would differ from run to run; a map
    // of one entry has only one order.
    let metadata = match metadata.len() {
        0 => None,
        1 => Some(metadata.clone().into_iter().collect::<HashMap<_, _>>()),
        _ => {
            let fields: Vec<String> =
                metadata.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
            Some(HashMap::from([("json".to_string(), format!("{{{}}}", fields.join(",")))]))
        }
    };
    safetensors::serialize(views, metadata).map_err(fail)
}

fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_string(),
            '\\' => "\\\\".to_string(),
            c if (c as u32) < 0x20 => format!("\\u{:04x}", c as u32),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Writes a safetensors file atomically: under another name first, then synced and renamed.
///
/// # Errors
///
/// [`Io`](ErrorKind::Io) when writing fails; a file that was there before is then unharmed.
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = path.as_ref();
    let bytes = encode_safetensors(tensors, metadata)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        // Best effort: the error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
        Error::new(
            ErrorKind::Io,
            path.display().to_string(),
            format!("cannot write {} bytes: {error}", bytes.len()),
        )
        .with_hint("is the disk full?")
    })
}
