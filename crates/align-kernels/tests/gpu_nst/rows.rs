//! `nst`: neurons as rows.

use align_kernels::nst::nst;
use align_kernels::reference::nst as twin;

use crate::batch::{Cloud, FORMS, Form, wide};
use crate::device::stream;

const X: [usize; 5] = [0, 1, 31, 65, 33];
const Y: [usize; 5] = [3, 2, 64, 13, 1];

/// Largest distance between two lists, and the largest value of the second.
fn apart(got: &[f32], want: &[f64]) -> (f64, f64) {
    assert_eq!(got.len(), want.len());
    let gaps = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs());
    let worst = gaps.fold(0.0, |worst, gap| if gap <= worst { worst } else { gap });
    (worst, want.iter().fold(0.0, |most, w| w.abs().max(most)))
}

#[test]
fn values_and_gradients_are_those_of_the_twin_and_of_the_host() {
    let Some(stream) = stream() else { return };
    for (at, width) in [1, 2, 17, 40, 129].into_iter().enumerate() {
        for form in FORMS {
            let x = Cloud::new(&X, width, at).rounded(form);
            let y = Cloud::new(&Y, width, at + 20).rounded(form);
            let (sent_x, sent_y) = (x.send(&stream, form), y.send(&stream, form));
            let got = nst(&sent_x.ragged(), &sent_y.ragged()).unwrap();
            let host = nst(&x.host(), &y.host()).unwrap();
            let grads = [got.grad_x.to_vec().unwrap(), got.grad_y.to_vec().unwrap()];
            let again = nst(&sent_x.ragged(), &sent_y.ragged()).unwrap();
            assert_eq!((&grads[0], &got.value), (&again.grad_x.to_vec().unwrap(), &again.value));
            for k in 0..x.items() {
                let place = format!("D {width}, {form:?}, item {k}");
                let want = twin::nst(&wide(x.item(k)), &wide(y.item(k)), width);
                // Terms are about 1; rows of bf16 are rounded to half an ulp before they are squared.
                let bound = if form == Form::Half { 2e-2 } else { 2e-6 };
                let value = got.value[k];
                assert!((value - want.value).abs() <= bound, "{place}: {value} {}", want.value);
                let bound = if form == Form::Half { 2e-2 } else { 1e-6 };
                assert!((value - host.value[k]).abs() <= bound, "{place}: {value}");
                for (side, cloud, want) in [(0, &x, want.grad_x), (1, &y, want.grad_y)] {
                    let rows = cloud.offsets[k] * width..cloud.offsets[k + 1] * width;
                    let (worst, _) = apart(&grads[side][rows], &want);
                    // A slope is a unit row's, over the length of the row.
                    let lengths = cloud.item(k);
                    let shortest = lengths
                        .rows()
                        .into_iter()
                        .map(|row| row.iter().map(|v| v * v).sum::<f32>().sqrt())
                        .fold(f32::INFINITY, f32::min);
                    let unit = if form == Form::Half { 4e-2 } else { 4e-6 };
                    let bound = unit / f64::from(shortest);
                    assert!(
                        worst <= bound,
                        "{place}, side {side}: off by {worst:.2e}, {bound:.2e}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_of_zeros_takes_no_gradient_and_nan_stays_in_its_item() {
    let Some(stream) = stream() else { return };
    for form in [Form::Gaps, Form::Half] {
        let mut x = Cloud::new(&[4, 5], 6, 1).rounded(form);
        let y = Cloud::new(&[3, 3], 6, 2).rounded(form);
        x.points.row_mut(2).fill(0.0);
        x.points[[7, 1]] = f32::NAN;
        let (sent_x, sent_y) = (x.send(&stream, form), y.send(&stream, form));
        let got = nst(&sent_x.ragged(), &sent_y.ragged()).unwrap();
        let grad = got.grad_x.to_vec().unwrap();
        assert!(got.value[0].is_finite() && got.value[1].is_nan(), "{form:?}");
        assert_eq!(grad[12..18], [0.0; 6], "{form:?}");
        assert!(grad[..24].iter().all(|g| g.is_finite()), "{form:?}");
        assert!(grad[24..].iter().any(|g| g.is_nan()), "{form:?}");
    }
}

#[test]
fn equal_neurons_transfer_nothing() {
    let Some(stream) = stream() else { return };
    for form in FORMS {
        let cloud = Cloud::new(&[33, 2], 21, 3).rounded(form);
        let sent = cloud.send(&stream, form);
        let got = nst(&sent.ragged(), &sent.ragged()).unwrap();
        assert!(got.value.iter().all(|value| value.abs() < 1e-6), "{form:?}: {:?}", got.value);
        let refused = nst(&sent.ragged(), &Cloud::new(&[35], 21, 3).send(&stream, form).ragged());
        let error = refused.unwrap_err();
        assert_eq!(error.to_string(), "nst: y has 1 items, expected the 2 of x");
    }
}
