//! The shape of a product.

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;

/// A product C = alpha op(A) op(B) + beta C, or a batch of them, all row-major and packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matmul {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// How many products; the matrices of each operand follow one another.
    pub batch: usize,
    /// A is stored (k, m), not (m, k).
    pub transpose_a: bool,
    /// B is stored (n, k), not (k, n).
    pub transpose_b: bool,
    /// Round f32 operands to TF32, which is many times faster. Of no effect for other types.
    pub tf32: bool,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the old C; at 0 it is not read.
    pub beta: f32,
}

impl Matmul {
    /// C = A B with A (m, k), B (k, n), C (m, n).
    pub const fn new(m: usize, n: usize, k: usize) -> Matmul {
        let (transpose_a, transpose_b) = (false, false);
        Matmul { m, n, k, batch: 1, transpose_a, transpose_b, tf32: false, alpha: 1.0, beta: 0.0 }
    }

    /// Refuses operands whose lengths do not fit, and extents that the library cannot take.
    pub(super) fn check(&self, a: usize, b: usize, c: usize) -> Result<()> {
        let Matmul { m, n, k, batch, .. } = *self;
        for (name, rows, columns, got) in [("A", m, k, a), ("B", k, n, b), ("C", m, n, c)] {
            let want = rows.checked_mul(columns).and_then(|size| size.checked_mul(batch));
            if want != Some(got) {
                let detail = format!(
                    "{name} has {got} values, expected {batch} x {rows} x {columns} for \
                     m={m} n={n} k={k}"
                );
                return Err(GpuError::new(ErrorKind::Argument, "matmul", detail));
            }
        }
        let most = [m, n, k, batch].into_iter().max().unwrap_or(0);
        if i32::try_from(most).is_err() {
            let detail = format!("an extent of {most}, expected at most {}", i32::MAX);
            return Err(GpuError::new(ErrorKind::Argument, "matmul", detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_against_the_shape() {
        let shape = Matmul { batch: 3, ..Matmul::new(2, 5, 7) };
        shape.check(42, 105, 30).unwrap();
        for (a, b, c, expected) in [
            (41, 105, 30, "A has 41 values, expected 3 x 2 x 7"),
            (42, 35, 30, "B has 35 values, expected 3 x 7 x 5"),
            (42, 105, 10, "C has 10 values, expected 3 x 2 x 5"),
        ] {
            let error = shape.check(a, b, c).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Argument);
            assert!(error.detail().starts_with(expected), "{error}");
        }
        let huge = Matmul::new(1, 1 << 31, 0);
        assert!(huge.check(0, 0, 1 << 31).unwrap_err().detail().contains("at most"));
        let overflow = Matmul::new(usize::MAX, 2, 1);
        assert!(overflow.check(usize::MAX, 2, 0).is_err());
    }
}
