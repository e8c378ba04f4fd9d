//! Matrices in the largest extents that `mma` has.

/// Columns of B, C and D in every shape.
pub(super) const N: usize = 8;
/// Most rows of A and columns of A.
pub(super) const MOST_M: usize = 16;
pub(super) const MOST_K: usize = 32;

/// A as rows, B as rows, C and D as rows, in the arithmetic of the product.
pub(super) type MatrixA<T> = [[T; MOST_K]; MOST_M];
pub(super) type MatrixB<T> = [[T; N]; MOST_K];
pub(super) type MatrixC<T> = [[T; N]; MOST_M];
