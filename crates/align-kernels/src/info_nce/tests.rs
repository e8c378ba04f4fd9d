use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};
use half::bf16;
use ndarray::{Array2, ArrayView2, s};

use super::*;
use crate::reference::info_nce as reference;
use crate::{ErrorKind, Host};

/// Rows, columns, width: one row, odd, lopsided, more than a tile, more than a stripe.
const SHAPES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 7, 5),
    (3, 3, 129),
    (17, 29, 13),
    (33, 33, 2),
    (150, 1003, 17),
    (600, 620, 9),
    (40, 2100, 3),
];

fn points(n: usize, d: usize, salt: usize) -> Array2<f32> {
    Array2::from_shape_vec((n, d), ramp(n * d, salt)).unwrap()
}

/// Partners that resemble each other, so that the loss is a trained one.
fn pair((n, m, d): (usize, usize, usize), offset: usize) -> (Array2<f32>, Array2<f32>) {
    let (x, mut y) = (points(n, d, 1), points(m, d, 2));
    for i in 0..n {
        let mixed = &x.row(i) * 0.8 + &y.row(i + offset) * 0.6;
        y.row_mut(i + offset).assign(&mixed);
    }
    (x, y)
}

fn run(x: &Array2<f32>, y: &Array2<f32>, options: &Options<'_>) -> Output {
    info_nce(x.view(), y.view(), options).unwrap()
}

fn twin(x: ArrayView2<f32>, y: ArrayView2<f32>, options: &Options<'_>) -> reference::InfoNce {
    let wide = |a: ArrayView2<f32>| a.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    reference::info_nce(&wide(x), &wide(y), x.ncols(), options).unwrap()
}

/// The plain formulas in f32: normalise, all logits, softmax, and back through each.
struct Naive {
    value: f32,
    grad_x: Vec<f32>,
    grad_y: Vec<f32>,
    grad_temperature: f32,
}

fn naive(x: &Array2<f32>, y: &Array2<f32>, options: &Options<'_>) -> Naive {
    let (n, m, d) = (x.nrows(), y.nrows(), x.ncols());
    let cosine = options.similarity == Similarity::Cosine;
    let t = options.temperature as f32;
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0f32, |sum, (a, b)| sum + a * b);
    let unit = |a: &Array2<f32>| -> (Vec<Vec<f32>>, Vec<f32>) {
        let norm = |r: &[f32]| if cosine { dot(r, r).sqrt() } else { 1.0 };
        let rows: Vec<Vec<f32>> = a.rows().into_iter().map(|r| r.to_vec()).collect();
        let norms: Vec<f32> = rows.iter().map(|r| norm(r)).collect();
        let units = rows.iter().zip(&norms).map(|(r, n)| r.iter().map(|v| v / n).collect());
        (units.collect(), norms)
    };
    let ((xs, x_norms), (ys, y_norms)) = (unit(x), unit(y));
    let logits: Vec<f32> = (0..n * m).map(|k| dot(&xs[k / m], &ys[k % m]) / t).collect();
    let partner = |i: usize| (i as isize + options.positive_offset) as usize;
    let share = 1.0 / (options.directions() as f32 * n as f32);
    let (mut value, mut slopes) = (0.0f32, vec![0.0f32; n * m]);
    for i in 0..n {
        let at = |k: usize| i * m + k;
        value += share * softmax(&logits, &mut slopes, m, at, partner(i), share);
        if options.symmetric {
            let j = partner(i);
            value += share * softmax(&logits, &mut slopes, n, |k| k * m + j, i, share);
        }
    }
    let slopes_dot = logits.iter().zip(&slopes).fold(0.0f32, |sum, (a, b)| sum + a * b);
    let back = |units: &[Vec<f32>],
                norms: &[f32],
                others: &[Vec<f32>],
                at: &dyn Fn(usize, usize) -> usize| {
        let mut out = Vec::new();
        for (i, (unit, norm)) in units.iter().zip(norms).enumerate() {
            let mut grad = vec![0.0f32; d];
            for (j, other) in others.iter().enumerate() {
                grad.iter_mut().zip(other).for_each(|(g, o)| *g += slopes[at(i, j)] / t * o);
            }
            let radial = if cosine { dot(&grad, unit) } else { 0.0 };
            out.extend(grad.iter().zip(unit).map(|(g, u)| (g - radial * u) / norm));
        }
        out
    };
    Naive {
        value,
        grad_x: back(&xs, &x_norms, &ys, &|i, j| i * m + j),
        grad_y: back(&ys, &y_norms, &xs, &|j, i| i * m + j),
        grad_temperature: -slopes_dot / t,
    }
}

