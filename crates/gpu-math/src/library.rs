//! Products through cuBLASLt, for callers that allow it, where it is found.
//!
//! Not tried on hardware, as [`Blas`] says. It takes whole matrices on its own stream; all else goes to our
//! kernels, whose order of sums and rounding are known.

use gpu_runtime::{Blas, Matmul, Stream};

use crate::error::Result;
use crate::matrix::{Element, Form, Matrix, MatrixMut};
use crate::output::Scale;
use crate::products::Precision;

/// Puts the product on the stream and says so, or says that it is not one for the library.
pub(crate) fn multiply<T: Element, C: Element>(
    blas: &Blas,
    stream: &Stream,
    (a, b): (&Matrix<'_, T>, &Matrix<'_, T>),
    out: &mut MatrixMut<'_, C>,
    scale: Scale,
    precision: Precision,
) -> Result<bool> {
    let types = !C::IS_BF16 || T::IS_BF16;
    let whole = [a.form, b.form, out.form].iter().all(is_whole);
    if !types || !whole || a.cols() == 0 || !blas.stream().is_same(stream) {
        return Ok(false);
    }
    let shape = Matmul {
        batch: a.count(),
        transpose_a: a.is_turned,
        transpose_b: b.is_turned,
        tf32: precision == Precision::Tf32,
        alpha: scale.alpha,
        beta: scale.beta,
        ..Matmul::new(a.rows(), b.cols(), a.cols())
    };
    let (a, b) = (a.values.slice(..len(&a.form))?, b.values.slice(..len(&b.form))?);
    let mut out = out.values.reborrow().slice(..len(&out.form))?;
    blas.matmul(&shape, a, b, &mut out)?;
    Ok(true)
}

/// Whether rows, and matrices, follow one another without gaps.
fn is_whole(form: &Form) -> bool {
    let Form { rows, cols, stride, count, step } = *form;
    stride == cols && (count == 1 || step == rows * cols)
}

fn len(form: &Form) -> usize {
    form.rows * form.cols * form.count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_matrices_have_no_gaps() {
        let whole = Form { rows: 3, cols: 5, stride: 5, count: 1, step: 0 };
        assert!(is_whole(&whole) && is_whole(&Form { count: 2, step: 15, ..whole }));
        for gaps in [
            Form { stride: 6, ..whole },
            Form { count: 2, step: 0, ..whole },
            Form { count: 2, step: 16, ..whole },
        ] {
            assert!(!is_whole(&gaps), "{gaps:?}");
        }
    }
}
