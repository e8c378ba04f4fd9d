//! Matrix products through cuBLASLt, where that library is found.
//!
//! Not tried on hardware: cuBLASLt needs a GPU of its own, which neither the interpreter nor the
//! machines that build this project have. So this file keeps to the least: row-major products
//! with an f32 accumulator, checked shapes, no fused epilogues. Before it is trusted, compare
//! it with the `mma.sync` product on a GPU.
//!
//! The library is column-major. A row-major (r, c) matrix is a column-major (c, r) one, its
//! transpose; so C = A B is asked for as C' = B' A', with nothing copied.

mod descriptors;
mod shape;
mod status;

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;
use cudarc::cublaslt::sys as lt;
use half::{bf16, f16};
use sealed::Sealed;

use crate::blas::descriptors::{Layout, Operation, Preference};
pub use crate::blas::shape::Matmul;
use crate::blas::status::check;
use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::memory::buffer::DeviceBuffer;
use crate::memory::slice::{DeviceSlice, DeviceSliceMut};
use crate::stream::Stream;

/// Scratch memory for the library; NVIDIA advises 32 MiB on Hopper.
const WORKSPACE: usize = 32 << 20;

const SYMBOLS: &[&str] = &[
    "cublasLtCreate",
    "cublasLtDestroy",
    "cublasLtMatmul",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy",
    "cublasLtMatrixLayoutSetAttribute",
];

/// A type that matrices can have: f32, bf16, f16.
pub trait BlasElement: Pod + Sealed {}

mod sealed {
    pub trait Sealed {
        const TYPE: cudarc::cublaslt::sys::cudaDataType;
    }
}

macro_rules! element {
    ($($ty:ty => $name:ident),*) => {$(
        impl Sealed for $ty {
            const TYPE: lt::cudaDataType = lt::cudaDataType::$name;
        }
        impl BlasElement for $ty {}
    )*};
}

element!(f32 => CUDA_R_32F, bf16 => CUDA_R_16BF, f16 => CUDA_R_16F);

/// What decides which algorithm the library takes: shape, types, alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    extents: [usize; 4],
    flags: [bool; 4],
    types: [u32; 2],
    alignment: [u32; 3],
}

/// cuBLASLt for one stream.
pub struct Blas {
    handle: lt::cublasLtHandle_t,
    workspace: DeviceBuffer<u8>,
    algorithms: Mutex<HashMap<Key, lt::cublasLtMatmulAlgo_t>>,
}

// SAFETY: cuBLASLt handles may be used from any thread, and by several at once.
unsafe impl Send for Blas {}
// SAFETY: as above; the scratch memory is used in the order of one stream.
unsafe impl Sync for Blas {}

impl Blas {
    /// Opens the library for a stream, or answers `None` where it is not found.
    ///
    /// # Errors
    ///
    /// `SymbolMissing` for a library too old; `Blas` when it refuses to start; `OutOfMemory`
    /// for its 32 MiB of scratch memory. Never panics.
    pub fn open(stream: &Stream) -> Result<Option<Blas>> {
        if !is_present() {
            return Ok(None);
        }
        let missing = missing_symbols();
        if let Some(name) = missing.first() {
            let detail = format!("the library has no `{name}`, {} are missing", missing.len());
            return Err(GpuError::new(ErrorKind::SymbolMissing, "cuBLASLt", detail)
                .hint("update libcublasLt to that of CUDA 12 or 13"));
        }
        stream.bind()?;
        let mut handle = ptr::null_mut();
        // SAFETY: the function was found; it writes one handle.
        check("cuBLASLt", unsafe { lt::cublasLtCreate(&raw mut handle) })?;
        let workspace = DeviceBuffer::uninit(stream, WORKSPACE);
        match workspace {
            Ok(workspace) => Ok(Some(Blas { handle, workspace, algorithms: Mutex::default() })),
            Err(error) => {
                // SAFETY: made above, destroyed once.
                let _ = unsafe { lt::cublasLtDestroy(handle) };
                Err(error)
            }
        }
    }

    /// The stream it works on.
    pub fn stream(&self) -> &Stream {
        self.workspace.stream()
    }

