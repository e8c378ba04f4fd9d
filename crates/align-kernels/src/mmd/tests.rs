use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};
use half::{bf16, f16};
use ndarray::{Array2, ArrayView2, s};

use super::*;
use crate::points::Points;
use crate::{ErrorKind, reference};

/// `(N, M, D)`: one point against one, odd extents, equal ones, both sides of `D < N + M`, more than
/// a tile, square tiles among them.
const SHAPES: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (1, 7, 3),
    (5, 1, 2),
    (17, 13, 5),
    (3, 4, 129),
    (33, 2, 40),
    (16, 16, 3),
    (320, 270, 9),
];

fn every_kernel() -> Vec<Options> {
    vec![
        Options::linear(),
        Options::polynomial(1, 0.5),
        Options::polynomial(2, 0.0),
        Options::polynomial(2, 1.0),
        Options::polynomial(3, 0.5),
        Options::gaussian(&[1.0]),
        Options::gaussian(&[0.5, 1.0, 2.0, 3.1]),
    ]
}

fn every_option() -> Vec<Options> {
    let estimators = [Estimator::Biased, Estimator::Unbiased, Estimator::LinearTime];
    every_kernel().iter().flat_map(|k| estimators.map(|e| k.clone().with(e))).collect()
}

/// Values of length about 1 a point, whatever the width.
fn cloud(n: usize, width: usize, salt: usize) -> Array2<f32> {
    let scale = 1.7 / (width as f32).sqrt();
    let values = ramp::<f32>(n * width, salt).into_iter().map(|v| v * scale).collect();
    Array2::from_shape_vec((n, width), values).unwrap()
}

fn wide(points: &Array2<f32>) -> Vec<f64> {
    points.iter().map(|&v| f64::from(v)).collect()
}

fn single(x: &Array2<f32>, y: &Array2<f32>, options: &Options) -> Output {
    let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    mmd(&x, &y, options).unwrap()
}

/// The plain loop over pairs, everything in f32: the yardstick of errors.
fn plain(x: &[f32], y: &[f32], width: usize, options: &Options) -> (f32, Vec<f32>, Vec<f32>) {
    let (n, m) = (x.len() / width, y.len() / width);
    let all = [x, y].concat();
    let point = |i: usize| &all[i * width..(i + 1) * width];
    let (mut value, mut grad) = (0.0f32, vec![0.0f32; all.len()]);
    let mut add = |i: usize, j: usize, weight: f32| {
        let (a, b) = (point(i), point(j));
        let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        // Slope by the other point, and by the difference to it.
        let (k, of_other, of_gap) = match &options.kernel {
            Kernel::Linear => (product, 1.0, 0.0),
            Kernel::Polynomial { degree, offset } => {
                let base = product + *offset as f32;
                let below = base.powi(*degree as i32 - 1);
                (below * base, *degree as f32 * below, 0.0)
            }
            Kernel::Gaussian { bandwidths } => {
                let square: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
                bandwidths.iter().fold((0.0, 0.0, 0.0), |(k, _, slope), &s| {
                    let s = s as f32;
                    let e = (-square / (2.0 * s * s)).exp();
                    (k + e, 0.0, slope + e / (s * s))
                })
            }
        };
        value += weight * k;
        for d in 0..width {
            grad[i * width + d] += weight * (of_other * b[d] + of_gap * (b[d] - a[d]));
            grad[j * width + d] += weight * (of_other * a[d] + of_gap * (a[d] - b[d]));
        }
    };
    if options.estimator == Estimator::LinearTime {
        let count = n.min(m) / 2;
        for q in 0..count {
            let ((x0, x1), (y0, y1)) = ((2 * q, 2 * q + 1), (n + 2 * q, n + 2 * q + 1));
            let weight = 1.0 / count as f32;
            for (i, j, sign) in [(x0, x1, 1.0), (y0, y1, 1.0), (x0, y1, -1.0), (x1, y0, -1.0)] {
                add(i, j, sign * weight);
            }
        }
    } else if n.min(m) >= options.fewest_points() {
        let unbiased = options.estimator == Estimator::Unbiased;
        for (first, count) in [(0, n), (n, m)] {
            let pairs = if unbiased { count * (count - 1) } else { count * count };
            for i in first..first + count {
                for j in (first..first + count).filter(|&j| i != j || !unbiased) {
                    add(i, j, 1.0 / pairs as f32);
                }
            }
        }
        (0..n).for_each(|i| (n..n + m).for_each(|j| add(i, j, -2.0 / (n * m) as f32)));
    }
    let grad_y = grad.split_off(x.len());
    (value, grad, grad_y)
}

