//! Matrix products small enough for one thread, on strided slices.
//!
//! Kernels that already run one work item per thread (attention, convolution) call this instead
//! of the parallel product.

use super::real::Real;

/// Up to this many rows go through one by one: a matrix-vector product reads the right operand in
/// place, a matrix product copies it first, which few rows do not repay.
const FEW_ROWS: usize = 4;

/// `c = alpha a b + beta c` on the calling thread, for extents `(M, N, K)`.
///
/// Each operand comes with its (row, column) strides. With `beta` zero `c` is not read.
pub(crate) fn gemm_tile<T: Real>(
    (m, n, k): (usize, usize, usize),
    alpha: T,
    (a, a_strides): (&[T], (usize, usize)),
    (b, b_strides): (&[T], (usize, usize)),
    beta: T,
    (c, c_strides): (&mut [T], (usize, usize)),
) {
    if m == 0 || n == 0 {
        return;
    }
    let fits = |len: usize, rows: usize, cols: usize, (rs, cs): (usize, usize)| {
        rows == 0 || cols == 0 || (rows - 1) * rs + (cols - 1) * cs < len
    };
    assert!(fits(a.len(), m, k, a_strides), "left operand is shorter than its strides say");
    assert!(fits(b.len(), k, n, b_strides), "right operand is shorter than its strides say");
    assert!(fits(c.len(), m, n, c_strides), "output is shorter than its strides say");
    let (pieces, rows) = if m <= FEW_ROWS { (m, 1) } else { (1, m) };
    for i in 0..pieces {
        // SAFETY: every index reached lies inside its slice by the assertions above, and the
        // output is an exclusive borrow. The crate names the factor of the old output `alpha` and
        // the factor of the product `beta`.
        unsafe {
            gemm::gemm(
                rows,
                n,
                k,
                c.as_mut_ptr().wrapping_add(i * c_strides.0),
                c_strides.1 as isize,
                c_strides.0 as isize,
                beta != T::ZERO,
                a.as_ptr().wrapping_add(i * a_strides.0),
                a_strides.1 as isize,
                a_strides.0 as isize,
                b.as_ptr(),
                b_strides.1 as isize,
                b_strides.0 as isize,
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
