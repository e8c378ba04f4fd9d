//! Matrix products on the calling thread: the one place that calls the `gemm` crate.
//!
//! Kernels that already run one work item per thread (attention, convolution) use [`gemm_tile`];
//! the parallel product cuts its output into tiles and uses [`gemm_at`].

use super::real::Real;
use crate::mat_ref::MatRef;

/// Up to this many rows go through one by one: a matrix-vector product reads the right operand in
/// place, a matrix product copies it first, which few rows do not repay.
const FEW_ROWS: usize = 4;

/// `c = alpha a b + beta c` on the calling thread, for extents `(M, N, K)`.
///
/// Each operand comes with its (row, column) strides. With `beta` zero `c` is not read.
///
/// # Panics
///
/// When a matrix lies outside its slice.
pub fn gemm_tile<T: Real>(
    extents: (usize, usize, usize),
    alpha: T,
    (a, a_strides): (&[T], (usize, usize)),
    (b, b_strides): (&[T], (usize, usize)),
    beta: T,
    (c, c_strides): (&mut [T], (usize, usize)),
) {
    let (m, n, k) = extents;
    let (a, b) = (MatRef::new(a, a_strides), MatRef::new(b, b_strides));
    a.check(m, k);
    b.check(k, n);
    MatRef::new(c, c_strides).check(m, n);
    // SAFETY: every element lies inside its slice by the checks, and `c` is an exclusive borrow.
    unsafe { gemm_at(extents, alpha, a, b, beta, (c.as_mut_ptr(), c_strides)) }
}

/// As [`gemm_tile`], into memory that other threads write elsewhere.
///
/// # Safety
///
/// - `a` and `b` pass [`MatRef::check`] for their extents.
/// - Every element `c + i * rows + j * cols` of the output, with its (row, column) strides, may be
///   written, and no other thread reaches it meanwhile. With `beta` not zero it is initialised.
pub unsafe fn gemm_at<T: Real>(
    (m, n, k): (usize, usize, usize),
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    (c, (c_rows, c_cols)): (*mut T, (usize, usize)),
) {
    if m == 0 || n == 0 {
        return;
    }
    let (pieces, rows) = if m <= FEW_ROWS { (m, 1) } else { (1, m) };
    for i in 0..pieces {
        // SAFETY: by the contract of this function. The crate names the factor of the old output
        // `alpha` and the factor of the product `beta`.
        unsafe {
            gemm::gemm(
                rows,
                n,
                k,
                c.wrapping_add(i * c_rows),
                c_cols as isize,
                c_rows as isize,
                beta != T::ZERO,
                a.data.as_ptr().wrapping_add(i * a.row_stride),
                a.col_stride as isize,
                a.row_stride as isize,
                b.data.as_ptr(),
                b.col_stride as isize,
                b.row_stride as isize,
                beta,
                alpha,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}