/// Loss of one anchor among `count` logits; adds its slopes.
fn softmax(
    logits: &[f32],
    slopes: &mut [f32],
    count: usize,
    at: impl Fn(usize) -> usize,
    partner: usize,
    share: f32,
) -> f32 {
    let max = (0..count).map(|k| logits[at(k)]).fold(f32::NEG_INFINITY, f32::max);
    let sum = (0..count).fold(0.0f32, |sum, k| sum + (logits[at(k)] - max).exp());
    (0..count).for_each(|k| slopes[at(k)] += share * (logits[at(k)] - max).exp() / sum);
    slopes[at(partner)] -= share;
    max + sum.ln() - logits[at(partner)]
}

/// Fails when `got` is further from `twin` than `factor` times the plain loop's worst element.
#[track_caller]
fn assert_within_naive(
    what: &str,
    got: &[f32],
    naive: &[f32],
    twin: &[f64],
    (factor, floor): (f64, f64),
) {
    assert!(got.len() == twin.len() && naive.len() == twin.len());
    let worst = |xs: &[f32]| {
        xs.iter()
            .zip(twin)
            .map(|(&x, t)| (f64::from(x) - t).abs())
            .fold(0.0, |w: f64, e| if e.is_nan() { f64::INFINITY } else { w.max(e) })
    };
    let allowed = factor * worst(naive) + floor;
    assert!(worst(got) <= allowed, "{what}: {:e} is over {allowed:e}", worst(got));
}

#[test]
fn values_and_gradients_are_within_the_error_of_the_plain_loop() {
    for &shape in SHAPES {
        for similarity in [Similarity::Cosine, Similarity::Dot] {
            for symmetric in [false, true] {
                for temperature in [1.0, 0.07] {
                    let offset = (shape.1 - shape.0).min(3);
                    let (x, y) = pair(shape, offset);
                    let options = Options {
                        temperature,
                        similarity,
                        symmetric,
                        positive_offset: offset as isize,
                        ..Options::default()
                    };
                    let (got, plain) = (run(&x, &y, &options), naive(&x, &y, &options));
                    let twin = twin(x.view(), y.view(), &options);
                    let name = format!("{shape:?} {similarity:?} {symmetric} {temperature}");
                    let flat = |a: &Array2<f32>| a.iter().copied().collect::<Vec<_>>();
                    let check = |what: &str, got: &[f32], plain: &[f32], twin: &[f64], factors| {
                        assert_within_naive(&format!("{name} {what}"), got, plain, twin, factors);
                    };
                    // The plain loop is exact by luck on small shapes: the floors are what rounding
                    // the largest logit costs the value, and each slope as a fraction of itself (a
                    // slope is the exponential of a difference of two of that size).
                    let ulp = 2f64.powi(-23);
                    let largest =
                        |xs: &[f64]| xs.iter().fold(0.0f64, |most, x| most.max(x.abs())) * ulp;
                    let logit = largest(&twin.row_lse);
                    check(
                        "value",
                        &[got.value as f32],
                        &[plain.value],
                        &[twin.value],
                        (2.0, logit),
                    );
                    let most = (logit / ulp).max(1.0);
                    let floors = [&twin.grad_x, &twin.grad_y].map(|grad| largest(grad) * most);
                    check("x", &flat(&got.grad_x), &plain.grad_x, &twin.grad_x, (3.0, floors[0]));
                    check("y", &flat(&got.grad_y), &plain.grad_y, &twin.grad_y, (3.0, floors[1]));
                    let (t, plain) = ([got.grad_temperature as f32], [plain.grad_temperature]);
                    // A slope and a logit, both rounded.
                    let floor = 2.0 * logit / temperature;
                    check("t", &t, &plain, &[twin.grad_temperature], (3.0, floor));
                }
            }
        }
    }
}

