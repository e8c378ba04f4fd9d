//! The safetensors format: memory-mapped reading, atomic writing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::tensor::Dtype;

use crate::dtype::{DType, Element as _};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Buffer, Device, MappedSlice, element_dispatch};
use crate::tensor::Tensor;

/// An open safetensors file. Tensors are read from the map one by one when asked for.
pub struct SafeTensors {
    path: PathBuf,
    map: Arc<Mmap>,
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
        let io =
            |error: std::io::Error| Error::new(ErrorKind::Io, &at, format!("cannot open: {error}"));
        let file = File::open(&path).map_err(io)?;
        // SAFETY: the map is private and read-only. Another process that truncates the file while
        // it is mapped breaks the map's contract, as it would any memory-mapped reader; weights
        // are replaced by rename, never in place.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let (header, metadata) =
            safetensors::SafeTensors::read_metadata(&map).map_err(|error| {
                Error::new(
                    ErrorKind::Weights,
                    &at,
                    format!("{} bytes are not a whole safetensors file: {error}", map.len()),
                )
                .with_hint("is the download complete?")
            })?;
        let data_start = header + 8;
        Ok(Self { path, map: Arc::new(map), data_start, metadata })
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

    /// Reads one tensor in the dtype of the file, into memory of its own.
    ///
    /// # Errors
    ///
    /// [`Weights`](ErrorKind::Weights) when there is none of that name, or its dtype is not one of
    /// [`DType`].
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let (dtype, shape, bytes) = self.find(name)?;
        let bytes = &self.map[bytes];
        element_dispatch!(dtype, T => {
            let mut values = vec![T::default(); shape.iter().product()];
            // The map need not align tensors, so bytes are copied rather than cast.
            bytemuck::cast_slice_mut::<T, u8>(&mut values).copy_from_slice(bytes);
            Tensor::from_vec(values, shape, Device::Cpu)
        })
    }

    /// One tensor in the dtype of the file, left in the mapped file where it is aligned there.
    ///
    /// Pages are read when they are first used and may be dropped again; the file stays mapped as
    /// long as the tensor lives. Writing copies first.
    ///
    /// # Errors
    ///
    /// As [`tensor`](Self::tensor).
    pub fn mapped_tensor(&self, name: &str) -> Result<Tensor> {
        let (dtype, shape, bytes) = self.find(name)?;
        element_dispatch!(dtype, T => match MappedSlice::<T>::new(&self.map, bytes) {
            Some(slice) => {
                Ok(Tensor::from_storage(T::wrap(Buffer::Mapped(slice)), shape.to_vec()))
            }
            None => self.tensor(name),
        })
    }

    /// Dtype and shape of a tensor, and its bytes in the map.
    fn find(&self, name: &str) -> Result<(DType, &[usize], Range<usize>)> {
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
        Ok((dtype, &info.shape, self.data_start + start..self.data_start + end))
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

/// A file about to be written: its header, and the tensors in the order of their bytes.
struct Draft {
    header: Vec<u8>,
    tensors: Vec<Tensor>,
}

impl Draft {
    /// Lays tensors out by falling element size, then by name, so that each is aligned.
    fn new(tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<Self> {
        let mut named: Vec<(&String, &Tensor)> = tensors.iter().map(|(n, t)| (n, t)).collect();
        named.sort_by_key(|(name, tensor)| (Reverse(tensor.dtype().size()), *name));
        let mut names = HashSet::from(["__metadata__"]);
        let mut entries = Vec::with_capacity(named.len() + 1);
        if !metadata.is_empty() {
            let fields: Vec<String> = metadata
                .iter()
                .map(|(key, text)| format!("{}:{}", json(key), json(text)))
                .collect();
            entries.push(format!("\"__metadata__\":{{{}}}", fields.join(",")));
        }
        let mut start = 0;
        for (name, tensor) in &named {
            if !names.insert(name) {
                return Err(Error::new(
                    ErrorKind::Weights,
                    "safetensors",
                    format!("tensor `{name}` is given twice or has a reserved name"),
                ));
            }
            let end = start + tensor.elem_count() * tensor.dtype().size();
            entries.push(format!(
                "{}:{{\"dtype\":\"{}\",\"shape\":{:?},\"data_offsets\":[{start},{end}]}}",
                json(name),
                tensor.dtype().name().to_uppercase(),
                tensor.shape()
            ));
            start = end;
        }
        let mut text = format!("{{{}}}", entries.join(",")).into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.append(&mut text);
        let tensors = named.iter().map(|(_, tensor)| tensor.contiguous()).collect::<Result<_>>()?;
        Ok(Self { header, tensors })
    }

    fn len(&self) -> usize {
        let data = self.tensors.iter().map(|tensor| tensor.elem_count() * tensor.dtype().size());
        self.header.len() + data.sum::<usize>()
    }

    fn write(&self, sink: &mut impl Write) -> std::io::Result<()> {
        sink.write_all(&self.header)?;
        self.tensors.iter().try_for_each(|tensor| {
            element_dispatch!(tensor.dtype(), T => {
                let values = tensor.cpu_slice::<T>().expect("read in the tensor's own dtype");
                sink.write_all(bytemuck::cast_slice(&values))
            })
        })
    }
}

/// A JSON string literal.
fn json(text: &str) -> String {
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
/// The bytes are a pure function of the tensors and the metadata, in whatever order they come.
///
/// # Errors
///
/// [`Weights`](ErrorKind::Weights) when a name is given twice; [`Io`](ErrorKind::Io) when writing
/// fails, and a file that was there before is then unharmed.
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = path.as_ref();
    let draft = Draft::new(tensors, metadata)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        draft.write(&mut file)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        // Best effort: the error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
        Error::new(
            ErrorKind::Io,
            path.display().to_string(),
            format!("cannot write {} bytes: {error}", draft.len()),
        )
        .with_hint("is the disk full?")
    })
}

#[cfg(test)]
mod tests;