/// Largest error of `got`, with `plain`'s and the largest value.
fn errors(got: &[f32], plain: &[f32], want: &[f64]) -> (f64, f64, f64) {
    let worst = |xs: &[f32]| {
        assert_eq!(xs.len(), want.len());
        let gaps = xs.iter().zip(want).map(|(&x, &w)| (f64::from(x) - w).abs());
        gaps.fold(0.0, |worst, gap| if gap <= worst { worst } else { gap })
    };
    (worst(got), worst(plain), want.iter().fold(0.0, |most, w| w.abs().max(most)))
}

/// Terms of a discrepancy are about so large: a unit in the last place is what f32 costs anyway.
fn term(x: &[f64], y: &[f64], width: usize, options: &Options) -> f64 {
    let mut slope = vec![0.0; width];
    let points = x.chunks(width).chain(y.chunks(width));
    points.map(|p| reference::mmd::kernel(p, p, &options.kernel, &mut slope)).fold(0.0, f64::max)
}

#[test]
fn values_and_gradients_are_as_good_as_those_of_a_plain_loop() {
    for (n, m, width) in SHAPES {
        let (x, y) = (cloud(n, width, 1), cloud(m, width, 2));
        for options in every_option() {
            let want = reference::mmd::mmd(&wide(&x), &wide(&y), width, &options);
            let (value, plain_x, plain_y) =
                plain(x.as_slice().unwrap(), y.as_slice().unwrap(), width, &options);
            let out = single(&x, &y, &options);
            let ulp = f64::from(f32::EPSILON);
            let floor = ulp * term(&wide(&x), &wide(&y), width, &options);
            let (error, naive) =
                ((out.value[0] - want.value).abs(), (f64::from(value) - want.value).abs());
            assert!(
                error <= 2.0 * naive + floor,
                "{n} {m} {width} {options:?}: {error:e} {naive:e}"
            );
            for (grad, plain, want) in
                [(out.grad_x, plain_x, want.grad_x), (out.grad_y, plain_y, want.grad_y)]
            {
                let (error, naive, largest) = errors(grad.as_slice().unwrap(), &plain, &want);
                let floor = ulp * largest.max(4.0 * floor / ulp / grad.nrows() as f64);
                assert!(
                    error <= 3.0 * naive + floor,
                    "{n} {m} {width} {options:?}: gradient {error:e} {naive:e} {floor:e}"
                );
            }
        }
    }
}

#[test]
fn equal_sets_have_no_discrepancy_and_no_gradient() {
    for (n, _, width) in SHAPES {
        let x = cloud(n, width, 3);
        for options in every_kernel() {
            let out = single(&x, &x.clone(), &options);
            let scale = term(&wide(&x), &[], width, &options);
            assert!(
                out.value[0].abs() <= 2e-7 * scale,
                "{n} {width} {options:?}: {}",
                out.value[0]
            );
            assert!(out.grad_x.iter().all(|g| g.abs() < 1e-5), "{n} {width} {options:?}");
        }
    }
}

