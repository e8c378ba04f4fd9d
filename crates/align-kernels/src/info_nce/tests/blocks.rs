//! Parts of a loss by themselves: blocks of rows, layers, one side.

use super::*;

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
