//! The library's descriptors: made, filled and given up again.

use std::ffi::c_void;
use std::ptr;

use cudarc::cublaslt::sys as lt;

use super::status::check;
use crate::error::Result;

macro_rules! descriptor {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $destroy:path) => {
        $(#[$doc])*
        pub(super) struct $name($raw);

        impl $name {
            pub(super) fn raw(&self) -> $raw {
                self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: made once, destroyed once.
                let _ = unsafe { $destroy(self.0) };
            }
        }
    };
}

descriptor! {
    /// Types and transposes of a product.
    Operation, lt::cublasLtMatmulDesc_t, lt::cublasLtMatmulDescDestroy
}
descriptor! {
    /// Type and extent of a matrix, or of a batch.
    Layout, lt::cublasLtMatrixLayout_t, lt::cublasLtMatrixLayoutDestroy
}
descriptor! {
    /// What an algorithm may use.
    Preference, lt::cublasLtMatmulPreference_t, lt::cublasLtMatmulPreferenceDestroy
}

impl Operation {
    /// `first` and `second`: whether that operand is transposed. `scale` is the type of alpha.
    pub(super) fn new(
        compute: lt::cublasComputeType_t,
        scale: lt::cudaDataType,
        first: bool,
        second: bool,
    ) -> Result<Operation> {
        use lt::cublasLtMatmulDescAttributes_t as Attribute;
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes one handle.
        let status = unsafe { lt::cublasLtMatmulDescCreate(&raw mut raw, compute, scale) };
        check("matmul", status)?;
        let operation = Operation(raw);
        for (which, transposed) in [
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, first),
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, second),
        ] {
            // cublasOperation_t: 0 is N, 1 is T.
            let value = i32::from(transposed);
            // SAFETY: the descriptor is alive; the attribute is a 32-bit enumeration.
            let status = unsafe {
                lt::cublasLtMatmulDescSetAttribute(raw, which, (&raw const value).cast(), 4)
            };
            check("matmul", status)?;
        }
        Ok(operation)
    }
}

impl Layout {
    /// Column-major and packed.
    pub(super) fn new(
        ty: lt::cudaDataType,
        rows: usize,
        columns: usize,
        batch: usize,
    ) -> Result<Layout> {
        use lt::cublasLtMatrixLayoutAttribute_t as Attribute;
        let mut raw = ptr::null_mut();
        // The extents are below 2^31: `Matmul::check`.
        let (r, c, lead) = (rows as u64, columns as u64, rows as i64);
        // SAFETY: the library writes one handle.
        let status = unsafe { lt::cublasLtMatrixLayoutCreate(&raw mut raw, ty, r, c, lead) };
        check("matmul", status)?;
        let layout = Layout(raw);
        let (count, stride) = (batch as i32, (rows * columns) as i64);
        // SAFETY: the layout is alive; the count is an i32 and the stride an i64.
        let status = unsafe {
            lt::cublasLtMatrixLayoutSetAttribute(
                raw,
                Attribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                (&raw const count).cast(),
                4,
            )
        };
        check("matmul", status)?;
        // SAFETY: as above.
        let status = unsafe {
            lt::cublasLtMatrixLayoutSetAttribute(
                raw,
                Attribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                (&raw const stride).cast(),
                8,
            )
        };
        check("matmul", status)?;
        Ok(layout)
    }
}

impl Preference {
    /// `alignment` is of the first operand, the second, and the result. The library's default of
    /// 256 bytes does not hold for parts of buffers.
    pub(super) fn new(workspace: usize, alignment: [u32; 3]) -> Result<Preference> {
        use lt::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes one handle.
        check("matmul", unsafe { lt::cublasLtMatmulPreferenceCreate(&raw mut raw) })?;
        let preference = Preference(raw);
        let set = |which, value: *const c_void, bytes| {
            // SAFETY: the preference is alive; `value` points to `bytes` bytes.
            let status =
                unsafe { lt::cublasLtMatmulPreferenceSetAttribute(raw, which, value, bytes) };
            check("matmul", status)
        };
        let most = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        set(most, (&raw const workspace).cast(), size_of::<usize>())?;
        let [a, b, c] = &alignment;
        for (which, value) in [
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, a),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, b),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c),
            (Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c),
        ] {
            set(which, ptr::from_ref(value).cast(), 4)?;
        }
        Ok(preference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blas::{is_present, missing_symbols};

    /// Descriptors need no device, so this much of the library can be tried anywhere.
    #[test]
    fn the_library_accepts_our_descriptors_where_it_is_found() {
        if !is_present() || !missing_symbols().is_empty() {
            println!("skipped: no cuBLASLt on the loader's path");
            return;
        }
        let f32 = lt::cudaDataType::CUDA_R_32F;
        let compute = lt::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        Operation::new(compute, f32, true, false).unwrap();
        Layout::new(lt::cudaDataType::CUDA_R_16BF, 3, 5, 7).unwrap();
        Preference::new(1 << 20, [256, 16, 4]).unwrap();
    }
}
