//! Against plain loops, and on one and two threads.

use super::*;
use crate::testing::{ramp, same_bits_on_one_and_two_threads};

/// Plain loops over strided operands.
fn naive((m, n, k): (usize, usize, usize), a: MatRef<f64>, b: MatRef<f64>) -> Vec<f64> {
    let at = |x: &MatRef<f64>, i: usize, j: usize| x.data[i * x.row_stride + j * x.col_stride];
    (0..m * n).map(|c| (0..k).map(|p| at(&a, c / n, p) * at(&b, p, c % n)).sum()).collect()
}

#[test]
fn every_layout_and_odd_shape_agrees_with_plain_loops() {
    for (m, n, k) in [(1, 1, 1), (1, 7, 129), (3, 17, 5), (129, 33, 17), (130, 120, 110)] {
        let (a, b) = (ramp::<f64>(2 * m * k + 5, 1), ramp::<f64>(2 * k * n + 5, 2));
        for a_strides in [(k, 1), (1, m)] {
            for b_strides in [(n, 1), (1, k)] {
                let views = |skip: usize| {
                    (
                        MatRef::new(&a[skip * m * k..], a_strides),
                        MatRef::new(&b[skip * k * n..], b_strides),
                    )
                };
                let ((a0, b0), (a1, b1)) = (views(0), views(1));
                let mut out = vec![f64::NAN; 2 * m * n];
                gemm_batched((m, n, k), &[a0, a1], &[b0, b1], &mut out);
                let mut want = naive((m, n, k), a0, b0);
                want.extend(naive((m, n, k), a1, b1));
                for (got, want) in out.iter().zip(&want) {
                    assert!((got - want).abs() < 1e-11, "{m}x{n}x{k}: {got} {want}");
                }
            }
        }
    }
}

#[test]
fn a_large_product_agrees_with_plain_loops_in_every_layout() {
    // Past every border of panels, blocks and jobs.
    for (m, n, k) in [(50, 97, 1100), (43, 130, 800), (173, 1090, 301)] {
        let (a, b) = (ramp::<f32>(m * k, 1), ramp::<f32>(k * n, 2));
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (wide_a, wide_b) = (wide(&a), wide(&b));
        let (scales, rows) = (ramp::<f32>(m, 3), ramp::<f32>(m * n, 4));
        for a_strides in [(k, 1), (1, m)] {
            for b_strides in [(n, 1), (1, k)] {
                let want = naive(
                    (m, n, k),
                    MatRef::new(&wide_a, a_strides),
                    MatRef::new(&wide_b, b_strides),
                );
                let (a, b) = (MatRef::new(&a[..], a_strides), MatRef::new(&b[..], b_strides));
                for (keep, with_rows) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    let onto = Onto { keep, rows: with_rows.then_some((&scales[..], &rows[..])) };
                    // Without `keep` the old output is never read.
                    let mut both = [(); 2].map(|()| vec![if keep { 1.5 } else { f32::NAN }; m * n]);
                    gemm_onto((m, n, k), -0.5, a, b, onto, &mut both[0]);
                    #[cfg(target_arch = "x86_64")]
                    if has_avx512::<f32>() {
                        avx512::gemm((m, n, k), -0.5, a, b, onto, &mut both[1]);
                    } else {
                        both[1] = both[0].clone();
                    }
                    for (i, want) in want.iter().enumerate() {
                        let mut want = -0.5 * want;
                        want += if keep { 1.5 } else { 0.0 };
                        if with_rows {
                            want += f64::from(scales[i / n]) * f64::from(rows[i]);
                        }
                        for out in &both[..if cfg!(target_arch = "x86_64") { 2 } else { 1 }] {
                            let error = (f64::from(out[i]) - want).abs();
                            assert!(error < 1e-4, "{m}x{n}x{k} at {i}: {} {want}", out[i]);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn an_empty_inner_extent_gives_zeros() {
    let mut out = vec![f32::NAN; 6];
    let empty = MatRef::new(&[][..], (0, 1));
    gemm_batched((2, 3, 0), &[empty], &[empty], &mut out);
    assert_eq!(out, [0.0; 6]);
}

#[test]
fn thread_count_changes_no_bit() {
    // By tiles, and by a kernel of its own where the machine has one.
    for (m, n, k) in [(301, 257, 129), (130, 300, 700)] {
        let (a, b) = (ramp::<f32>(m * k, 1), ramp::<f32>(k * n, 2));
        same_bits_on_one_and_two_threads(|| {
            let mut out = vec![0.0; m * n];
            let (a, b) = (MatRef::new(&a, (k, 1)), MatRef::new(&b, (1, k)));
            gemm_batched((m, n, k), &[a], &[b], &mut out);
            out
        });
    }
}

#[test]
fn tiles_cover_the_output_with_pieces_enough_for_threads() {
    for extents in [(1500, 384, 384), (1024, 384, 1536), (384, 384, 24_000), (7, 51_865, 384)] {
        let tiling = Tiling::new(extents);
        assert!(tiling.count(extents.0, extents.1) >= 6, "{extents:?}: {tiling:?}");
    }
    assert_eq!(Tiling::new((64, 64, 64)), Tiling { rows: 64, cols: 64 });
}