#[test]
fn sides_can_be_exchanged_and_points_reordered() {
    for (n, m, width) in SHAPES {
        let (x, y) = (cloud(n, width, 4), cloud(m, width, 5));
        for options in every_option() {
            let one = single(&x, &y, &options);
            let tolerance = 1e-6 * term(&wide(&x), &wide(&y), width, &options);
            let near = |other: f64| {
                let one = one.value[0];
                assert!((one - other).abs() <= tolerance, "{options:?}: {one} {other}");
            };
            let other = single(&y, &x, &options);
            near(other.value[0]);
            let gaps = other.grad_y.iter().zip(&one.grad_x).map(|(a, b)| (a - b).abs());
            assert!(gaps.fold(0.0, f32::max) < 1e-5, "{options:?}");
            if options.estimator != Estimator::LinearTime {
                near(single(&x.slice(s![..;-1, ..]).to_owned(), &y, &options).value[0]);
            }
        }
    }
}

#[test]
fn the_linear_kernel_is_the_squared_distance_of_means() {
    for (n, m, width) in SHAPES {
        let (x, y) = (cloud(n, width, 6), cloud(m, width, 7));
        let mean = |x: &Array2<f32>| x.mapv(f64::from).mean_axis(ndarray::Axis(0)).unwrap();
        let gap = mean(&x) - mean(&y);
        let value = single(&x, &y, &Options::linear()).value[0];
        assert!((value - gap.dot(&gap)).abs() < 1e-14, "{n} {m} {width}: {value}");
    }
}

#[test]
fn moments_are_the_products_of_all_pairs() {
    for (n, m, width) in [(5, 4, 3), (40, 30, 20), (70, 50, 260)] {
        let (x, y) = (cloud(n, width, 8), cloud(m, width, 9));
        for (offset, unbiased) in [(0.0, false), (1.0, false), (0.0, true), (0.7, true)] {
            let run = |by_moments: bool| {
                let (mut grad_x, mut grad_y) = (Array2::zeros(x.dim()), Array2::zeros(y.dim()));
                let item = Item {
                    x: x.as_slice().unwrap(),
                    y: y.as_slice().unwrap(),
                    width,
                    grad_x: rows(&mut grad_x),
                    grad_y: rows(&mut grad_y),
                };
                let value = if by_moments {
                    moments::moments(item, offset, unbiased)
                } else {
                    let points = [item.x, item.y].concat();
                    let cloud = tiles::Cloud { points: &points, split: n, width };
                    let power = polynomial::Power { degree: 2, offset: offset as f32 };
                    tiles::all_pairs(&cloud, &power, unbiased, item)
                };
                (value, grad_x, grad_y)
            };
            let (one, other) = (run(true), run(false));
            assert!((one.0 - other.0).abs() < 1e-6, "{} {}", one.0, other.0);
            for (one, other) in [(one.1, other.1), (one.2, other.2)] {
                assert!((one - other).iter().all(|gap| gap.abs() < 1e-6), "{n} {m} {width}");
            }
        }
    }
}

#[test]
fn a_common_shift_costs_a_gaussian_kernel_no_digits() {
    let (x, y) = (cloud(40, 6, 10), cloud(30, 6, 11));
    // Sums with 64 are exact after rounding the points to multiples of 2^-16.
    let coarse = |x: Array2<f32>| x.mapv(|v| (v * 65536.0).round() / 65536.0);
    let (x, y) = (coarse(x), coarse(y));
    let options = Options::gaussian(&[0.5, 1.0]);
    let (one, other) = (single(&x, &y, &options), single(&(&x + 64.0), &(&y + 64.0), &options));
    assert!((one.value[0] - other.value[0]).abs() < 1e-7, "{} {}", one.value[0], other.value[0]);
    assert!((one.grad_x - other.grad_x).iter().all(|gap| gap.abs() < 1e-7));
}

#[test]
fn tight_clusters_far_apart_are_compared_by_their_differences() {
    // Clusters 1000 apart with points 0.02 apart, and a bandwidth of that size.
    let spread = |salt: usize| {
        let mut x = cloud(24, 8, salt).mapv(|v| v * 0.02);
        x.rows_mut().into_iter().step_by(2).for_each(|mut row| row += 1000.0);
        x
    };
    let (x, y) = (spread(12), spread(13));
    let options = Options::gaussian(&[0.02]);
    let want = reference::mmd::mmd(&wide(&x), &wide(&y), 8, &options);
    let out = single(&x, &y, &options);
    assert!(want.value > 1e-3);
    assert!((out.value[0] - want.value).abs() < 2e-6, "{} {}", out.value[0], want.value);
}

