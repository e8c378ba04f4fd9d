//! Blocks of the matrix, as workers hold them: parts add up to the whole.

use align_kernels::info_nce::{
    Block, Options, Output, Similarity, combine_lse, info_nce_given_lse, info_nce_lse,
};
use gpu_runtime::{DeviceBuffer, Stream};
use ndarray::s;

use crate::case::{Case, Form, Got, Sent, send};
use crate::device::stream;

/// Borders of the workers' rows and columns: uneven, and one without anything.
const ROWS: [usize; 4] = [0, 130, 130, 150];
const COLUMNS: [usize; 3] = [0, 70, 160];

fn part(stream: &Stream, case: &Case, side: usize, borders: &[usize], k: usize) -> Sent {
    let points = [&case.x, &case.y][side];
    let own = points.slice(s![borders[k]..borders[k + 1], ..]).to_owned();
    send(stream, &own, case.form)
}

fn masks(case: &Case, r: usize, c: usize) -> [Option<&[bool]>; 2] {
    let rows = case.row_mask.as_ref().map(|mask| &mask[ROWS[r]..ROWS[r + 1]]);
    [rows, case.column_mask.as_ref().map(|mask| &mask[COLUMNS[c]..COLUMNS[c + 1]])]
}

fn options(case: &Case, r: usize, c: usize) -> Options<'_> {
    let [row_mask, column_mask] = masks(case, r, c);
    let positive_offset = case.offset + ROWS[r] as isize - COLUMNS[c] as isize;
    Options { positive_offset, row_mask, column_mask, ..case.options() }
}

#[test]
fn parts_of_workers_add_up_to_the_whole() {
    let Some(stream) = stream() else { return };
    for (form, symmetric, masked) in
        [(Form::Gaps, true, true), (Form::Half, true, false), (Form::Half, false, true)]
    {
        let mut case = Case::new((150, 160, 24), form, 4);
        case.symmetric = symmetric;
        let case = if masked { case.with_masks() } else { case };
        let (whole, d) = (case.device(&stream), case.x.ncols());
        let (rows, columns) = (ROWS.len() - 1, COLUMNS.len() - 1);
        let lse: Vec<Vec<_>> = (0..rows)
            .map(|r| {
                let of = |c| {
                    let (x, y) =
                        (part(&stream, &case, 0, &ROWS, r), part(&stream, &case, 1, &COLUMNS, c));
                    info_nce_lse(x.points(), y.points(), &options(&case, r, c)).unwrap()
                };
                (0..columns).map(of).collect()
            })
            .collect();
        let (mut value, mut temperature) = (0.0, 0.0);
        let (mut grad_x, mut grad_y) = (vec![0.0; case.x.len()], vec![0.0; case.y.len()]);
        let pairs = whole.positives.iter().filter(|p| !p.is_nan()).count();
        for r in 0..rows {
            let parts: Vec<_> = lse[r].iter().map(|lse| &lse.rows[..]).collect();
            let mut row_lse = combine_lse(&parts).unwrap();
            for (i, lse) in row_lse.iter_mut().enumerate() {
                assert!((*lse - whole.row_lse[ROWS[r] + i]).abs() < 1e-5 || lse.is_infinite());
                if whole.positives[ROWS[r] + i].is_nan() {
                    *lse = f64::INFINITY;
                }
            }
            for c in 0..columns {
                let parts: Vec<_> = (0..rows).map(|r| &lse[r][c].columns[..]).collect();
                let mut column_lse = combine_lse(&parts).unwrap();
                for (j, lse) in column_lse.iter_mut().enumerate() {
                    let row = COLUMNS[c] as isize + j as isize - case.offset;
                    let positive = usize::try_from(row).ok().and_then(|i| whole.positives.get(i));
                    if positive.is_none_or(|p| p.is_nan()) {
                        *lse = f64::INFINITY;
                    }
                }
                let positives = &lse[r][c].positives;
                let block = Block { row_lse: &row_lse, column_lse: &column_lse, positives, pairs };
                let (x, y) =
                    (part(&stream, &case, 0, &ROWS, r), part(&stream, &case, 1, &COLUMNS, c));
                let (x, y, options) = (x.points(), y.points(), options(&case, r, c));
                let out = info_nce_given_lse(x, y, &block, &options);
                let out: Output<DeviceBuffer<f32>> = out.unwrap();
                let out = Got::of(&out);
                value += out.value;
                temperature += out.grad_temperature;
                add(&mut grad_x[ROWS[r] * d..], &out.grad_x);
                add(&mut grad_y[COLUMNS[c] * d..], &out.grad_y);
            }
        }
        // Gradients of bf16 points are sums of slopes that are rounded alike in both.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(near(value, whole.value), "{form:?}: {value} {}", whole.value);
        assert!(near(temperature, whole.grad_temperature), "{temperature} {whole:?}");
        let bound = if form == Form::Half { 2e-4 } else { 1e-6 };
        for (a, b) in [(&grad_x, &whole.grad_x), (&grad_y, &whole.grad_y)] {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < bound), "{form:?}");
        }
    }
}

