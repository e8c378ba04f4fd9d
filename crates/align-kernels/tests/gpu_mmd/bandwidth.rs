//! `median_bandwidth` of points on a device.

use align_kernels::ErrorKind;
use align_kernels::mmd::median_bandwidth;

use crate::batch::{Cloud, FORMS};
use crate::device::stream;

#[test]
fn the_median_is_that_of_the_host() {
    let Some(stream) = stream() else { return };
    for (at, form) in FORMS.into_iter().enumerate() {
        for width in [1, 37] {
            let x = Cloud::new(&[0, 1, 30, 5], width, at).rounded(form);
            let y = Cloud::new(&[3, 1, 11, 0], width, at + 9).rounded(form);
            let (sent_x, sent_y) = (x.send(&stream, form), y.send(&stream, form));
            let got = median_bandwidth(&sent_x.ragged(), &sent_y.ragged()).unwrap();
            let want = median_bandwidth(&x.host(), &y.host()).unwrap();
            assert!((got - want).abs() < 1e-6 * want, "{form:?} {width}: {got} {want}");
        }
    }
}

#[test]
fn many_points_stand_for_the_rest() {
    let Some(stream) = stream() else { return };
    let (x, y) = (Cloud::new(&[700], 2, 1), Cloud::new(&[400], 2, 2));
    let (sent_x, sent_y) = (x.send(&stream, FORMS[0]), y.send(&stream, FORMS[1]));
    let got = median_bandwidth(&sent_x.ragged(), &sent_y.ragged()).unwrap();
    let want = median_bandwidth(&x.host(), &y.host()).unwrap();
    assert!((got - want).abs() < 1e-6 * want, "{got} {want}");
}

#[test]
fn points_without_a_distance_are_refused() {
    let Some(stream) = stream() else { return };
    let (one, none) = (Cloud::new(&[1], 3, 1), Cloud::new(&[0], 3, 1));
    let (sent_one, sent_none) = (one.send(&stream, FORMS[0]), none.send(&stream, FORMS[0]));
    let error = median_bandwidth(&sent_one.ragged(), &sent_none.ragged()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let text = "median_bandwidth: no two points in an item, expected one item of 2 or more";
    assert_eq!(error.to_string(), text);
    let error = median_bandwidth(&sent_one.ragged(), &sent_one.ragged()).unwrap_err();
    assert!(error.to_string().contains("the median distance is 0"), "{error}");
}
