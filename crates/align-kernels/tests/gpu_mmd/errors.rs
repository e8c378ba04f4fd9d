//! What is refused, in the words of the host.

use align_kernels::ErrorKind;
use align_kernels::mmd::{Options, median_bandwidth, mmd};

use crate::batch::{Cloud, FORMS};
use crate::device::stream;

#[test]
fn bad_calls_are_refused_in_the_words_of_the_host() {
    let Some(stream) = stream() else { return };
    let same = || (Cloud::new(&[3, 1], 4, 1), Cloud::new(&[2, 2], 4, 2));
    let other = |lengths: &[usize], width| (same().0, Cloud::new(lengths, width, 2));
    let table = [
        (same(), Options::polynomial(0, 0.0), ErrorKind::Option),
        (same(), Options::polynomial(2, -1.0), ErrorKind::Option),
        (same(), Options::gaussian(&[]), ErrorKind::Option),
        (same(), Options::gaussian(&[0.0]), ErrorKind::Option),
        (other(&[2, 2], 5), Options::linear(), ErrorKind::Shape),
        (other(&[4], 4), Options::linear(), ErrorKind::Shape),
    ];
    for ((x, y), options, kind) in table {
        let (sent_x, sent_y) = (x.send(&stream, FORMS[0]), y.send(&stream, FORMS[2]));
        let error = mmd(&sent_x.ragged(), &sent_y.ragged(), &options).unwrap_err();
        let host = mmd(&x.host(), &y.host(), &options).unwrap_err();
        assert_eq!((error.to_string(), error.kind()), (host.to_string(), kind));
    }
    let (x, y) = other(&[2, 2], 5);
    let (sent_x, sent_y) = (x.send(&stream, FORMS[0]), y.send(&stream, FORMS[0]));
    let error = median_bandwidth(&sent_x.ragged(), &sent_y.ragged()).unwrap_err();
    assert_eq!(error.to_string(), "median_bandwidth: y has width 5, expected the 4 of x");
}