fn add(out: &mut [f32], part: &[f32]) {
    out.iter_mut().zip(part).for_each(|(out, part)| *out += part);
}

#[test]
fn a_block_of_rows_that_are_no_anchors_pushes_columns_alone() {
    let Some(stream) = stream() else { return };
    for form in [Form::Tight, Form::Half] {
        let mut case = Case::new((9, 12, 8), form, 2);
        case.similarity = Similarity::Dot;
        let (x, y) = (send(&stream, &case.x, form), send(&stream, &case.y, form));
        // The rows' partners are on another worker, and so are those of all columns but two.
        let options = Options { positive_offset: 40, ..case.options() };
        let mut column_lse = vec![f64::INFINITY; 12];
        (column_lse[2], column_lse[7]) = (1.5, 2.5);
        let block = Block {
            row_lse: &[f64::INFINITY; 9],
            column_lse: &column_lse,
            positives: &[f64::NAN; 9],
            pairs: 20,
        };
        let got = info_nce_given_lse(x.points(), y.points(), &block, &options).unwrap();
        let got = Got::of(&got);
        let host = info_nce_given_lse(case.x.view(), case.y.view(), &block, &options).unwrap();
        assert_eq!(got.value, 0.0);
        let bound = if form == Form::Half { 2f32.powi(-7) } else { 1e-5 };
        let largest = host.grad_y.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        for (got, host) in got.grad_y.iter().zip(&host.grad_y) {
            assert!((got - host).abs() <= bound * largest, "{form:?}: {got} {host}");
        }
    }
}

#[test]
fn blocks_of_several_tiles_keep_their_sums() {
    let Some(stream) = stream() else { return };
    // More tiles than CTAs run at once, so that blocks have two: side by side, and below each other.
    for (shape, form) in [
        ((100, 34_000, 2), Form::Half),
        ((17_000, 100, 2), Form::Half),
        ((60, 34_000, 1), Form::Tight),
    ] {
        let case = Case::new(shape, form, 6);
        let (x, y) = (send(&stream, &case.x, form), send(&stream, &case.y, form));
        let options = Options { positive_offset: 0, ..case.options() };
        let got = info_nce_lse(x.points(), y.points(), &options).unwrap();
        let host = info_nce_lse(case.x.view(), case.y.view(), &options).unwrap();
        let near = |a: &[f64], b: &[f64]| {
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5 || (a.is_nan() && b.is_nan());
            a.len() == b.len() && a.iter().zip(b).all(close)
        };
        assert!(near(&got.rows, &host.rows), "{shape:?} {form:?}");
        assert!(near(&got.columns, &host.columns), "{shape:?} {form:?}");
        assert!(near(&got.positives, &host.positives), "{shape:?} {form:?}");
    }
}
