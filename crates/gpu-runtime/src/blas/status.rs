//! What cuBLASLt answers.

use cudarc::cublaslt::sys as lt;

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;

/// An error unless the library says success.
pub(super) fn check(place: &str, status: lt::cublasStatus_t) -> Result<()> {
    match status {
        lt::cublasStatus_t::CUBLAS_STATUS_SUCCESS => Ok(()),
        _ => Err(GpuError::new(ErrorKind::Blas, place, format!("{status:?}"))),
    }
}
