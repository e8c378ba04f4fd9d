//! What goes into the file that is written.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ndarray::Array2;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};

/// Named arrays, with the values among them.
#[derive(Default)]
pub struct Output {
    tensors: Vec<Tensor>,
    values: Vec<f64>,
}

struct Tensor {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Output {
    /// Starts with `value`.
    pub fn new(values: &[f64]) -> Self {
        let mut out = Self { tensors: Vec::new(), values: values.to_vec() };
        out.f64("value", &[values.len()], values);
        out
    }

    pub fn f32(&mut self, name: &'static str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.push(name, Dtype::F32, shape, bytes);
    }

    pub fn f64(&mut self, name: &'static str, shape: &[usize], values: &[f64]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.push(name, Dtype::F64, shape, bytes);
    }

    pub fn rows(&mut self, name: &'static str, rows: &Array2<f32>) {
        let values: Vec<f32> = rows.iter().copied().collect();
        self.f32(name, rows.shape(), &values);
    }

    pub fn counts(&mut self, name: &'static str, counts: &[usize]) {
        let bytes = counts.iter().flat_map(|&n| (n as i64).to_le_bytes()).collect();
        self.push(name, Dtype::I64, &[counts.len()], bytes);
    }

    fn push(&mut self, name: &'static str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) {
        self.tensors.push(Tensor { name, dtype, shape: shape.to_vec(), bytes });
    }

    /// A few words for the terminal.
    pub fn summary(&self) -> String {
        match self.values[..] {
            [value] => format!("value {value}"),
            _ => {
                format!("{} values of sum {}", self.values.len(), self.values.iter().sum::<f64>())
            }
        }
    }

    /// Writes all arrays to `path`: beside it first, then renamed, so that a file there is whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        let views = self.tensors.iter().map(|tensor| {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?;
            Ok((tensor.name, view))
        });
        let bytes = serialize(views.collect::<Result<Vec<_>>>()?, None)?;
        let draft = draft_of(path);
        let written = (|| {
            let mut file = File::create(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, path)
        })();
        written
            .inspect_err(|_| {
                // Best effort: the error that matters is the first one.
                let _ = fs::remove_file(&draft);
            })
            .with_context(|| {
                let hint = "its folder must exist and be writable";
                format!("--output: cannot write {} (hint: {hint})", path.display())
            })
    }
}

/// The name that a file has until it is whole; that of this process, so that two do not meet.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    name.into()
}