#[test]
fn a_batch_of_items_is_each_item_alone() {
    let (of_x, of_y) = ([0, 3, 3, 4, 9, 9], [0, 2, 6, 7, 7, 7]);
    let (x, y) = (cloud(9, 5, 14), cloud(7, 5, 15));
    for options in every_option() {
        let batch_x = Ragged::new(x.view().into(), &of_x).unwrap();
        let batch_y = Ragged::new(y.view().into(), &of_y).unwrap();
        let batch = mmd(&batch_x, &batch_y, &options).unwrap();
        for k in 0..5 {
            let (rows_x, rows_y) = (batch_x.range(k), batch_y.range(k));
            let item = |x: &Array2<f32>, rows| x.slice(s![rows, ..]).to_owned();
            let one = single(&item(&x, rows_x.clone()), &item(&y, rows_y.clone()), &options);
            assert_eq!(batch.value[k], one.value[0], "{options:?} {k}");
            assert_eq!(batch.grad_x.slice(s![rows_x, ..]), one.grad_x, "{options:?} {k}");
            assert_eq!(batch.grad_y.slice(s![rows_y, ..]), one.grad_y, "{options:?} {k}");
        }
        // Sides without points.
        assert_eq!((batch.value[1], batch.value[3], batch.value[4]), (0.0, 0.0, 0.0));
    }
}

#[test]
fn too_few_points_for_an_estimator_give_zero() {
    for (n, m) in [(0, 0), (0, 3), (1, 3), (3, 1), (1, 1)] {
        let (x, y) = (cloud(n, 4, 16), cloud(m, 4, 17));
        for options in every_option() {
            let out = single(&x, &y, &options);
            if n.min(m) < options.fewest_points() {
                assert_eq!(out.value, [0.0], "{options:?}");
                assert!(out.grad_x.iter().chain(&out.grad_y).all(|&g| g == 0.0), "{options:?}");
            }
        }
    }
    // No width: all points are equal.
    let (x, y) = (Array2::zeros((2, 0)), Array2::zeros((3, 0)));
    assert_eq!(single(&x, &y, &Options::gaussian(&[1.0])).value, [0.0]);
}

#[test]
fn a_nan_stays_in_its_item() {
    let offsets = [0, 4, 8, 12];
    let (mut x, y) = (cloud(12, 3, 18), cloud(12, 3, 19));
    let clean = x.clone();
    x[[5, 1]] = f32::NAN;
    for options in every_option() {
        let run = |x: &Array2<f32>| {
            let x = Ragged::new(x.view().into(), &offsets).unwrap();
            mmd(&x, &Ragged::new(y.view().into(), &offsets).unwrap(), &options).unwrap()
        };
        let (out, want) = (run(&x), run(&clean));
        assert!(out.value[1].is_nan(), "{options:?}");
        assert!(out.grad_x.slice(s![4..8, ..]).iter().any(|g| g.is_nan()), "{options:?}");
        for (k, rows) in [(0, 0..4), (2, 8..12)] {
            assert_eq!(out.value[k], want.value[k]);
            assert_eq!(out.grad_x.slice(s![rows.clone(), ..]), want.grad_x.slice(s![rows, ..]));
        }
    }
}

#[test]
fn thread_count_changes_no_bit() {
    let (x, y) = (cloud(700, 33, 20), cloud(530, 33, 21));
    let (deep_x, deep_y) = (cloud(300, 700, 22), cloud(290, 700, 23));
    for options in every_option() {
        same_bits_on_one_and_two_threads(|| {
            let mut all = vec![];
            for (x, y) in [(&x, &y), (&deep_x, &deep_y)] {
                let out = single(x, y, &options);
                all.extend(out.value);
                all.extend(out.grad_x.iter().chain(&out.grad_y).map(|&g| f64::from(g)));
            }
            all
        });
    }
}

