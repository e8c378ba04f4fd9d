//! What cannot be multiplied is refused by name.

use gpu_math::{ErrorKind, Matrix, MatrixMut, Scale, matmul};
use gpu_runtime::DeviceBuffer;

use crate::device::setup;

#[test]
fn operands_that_do_not_fit_are_refused() {
    let Some((stream, products)) = setup() else { return };
    let values = DeviceBuffer::<f32>::zeroed(&stream, 600).unwrap();
    let mut place = DeviceBuffer::<f32>::zeroed(&stream, 600).unwrap();
    let a = |count, rows, cols| Matrix::batch(&values, [count, rows, cols], cols, 0).unwrap();
    let mut check = |a, b, out: [usize; 3], expected: &str| {
        let step = out[1] * out[2];
        let out = MatrixMut::batch(&mut place, out, out[2], step).unwrap();
        let error = matmul(&products, &stream, a, b, out, Scale::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
        assert!(error.to_string().starts_with(&format!("matmul: {expected}")), "{error}");
    };
    check(a(1, 2, 3), a(1, 4, 5), [1, 2, 5], "a is 2 x 3, b 4 x 5 and out 2 x 5, expected (m, k)");
    check(a(1, 2, 3), a(1, 3, 5), [1, 5, 2], "a is 2 x 3, b 3 x 5 and out 5 x 2");
    check(a(1, 3, 2).transposed(), a(1, 2, 5), [1, 2, 5], "a is 2 x 3, b 2 x 5");
    check(a(2, 2, 3), a(1, 3, 5), [2, 2, 5], "batches of [2, 1, 2] matrices");
    check(a(65536, 1, 0), a(65536, 0, 0), [65536, 1, 0], "65536 matrices, expected at most 65535");
}
