//! Many matrices in one launch are as many products.

use gpu_math::{Matrix, MatrixMut, Scale, matmul};
use gpu_runtime::DeviceBuffer;

use crate::case::Stored;
use crate::device::setup;

#[test]
fn a_batch_is_as_many_products() {
    let Some((stream, products)) = setup() else { return };
    let (count, m, n, k) = (3, 5, 66, 33);
    // Rows of all matrices in one long matrix each, three rows of padding between matrices.
    let a = Stored::<f32>::random([count * (m + 3), k], 1, 0, 1);
    let b = Stored::<f32>::random([count * (n + 3), k], 0, 0, 2);
    let (a_sent, b_sent) = (a.send(&stream), b.send(&stream));
    let (a_step, b_step) = ((m + 3) * (k + 1), (n + 3) * k);
    for b_step in [b_step, 0] {
        let mut out = DeviceBuffer::<f32>::zeroed(&stream, count * (m * n + 7)).unwrap();
        let all_a = Matrix::batch(&a_sent, [count, m, k], k + 1, a_step).unwrap();
        let all_b = Matrix::batch(&b_sent, [count, n, k], k, b_step).unwrap().transposed();
        let all = MatrixMut::batch(&mut out, [count, m, n], n, m * n + 7).unwrap();
        matmul(&products, &stream, all_a, all_b, all, Scale::default()).unwrap();
        let got = out.to_vec().unwrap();
        for item in 0..count {
            let mut alone = DeviceBuffer::<f32>::zeroed(&stream, m * n).unwrap();
            let a = Matrix::new(a_sent.slice(item * a_step..).unwrap(), m, k, k + 1).unwrap();
            let b = Matrix::new(b_sent.slice(item * b_step..).unwrap(), n, k, k).unwrap();
            let out = MatrixMut::new(&mut alone, m, n, n).unwrap();
            matmul(&products, &stream, a, b.transposed(), out, Scale::default()).unwrap();
            let start = item * (m * n + 7);
            assert_eq!(got[start..start + m * n], alone.to_vec().unwrap(), "{item}");
            assert_eq!(got[start + m * n..start + m * n + 7], [0.0; 7], "{item}");
        }
    }
}