#[test]
fn log_sum_exps_are_those_of_the_reference() {
    let (x, y) = pair((150, 1003, 17), 2);
    let options = Options { symmetric: true, positive_offset: 2, ..Options::default() };
    let (got, twin) = (run(&x, &y, &options), twin(x.view(), y.view(), &options));
    // Logits of size 10 in f32.
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 4e-6);
    assert!(near(&got.row_lse, &twin.row_lse) && near(&got.column_lse, &twin.column_lse));
    let one = run(&x, &y, &Options { symmetric: false, ..options });
    assert!(near(&one.row_lse, &twin.row_lse) && one.column_lse.is_empty());
    assert!(near(&one.positives, &got.positives));
}

#[test]
fn a_lone_pair_costs_nothing() {
    let (x, y) = pair((1, 1, 7), 0);
    for symmetric in [false, true] {
        let out = run(&x, &y, &Options { symmetric, ..Options::default() });
        assert_eq!((out.value, out.grad_temperature), (0.0, 0.0));
        assert!(out.grad_x.iter().chain(&out.grad_y).all(|&v| v == 0.0));
    }
}

#[test]
fn nothing_at_all_costs_nothing() {
    let (x, y) = (points(0, 3, 1), points(4, 3, 2));
    for symmetric in [false, true] {
        let options = Options { symmetric, ..Options::default() };
        for y in [&x, &y] {
            let out = run(&x, y, &options);
            assert_eq!((out.value, out.grad_x.nrows(), out.grad_y.nrows()), (0.0, 0, y.nrows()));
        }
        let none = [false; 4];
        let out = run(&y, &y, &Options { row_mask: Some(&none), ..options });
        assert!(out.value == 0.0 && out.grad_x.iter().chain(&out.grad_y).all(|&v| v == 0.0));
    }
}

#[test]
fn reordering_pairs_reorders_gradients() {
    let (x, y) = pair((37, 37, 5), 0);
    let order: Vec<usize> = (0..37).map(|i| i * 11 % 37).collect();
    let moved = |a: &Array2<f32>| a.select(ndarray::Axis(0), &order);
    let options = Options { symmetric: true, ..Options::default() };
    let (a, b) = (run(&x, &y, &options), run(&moved(&x), &moved(&y), &options));
    assert!((a.value - b.value).abs() < 1e-6);
    // Sums in another order.
    assert!((moved(&a.grad_x) - b.grad_x).iter().all(|v| v.abs() < 1e-6));
}

#[test]
fn the_symmetric_loss_is_the_mean_of_both_directions() {
    let (x, y) = pair((70, 70, 19), 0);
    let one = |x, y| run(x, y, &Options::default());
    let (rows, columns) = (one(&x, &y), one(&y, &x));
    let both = run(&x, &y, &Options { symmetric: true, ..Options::default() });
    assert!((both.value - (rows.value + columns.value) / 2.0).abs() < 1e-7);
    let mean = (rows.grad_x + columns.grad_y) / 2.0;
    assert!((mean - both.grad_x).iter().all(|v| v.abs() < 1e-7));
}

#[test]
fn masked_points_are_as_good_as_removed_and_never_read() {
    let (mut x, mut y) = pair((90, 130, 11), 0);
    let row_mask: Vec<bool> = (0..90).map(|i| i < 70).collect();
    let column_mask: Vec<bool> = (0..130).map(|j| j < 70 || j % 3 == 0).collect();
    let kept: Vec<usize> = (0..130).filter(|&j| column_mask[j]).collect();
    for symmetric in [false, true] {
        let options = Options { symmetric, ..Options::default() };
        let small_y = y.select(ndarray::Axis(0), &kept);
        let small = run(&x.slice(s![..70, ..]).to_owned(), &small_y, &options);
        let masked =
            Options { row_mask: Some(&row_mask), column_mask: Some(&column_mask), ..options };
        x.slice_mut(s![70.., ..]).fill(f32::NAN);
        (0..130).filter(|&j| !column_mask[j]).for_each(|j| y.row_mut(j).fill(f32::NAN));
        let whole = run(&x, &y, &masked);
        assert_eq!((whole.value, whole.grad_temperature), (small.value, small.grad_temperature));
        assert_eq!(whole.grad_x.slice(s![..70, ..]), small.grad_x);
        assert!(whole.grad_x.slice(s![70.., ..]).iter().all(|&v| v == 0.0));
        assert_eq!(whole.grad_y.select(ndarray::Axis(0), &kept), small.grad_y);
        assert!((0..130).all(|j| column_mask[j] || whole.grad_y.row(j).iter().all(|&v| v == 0.0)));
        assert_eq!(whole.row_lse[..70], small.row_lse);
        assert!(whole.row_lse[70..].iter().all(|&v| v == f64::NEG_INFINITY));
    }
}