#[test]
fn half_precision_points_are_widened() {
    let (x, y) = (cloud(7, 5, 24).mapv(bf16::from_f32), cloud(6, 5, 25).mapv(f16::from_f32));
    let (wide_x, wide_y) = (x.mapv(bf16::to_f32), y.mapv(f16::to_f32));
    for options in every_kernel() {
        let half = mmd(
            &Ragged::single(Points::from(x.view())),
            &Ragged::single(Points::from(y.view())),
            &options,
        );
        let (half, full) = (half.unwrap(), single(&wide_x, &wide_y, &options));
        assert_eq!((half.value, half.grad_x), (full.value, full.grad_x));
    }
}

#[test]
fn the_median_distance_is_that_of_sorted_distances() {
    let (x, y) = (cloud(9, 4, 26), cloud(6, 4, 27));
    let bandwidth = |x: ArrayView2<f32>, y: ArrayView2<f32>| {
        median_bandwidth(&Ragged::single(x.into()), &Ragged::single(y.into()))
    };
    let all = ndarray::concatenate![ndarray::Axis(0), x, y].mapv(f64::from);
    let mut distances: Vec<f64> = (0..15)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| (&all.row(i) - &all.row(j)).mapv(|v| v * v).sum().sqrt())
        .collect();
    distances.sort_by(f64::total_cmp);
    let got = bandwidth(x.view(), y.view()).unwrap();
    assert!((got - distances[distances.len() / 2]).abs() < 1e-6, "{got}");

    let mut holed = x.clone();
    holed[[3, 2]] = f32::NAN;
    assert!(bandwidth(holed.view(), y.view()).unwrap().is_finite());
    let many = cloud(2000, 4, 28);
    assert!((bandwidth(many.view(), y.view()).unwrap() / got - 1.0).abs() < 0.3);
    let one = x.slice(s![..1, ..]);
    let none = x.slice(s![..0, ..]);
    for (x, y, text) in [
        (one, none, "median_bandwidth: no two points in an item, expected one item of 2 or more"),
        (one, one, "median_bandwidth: the median distance is 0, expected 1e-15 to 1e15"),
    ] {
        let error = bandwidth(x, y).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Value, text));
    }
}

#[test]
fn wrong_shapes_and_options_are_refused() {
    let (x, y) = (cloud(4, 3, 29), cloud(4, 3, 30));
    let check = |x: &Ragged, y: &Ragged, options: &Options, kind: ErrorKind, text: &str| {
        let error = mmd(x, y, options).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
    };
    let (one_x, one_y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    let thin = y.slice(s![.., ..2]);
    let text = "mmd: y has width 2, expected the 3 of x";
    let thin = Ragged::single(thin.into());
    check(&one_x, &thin, &Options::linear(), ErrorKind::Shape, text);
    let two = Ragged::new(y.view().into(), &[0, 1, 4]).unwrap();
    let text = "mmd: y has 2 items, expected the 1 of x";
    check(&one_x, &two, &Options::linear(), ErrorKind::Shape, text);
    for (options, text) in [
        (
            Options::polynomial(0, 1.0),
            "mmd: degree is 0, expected 1 to 16 (hint: 2 compares second moments)",
        ),
        (
            Options::polynomial(2, f64::NAN),
            "mmd: offset is NaN, expected a finite number of at least 0 (hint: 0 or 1 is usual)",
        ),
        (
            Options::gaussian(&[]),
            "mmd: no bandwidths, expected 1 or more (hint: median_bandwidth gives one)",
        ),
        (
            Options::gaussian(&[1.0, 0.0]),
            "mmd: bandwidth is 0, expected 1e-15 to 1e15 (hint: median_bandwidth gives one)",
        ),
    ] {
        check(&one_x, &one_y, &options, ErrorKind::Option, text);
    }
}
