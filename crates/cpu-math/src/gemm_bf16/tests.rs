use super::*;
use crate::testing::{ramp, same_bits_on_one_and_two_threads};

type Path = fn((usize, usize, usize), MatRef<bf16>, MatRef<bf16>, &mut [bf16]);

fn narrow(x: Vec<f32>) -> Vec<bf16> {
    x.into_iter().map(bf16::from_f32).collect()
}

/// f64 product and the sum of absolute products, which bounds the rounding.
fn twin((m, n, k): (usize, usize, usize), a: MatRef<bf16>, b: MatRef<bf16>) -> Vec<(f64, f64)> {
    let at =
        |x: &MatRef<bf16>, i: usize, j: usize| x.data[i * x.row_stride + j * x.col_stride].to_f64();
    (0..m * n)
        .map(|c| {
            let terms = (0..k).map(|p| at(&a, c / n, p) * at(&b, p, c % n));
            (terms.clone().sum(), terms.map(f64::abs).sum())
        })
        .collect()
}

#[test]
fn both_paths_agree_with_f64_in_every_layout() {
    let shapes = [(1, 1, 1), (1, 7, 129), (5, 1, 2), (17, 33, 3), (29, 65, 31), (15, 40, 4200)];
    for (m, n, k) in shapes.into_iter().chain([(130, 170, 90)]) {
        // A stride of 3 beside the usual two.
        let (a, b) = (narrow(ramp(3 * m * k, 1)), narrow(ramp(3 * k * n, 2)));
        for a_strides in [(k, 1), (1, m), (3 * k, 3)] {
            for b_strides in [(n, 1), (1, k), (3, 3 * k)] {
                let (a, b) = (MatRef::new(&a, a_strides), MatRef::new(&b, b_strides));
                let want = twin((m, n, k), a, b);
                for path in [gemm as Path, widened] {
                    let mut out = vec![bf16::NAN; m * n];
                    path((m, n, k), a, b, &mut out);
                    for (i, (got, &(want, size))) in out.iter().zip(&want).enumerate() {
                        // The f32 sums may leave `want` by this much, and are rounded once.
                        let slack = 4e-6 * size;
                        let (least, most) =
                            (bf16::from_f64(want - slack), bf16::from_f64(want + slack));
                        assert!(
                            least <= *got && *got <= most,
                            "{m}x{n}x{k} at {i}: {got} for {want}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_batch_equals_its_products_one_by_one() {
    let (m, n, k, count) = (9, 20, 33, 300);
    let (a, b) = (narrow(ramp(count * m * k, 3)), narrow(ramp(count * k * n, 4)));
    let views = |x: &'static [bf16], size: usize, cols: usize| -> Vec<MatRef<bf16>> {
        x.chunks(size).map(|x| MatRef::new(x, (cols, 1))).collect()
    };
    let (a, b) = (views(a.leak(), m * k, k), views(b.leak(), k * n, n));
    let mut out = vec![bf16::NAN; count * m * n];
    gemm_each((m, n, k), &a, &b, &mut out);
    for (i, out) in out.chunks(m * n).enumerate() {
        let mut one = vec![bf16::NAN; m * n];
        gemm((m, n, k), a[i], b[i], &mut one);
        assert_eq!(out, one);
    }
}

#[test]
fn an_empty_inner_extent_gives_zeros() {
    let mut out = vec![bf16::NAN; 6];
    let empty = MatRef::new(&[][..], (0, 1));
    gemm((2, 3, 0), empty, empty, &mut out);
    assert_eq!(out, [bf16::ZERO; 6]);
}

#[test]
fn thread_count_changes_no_bit() {
    let (m, n, k) = (301, 257, 129);
    let (a, b) = (narrow(ramp(m * k, 1)), narrow(ramp(k * n, 2)));
    let (a, b) = (MatRef::new(&a, (k, 1)), MatRef::new(&b, (1, k)));
    for path in [gemm as Path, widened] {
        same_bits_on_one_and_two_threads(|| {
            let mut out = vec![bf16::NAN; m * n];
            path((m, n, k), a, b, &mut out);
            out.into_iter().map(f32::from).collect()
        });
    }
}