#[test]
fn a_row_without_its_partner_is_only_a_negative() {
    let (x, y) = pair((6, 8, 4), 1);
    let (row_mask, column_mask) =
        ([true, true, true, false, true, true], [true, true, false, true, true, true, true, true]);
    for symmetric in [false, true] {
        let options = Options {
            symmetric,
            positive_offset: 1,
            row_mask: Some(&row_mask),
            column_mask: Some(&column_mask),
            ..Options::default()
        };
        let (got, twin) = (run(&x, &y, &options), twin(x.view(), y.view(), &options));
        assert!((got.value - twin.value).abs() < 1e-6);
        let near = |a: &Array2<f32>, b: &[f64]| {
            a.iter().zip(b).all(|(&a, b)| (f64::from(a) - b).abs() < 2e-6)
        };
        assert!(near(&got.grad_x, &twin.grad_x) && near(&got.grad_y, &twin.grad_y));
        assert!(got.positives[1].is_nan() && got.positives[3].is_nan());
    }
}

#[test]
fn nan_in_one_anchor_leaves_the_gradients_of_others_alone() {
    let (mut x, y) = pair((5, 5, 3), 0);
    let clean = run(&x, &y, &Options::default());
    x[[2, 1]] = f32::NAN;
    let out = run(&x, &y, &Options::default());
    assert!(out.value.is_nan() && out.grad_x.row(2).iter().all(|v| v.is_nan()));
    for i in [0, 1, 3, 4] {
        assert_eq!(out.grad_x.row(i), clean.grad_x.row(i));
        assert_eq!(out.row_lse[i], clean.row_lse[i]);
    }
}

#[test]
fn large_logits_stay_finite_and_small_losses_keep_their_digits() {
    let (x, y) = pair((20, 20, 6), 0);
    let sharp = Options { temperature: 1e-4, symmetric: true, ..Options::default() };
    let out = run(&x, &y, &sharp);
    assert!(out.value.is_finite() && out.grad_x.iter().all(|v| v.is_finite()));
    // Orthogonal pairs at temperature 1/16: the loss is 4 e^-16, less than f32's ulp of a logit.
    let unit = Array2::<f32>::eye(5);
    for symmetric in [false, true] {
        let options = Options { temperature: 1.0 / 16.0, symmetric, ..Options::default() };
        let out = run(&unit, &unit, &options);
        let exact = (4.0 * (-16f64).exp()).ln_1p();
        assert!((out.value / exact - 1.0).abs() < 1e-6, "{:e} {exact:e}", out.value);
    }
}

#[test]
fn the_cosine_of_points_of_any_length_is_the_same() {
    let (x, y) = pair((9, 9, 4), 0);
    let plain = run(&x, &y, &Options::default());
    for factor in [2f32.powi(-70), 2f32.powi(70)] {
        let out = run(&(&x * factor), &y, &Options::default());
        assert_eq!(out.value, plain.value);
        assert_eq!(&out.grad_x * factor, plain.grad_x);
    }
    let mut x = x;
    x.row_mut(3).fill(0.0);
    let (out, twin) =
        (run(&x, &y, &Options::default()), twin(x.view(), y.view(), &Options::default()));
    assert!((out.value - twin.value).abs() < 1e-6);
    assert!(out.grad_x.row(3).iter().all(|&v| v == 0.0));
}