    /// Queues a product, and returns. Sums are kept in f32.
    ///
    /// A and B are f32, bf16 or f16; C is of the same type or f32.
    ///
    /// # Errors
    ///
    /// `Argument` when a length does not fit the shape; `Blas` when the library has no algorithm.
    pub fn matmul<T: BlasElement, C: BlasElement>(
        &self,
        shape: &Matmul,
        a: DeviceSlice<'_, T>,
        b: DeviceSlice<'_, T>,
        c: &mut DeviceSliceMut<'_, C>,
    ) -> Result<()> {
        shape.check(a.len(), b.len(), c.len())?;
        if c.is_empty() {
            return Ok(());
        }
        if shape.k == 0 {
            let detail = "k is 0, expected at least one term in each sum";
            return Err(GpuError::new(ErrorKind::Argument, "matmul", detail));
        }
        self.stream().bind()?;
        let Matmul { m, n, k, batch, transpose_a, transpose_b, tf32, alpha, beta } = *shape;
        let compute = match tf32 {
            true if T::TYPE == f32::TYPE => lt::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => lt::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let operation = Operation::new(compute, f32::TYPE, transpose_b, transpose_a)?;
        // Column-major: rows are the row-major matrix's columns.
        let (b_rows, b_columns) = if transpose_b { (k, n) } else { (n, k) };
        let (a_rows, a_columns) = if transpose_a { (m, k) } else { (k, m) };
        let first = Layout::new(T::TYPE, b_rows, b_columns, batch)?;
        let second = Layout::new(T::TYPE, a_rows, a_columns, batch)?;
        let result = Layout::new(C::TYPE, n, m, batch)?;
        let alignment = [b.address(), a.address(), c.address()].map(alignment);
        let key = Key {
            extents: [m, n, k, batch],
            flags: [transpose_a, transpose_b, tf32, beta == 0.0],
            types: [T::TYPE as u32, C::TYPE as u32],
            alignment,
        };
        let algorithm = self
            .algorithm(key, &operation, &first, &second, &result)
            .map_err(|error| error.more(&format!(" for {shape:?}")))?;
        let stream = self.stream();
        // SAFETY: handle and descriptors are alive; the slices have the lengths that the layouts
        // say; the scratch memory is used in the order of its stream; alpha and beta are f32, the
        // operation's scale type, and are read before the call returns.
        let status = unsafe {
            lt::cublasLtMatmul(
                self.handle,
                operation.raw(),
                (&raw const alpha).cast(),
                address(b.address()).cast_const(),
                first.raw(),
                address(a.address()).cast_const(),
                second.raw(),
                (&raw const beta).cast(),
                address(c.address()).cast_const(),
                result.raw(),
                address(c.address()),
                result.raw(),
                &raw const algorithm,
                address(self.workspace.address()),
                self.workspace.bytes(),
                stream.raw().cast(),
            )
        };
        check("matmul", status)?;
        stream.launched(&"cuBLASLt matmul".into())
    }

    /// The library's favourite for this shape, asked once.
    fn algorithm(
        &self,
        key: Key,
        operation: &Operation,
        first: &Layout,
        second: &Layout,
        result: &Layout,
    ) -> Result<lt::cublasLtMatmulAlgo_t> {
        let mut known = self.algorithms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(algorithm) = known.get(&key) {
            return Ok(*algorithm);
        }
        let preference = Preference::new(self.workspace.bytes(), key.alignment)?;
        let mut found = lt::cublasLtMatmulHeuristicResult_t {
            algo: lt::cublasLtMatmulAlgo_t { data: [0; 8] },
            workspaceSize: 0,
            state: lt::cublasStatus_t::CUBLAS_STATUS_SUCCESS,
            wavesCount: 0.0,
            reserved: [0; 4],
        };
        let mut count = 0;
        // SAFETY: all descriptors are alive; the library writes at most one result and a count.
        let status = unsafe {
            lt::cublasLtMatmulAlgoGetHeuristic(
                self.handle,
                operation.raw(),
                first.raw(),
                second.raw(),
                result.raw(),
                result.raw(),
                preference.raw(),
                1,
                &raw mut found,
                &raw mut count,
            )
        };
        check("matmul", status)?;
        check("matmul", found.state)?;
        if count == 0 {
            let detail = "cuBLASLt has no algorithm";
            return Err(GpuError::new(ErrorKind::Blas, "matmul", detail));
        }
        known.insert(key, found.algo);
        Ok(found.algo)
    }
}

impl std::fmt::Debug for Blas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blas({:?})", self.stream())
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        if self.stream().bind().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { lt::cublasLtDestroy(self.handle) };
        }
    }
}

/// Whether cuBLASLt is on the loader's path.
pub(crate) fn is_present() -> bool {
    // SAFETY: opening runs the library's initialisers; it is the user's own.
    unsafe { lt::is_culib_present() }
}

/// The functions that this file calls and the library, which must be present, lacks.
pub(crate) fn missing_symbols() -> Vec<&'static str> {
    // SAFETY: the library is present, so this does not panic; it is never closed.
    let library = unsafe { lt::culib() };
    let exported = |name: &str| {
        // SAFETY: the symbol is looked up as an address and not called here.
        unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_ok()
    };
    SYMBOLS.iter().copied().filter(|name| !exported(name)).collect()
}

/// The largest power of two, at most 256, that divides an address.
fn alignment(address: u64) -> u32 {
    1 << address.trailing_zeros().min(8)
}

/// A device address as the library's type. The host does not follow it.
fn address(address: u64) -> *mut c_void {
    ptr::without_provenance_mut(address as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_is_a_power_of_two_up_to_256() {
        for (address, expected) in [(0x1000, 256), (0x1010, 16), (0x1002, 2), (0x1001, 1), (0, 256)]
        {
            assert_eq!(alignment(address), expected, "{address:#x}");
        }
    }

    #[test]
    fn looking_for_the_library_never_panics() {
        if is_present() {
            let _ = missing_symbols();
        }
    }
}
