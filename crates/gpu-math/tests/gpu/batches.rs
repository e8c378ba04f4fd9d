//! Many matrices in one launch are as many products.

use gpu_math::{Matrix, MatrixMut, Products, Scale, matmul};
use gpu_runtime::{DeviceBuffer, Stream};
use half::bf16;

use crate::case::{Number, Stored};
use crate::device::setup;

/// Matrices of all items lie in one long matrix each, with three rows of padding after each.
fn check<T: Number>((stream, products): &(Stream, Products), [count, m, n, k]: [usize; 4]) {
    let gap = k.next_multiple_of(8) - k;
    let a = Stored::<T>::random([count * (m + 3), k], gap, 0, 1);
    let b = Stored::<T>::random([count * (n + 3), k], gap, 0, 2);
    let (a_sent, b_sent) = (a.send(stream), b.send(stream));
    let stride = k + gap;
    let (a_step, b_step) = ((m + 3) * stride, (n + 3) * stride);
    for b_step in [b_step, 0] {
        let mut out = DeviceBuffer::<f32>::zeroed(stream, count * (m * n + 7)).unwrap();
        let all_a = Matrix::batch(&a_sent, [count, m, k], stride, a_step).unwrap();
        let all_b = Matrix::batch(&b_sent, [count, n, k], stride, b_step).unwrap().transposed();
        let all = MatrixMut::batch(&mut out, [count, m, n], n, m * n + 7).unwrap();
        matmul(products, stream, all_a, all_b, all, Scale::default()).unwrap();
        let got = out.to_vec().unwrap();
        for item in 0..count {
            let mut alone = DeviceBuffer::<f32>::zeroed(stream, m * n).unwrap();
            let a = Matrix::new(a_sent.slice(item * a_step..).unwrap(), m, k, stride).unwrap();
            let b = Matrix::new(b_sent.slice(item * b_step..).unwrap(), n, k, stride).unwrap();
            let out = MatrixMut::new(&mut alone, m, n, n).unwrap();
            matmul(products, stream, a, b.transposed(), out, Scale::default()).unwrap();
            let start = item * (m * n + 7);
            assert_eq!(got[start..start + m * n], alone.to_vec().unwrap(), "{item}");
            assert_eq!(got[start + m * n..start + m * n + 7], [0.0; 7], "{item}");
        }
    }
}

#[test]
fn a_batch_is_as_many_products() {
    let Some(setup) = setup() else { return };
    check::<f32>(&setup, [3, 5, 66, 33]);
    check::<f32>(&setup, [2, 130, 66, 20]);
    check::<bf16>(&setup, [3, 5, 66, 33]);
    check::<bf16>(&setup, [3, 70, 136, 40]);
}