#[test]
fn half_precision_points_are_widened_exactly() {
    let (x, y) = pair((13, 15, 8), 0);
    let (half_x, half_y) = (x.mapv(bf16::from_f32), y.mapv(bf16::from_f32));
    let options = Options { symmetric: true, ..Options::default() };
    let half = info_nce(half_x.view(), half_y.view(), &options).unwrap();
    let wide = run(&half_x.mapv(f32::from), &half_y.mapv(f32::from), &options);
    assert_eq!((half.value, half.grad_x, half.grad_y), (wide.value, wide.grad_x, wide.grad_y));
}

#[test]
fn blocks_add_up_to_the_whole() {
    let (n, m) = (60, 75);
    let (x, y) = pair((n, m, 7), 5);
    for symmetric in [false, true] {
        let options = Options { symmetric, positive_offset: 5, ..Options::default() };
        let whole = run(&x, &y, &options);
        // Two workers' rows against three blocks of columns.
        let rows = [0..25, 25..n];
        let columns = [0..20, 20..41, 41..m];
        let part =
            |a: &Array2<f32>, r: &std::ops::Range<usize>| a.slice(s![r.clone(), ..]).to_owned();
        let shifted = |r: &std::ops::Range<usize>, c: &std::ops::Range<usize>| Options {
            positive_offset: 5 + r.start as isize - c.start as isize,
            ..options
        };
        let lse =
            |r, c| info_nce_lse(part(&x, r).view(), part(&y, c).view(), &shifted(r, c)).unwrap();
        let parts: Vec<Vec<Lse>> =
            rows.iter().map(|r| columns.iter().map(|c| lse(r, c)).collect()).collect();
        let row_lse: Vec<Vec<f64>> = parts
            .iter()
            .map(|p| combine_lse(&p.iter().map(|l| &l.rows[..]).collect::<Vec<_>>()).unwrap())
            .collect();
        let mut column_lse: Vec<Vec<f64>> = (0..columns.len())
            .map(|c| combine_lse(&[&parts[0][c].columns, &parts[1][c].columns]).unwrap())
            .collect();
        let near = |a: f64, b: f64| (a - b).abs() < 3e-6;
        assert!(row_lse.concat().iter().zip(&whole.row_lse).all(|(&a, &b)| near(a, b)));
        // Columns without a row are extra negatives.
        for (c, range) in columns.iter().enumerate() {
            let is_extra = |j: usize| !(5..5 + n).contains(&j);
            range.clone().filter(|&j| is_extra(j)).for_each(|j| {
                column_lse[c][j - range.start] = f64::INFINITY;
            });
        }

        let (mut value, mut by_t) = (0.0, 0.0);
        let (mut grad_x, mut grad_y) = (Array2::<f32>::zeros((n, 7)), Array2::<f32>::zeros((m, 7)));
        for (r, rows) in rows.iter().enumerate() {
            for (c, columns) in columns.iter().enumerate() {
                let block = Block {
                    row_lse: &row_lse[r],
                    column_lse: &column_lse[c],
                    positives: &parts[r][c].positives,
                    pairs: n,
                };
                let (x, y) = (part(&x, rows), part(&y, columns));
                let options = shifted(rows, columns);
                let out = info_nce_given_lse(x.view(), y.view(), &block, &options).unwrap();
                value += out.value;
                by_t += out.grad_temperature;
                let mut own = grad_x.slice_mut(s![rows.clone(), ..]);
                own += &out.grad_x;
                let mut own = grad_y.slice_mut(s![columns.clone(), ..]);
                own += &out.grad_y;
            }
        }
        assert!(near(value, whole.value) && (by_t - whole.grad_temperature).abs() < 3e-5);
        assert!((grad_x - &whole.grad_x).iter().all(|v| v.abs() < 1e-6));
        assert!((grad_y - &whole.grad_y).iter().all(|v| v.abs() < 1e-6));
    }
}

#[test]
fn layers_are_added_with_their_weights() {
    let (x, y) = pair((12, 15, 5), 0);
    let (u, v) = pair((12, 15, 3), 0);
    let layers: [Layer<'_>; 2] =
        [(0.1, 2.0, &x, &y), (0.5, -0.25, &u, &v)].map(|(temperature, weight, x, y)| Layer {
            x: x.view().into(),
            y: y.view().into(),
            temperature,
            weight,
        });
    let options = Options { symmetric: true, ..Options::default() };
    let sum = info_nce_layers(&layers, &options).unwrap();
    let mut value = 0.0;
    for (layer, got) in [(&layers[0], &sum.layers[0]), (&layers[1], &sum.layers[1])] {
        let alone =
            info_nce(layer.x, layer.y, &Options { temperature: layer.temperature, ..options })
                .unwrap();
        value += layer.weight * alone.value;
        // Powers of two are exact factors.
        assert_eq!(got.grad_x, alone.grad_x * layer.weight as f32);
        assert_eq!(got.grad_temperature, alone.grad_temperature * layer.weight);
    }
    assert!((sum.value - value).abs() < 1e-14);
    assert_eq!(info_nce_layers::<Host>(&[], &options).unwrap().value, 0.0);
    let bad = [Layer { weight: f64::NAN, ..layers[0] }];
    assert_eq!(info_nce_layers(&bad, &options).unwrap_err().kind(), ErrorKind::Option);
}

#[test]
fn gradients_of_one_side_are_its_half_of_both() {
    let row_mask: Vec<bool> = (0..600).map(|i| i % 5 != 2).collect();
    for shape in [(1, 7, 5), (600, 620, 9), (40, 2100, 3)] {
        let (x, y) = pair(shape, 0);
        for (symmetric, row_mask) in
            [(true, None), (false, None), (true, Some(&row_mask[..shape.0]))]
        {
            let of = |gradients| {
                run(&x, &y, &Options { symmetric, row_mask, gradients, ..Options::default() })
            };
            let both = of(GradientSides::Both);
            let (of_x, of_y) = (of(GradientSides::X), of(GradientSides::Y));
            assert_eq!((&of_x.grad_x, &of_y.grad_y), (&both.grad_x, &both.grad_y));
            assert_eq!((of_x.grad_y.dim(), of_y.grad_x.dim()), ((0, shape.2), (0, shape.2)));
            for got in [of_x, of_y] {
                let (got, both) = ((got.value, got.grad_temperature), &both);
                assert_eq!(got, (both.value, both.grad_temperature));
            }
        }
    }
}

#[test]
fn given_similarities_are_treated_as_the_reference_does() {
    let (n, m) = (7, 11);
    let similarities = Array2::from_shape_vec((n, m), ramp::<f64>(n * m, 6)).unwrap();
    let row_mask: Vec<bool> = (0..n).map(|i| i != 3).collect();
    let column_mask: Vec<bool> = (0..m).map(|j| j != 2).collect();
    for symmetric in [false, true] {
        for masked in [false, true] {
            let options = Options {
                symmetric,
                positive_offset: 1,
                row_mask: masked.then_some(&row_mask),
                column_mask: masked.then_some(&column_mask),
                ..Options::default()
            };
            let mut given = similarities.clone();
            let flat = similarities.as_slice().unwrap();
            let want = reference::of_similarities(flat, m, &options).unwrap();
            if masked {
                given.row_mut(3).fill(f64::NAN);
                given.column_mut(2).fill(f64::NAN);
            }
            let got = info_nce_similarities(given.view(), &options).unwrap();
            assert!((got.value - want.value).abs() < 1e-13);
            assert!(got.grad.iter().zip(&want.grad).all(|(a, b)| (a - b).abs() < 1e-13));
            assert!((got.grad_temperature - want.grad_temperature).abs() < 1e-11);
            let equal = |a: &f64, b: &f64| a == b || (a - b).abs() < 1e-12;
            assert!(got.row_lse.iter().zip(&want.row_lse).all(|(a, b)| equal(a, b)));
            assert!(got.column_lse.iter().zip(&want.column_lse).all(|(a, b)| equal(a, b)));
        }
    }
}

#[test]
fn an_excluded_similarity_takes_no_part() {
    let mut similarities = Array2::from_shape_vec((3, 3), ramp::<f64>(9, 7)).unwrap();
    similarities[[0, 2]] = f64::NEG_INFINITY;
    let options = Options { symmetric: true, ..Options::default() };
    let out = info_nce_similarities(similarities.view(), &options).unwrap();
    assert!(out.value.is_finite() && out.grad_temperature.is_finite());
    assert!(out.grad[[0, 2]] == 0.0 && out.grad.iter().all(|v| v.is_finite()));
}

#[test]
fn the_golden_vectors_of_given_similarities() {
    // Wasserstein InfoNCE: similarities are negated divergences.
    let rows_0 = [-0.09917513, -0.64251941, -0.60869925, -0.00501307];
    let rows_1 = [-0.05652702, -0.51434658, -0.49972029, -0.0046192];
    for (rows, by_text, by_speech) in
        [(rows_0, 0.0033723574, 0.0039046026), (rows_1, 0.0086361689, 0.0089580585)]
    {
        let matrix = ArrayView2::from_shape((2, 2), &rows).unwrap();
        // Similarities are given to eight digits, and divided by 0.1.
        for (matrix, want) in [(matrix, by_text), (matrix.reversed_axes(), by_speech)] {
            let got = info_nce_similarities(matrix, &Options::default()).unwrap().value;
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
    }
}

#[test]
fn the_golden_vector_of_cosine() {
    let x = Array2::from_shape_vec((2, 3), vec![0.5f32, 0.5, 0.0, 0.5, 0.5, 1.0]).unwrap();
    let y = vec![1.6 / 3.0f32, 1.7 / 3.0, 0.0, 0.5, 0.55, 0.9];
    let y = Array2::from_shape_vec((2, 3), y).unwrap();
    // Logits of 10 in f32, times the softmax of 0.02.
    assert!((run(&x, &y, &Options::default()).value - 0.0204892951).abs() < 5e-8);
}

#[test]
fn thread_count_changes_no_bit() {
    let (x, y) = pair((610, 1100, 33), 0);
    for symmetric in [false, true] {
        same_bits_on_one_and_two_threads(|| {
            let out = run(&x, &y, &Options { symmetric, ..Options::default() });
            let mut all: Vec<f64> =
                out.grad_x.iter().chain(&out.grad_y).map(|&v| f64::from(v)).collect();
            all.extend([out.value, out.grad_temperature]);
            all.extend(out.row_lse.iter().chain(&out.column_lse));
            all
        });
    }
}

#[test]
fn wrong_arguments_are_named() {
    let (x, y) = (points(3, 2, 1), points(3, 2, 2));
    let error = |x: &Array2<f32>, y: &Array2<f32>, options: Options<'_>| {
        let error = info_nce(x.view(), y.view(), &options).unwrap_err();
        (error.to_string(), error.kind())
    };
    let options = Options::default();
    for (got, text, kind) in [
        (
            error(&x, &points(3, 4, 1), options),
            "info_nce: x is (3, 2) and y is (3, 4), expected one width above 0",
            ErrorKind::Shape,
        ),
        (
            error(&x, &points(2, 2, 1), options),
            "info_nce: partners of 3 rows start at column 0, expected them below 2 columns",
            ErrorKind::Shape,
        ),
        (
            error(&x, &y, Options { positive_offset: -1, ..options }),
            "info_nce: partners of 3 rows start at column -1, expected them below 3 columns",
            ErrorKind::Shape,
        ),
        (
            error(&x, &y, Options { row_mask: Some(&[true]), ..options }),
            "info_nce: row_mask has 1 values, expected 3",
            ErrorKind::Shape,
        ),
        (
            error(&x, &y, Options { temperature: 0.0, ..options }),
            "info_nce: temperature is 0, expected > 0 and finite (hint: 0.05 to 0.1 is usual for \
             cosine)",
            ErrorKind::Option,
        ),
    ] {
        assert_eq!((got.0.as_str(), got.1), (text, kind));
    }
    let lse = [0.0; 3];
    let block = Block { row_lse: &lse, column_lse: &[], positives: &lse, pairs: 0 };
    let given = |block: &Block<'_>| {
        let error = info_nce_given_lse(x.view(), y.view(), block, &options);
        error.unwrap_err().to_string()
    };
    assert!(given(&block).starts_with("info_nce_given_lse: pairs is 0"));
    assert_eq!(
        given(&Block { row_lse: &[], pairs: 3, ..block }),
        "info_nce_given_lse: row_lse has 0 values, expected 3"
    );
    assert_eq!(
        combine_lse(&[&[0.0], &[]]).unwrap_err().to_string(),
        "combine_lse: a part has 0 values, expected 1 as the first"
    );
}
