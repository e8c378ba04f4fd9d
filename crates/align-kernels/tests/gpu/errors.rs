//! What is refused, and in which words.

use align_kernels::Ragged;
use align_kernels::device::DevicePoints;
use align_kernels::pairwise_cost::{Cost, Pairing, pairwise_cost};
use align_kernels::sinkhorn::{
    Acceleration, Fixed, Mode, Options, Weights, sinkhorn_with_gradient,
};
use gpu_runtime::DeviceBuffer;

use crate::batch::{Cloud, Form};
use crate::device::stream;
use crate::transport::fixed;

#[test]
fn bad_calls_are_refused_in_the_words_of_the_host() {
    let Some(stream) = stream() else { return };
    let good = fixed(0.1, 5, 0.0);
    let clouds = |x: &[usize], y: &[usize], widths: [usize; 2]| {
        (Cloud::new(x, widths[0], 1), Cloud::new(y, widths[1], 2))
    };
    let same = || clouds(&[3, 1], &[2, 2], [4, 4]);
    let anderson = Acceleration::Anderson { memory: 0 };
    let memory = Fixed { acceleration: anderson, ..Fixed::default() };
    let mut table = vec![
        (clouds(&[3], &[3], [4, 5]), good, None),
        (clouds(&[3], &[3], [0, 4]), good, None),
        (clouds(&[3], &[2, 2], [4, 4]), good, None),
        (same(), fixed(-1.0, 5, 0.0), None),
        (same(), fixed(0.1, 5, -1.0), None),
        (same(), Options { reach: Some(0.0), ..good }, None),
        (same(), Options { mode: Mode::Fixed(memory), ..good }, None),
        (same(), good, Some(vec![1.0; 3])),
    ];
    let mut short = same();
    short.0.weights.pop();
    table.push((short, good, None));
    let mut negative = same();
    negative.1.weights[2] = -1.0;
    table.push((negative, good, None));
    for ((x, y), options, upstream) in table {
        let weights = Weights { a: Some(&x.weights), b: Some(&y.weights) };
        let upstream = upstream.as_deref();
        let host = sinkhorn_with_gradient(&x.host(), &y.host(), weights, &options, upstream);
        let host = host.unwrap_err();
        let (x, y) = (x.send(&stream, Form::Tight), y.send(&stream, Form::Tight));
        let error = sinkhorn_with_gradient(&x.ragged(), &y.ragged(), weights, &options, upstream)
            .unwrap_err();
        assert_eq!((error.to_string(), error.kind()), (host.to_string(), host.kind()));
    }
    let (x, y) = clouds(&[3], &[3], [4, 5]);
    let host = pairwise_cost(&x.host(), &y.host(), Cost::Cosine, Pairing::Paired).unwrap_err();
    let (x, y) = (x.send(&stream, Form::Tight), y.send(&stream, Form::Tight));
    let error = pairwise_cost(&x.ragged(), &y.ragged(), Cost::Cosine, Pairing::Paired).unwrap_err();
    assert_eq!(error.to_string(), host.to_string());
    assert_eq!(error.to_string(), "pairwise_cost: y has width 5, expected that of x, 4");
}

#[test]
fn clouds_that_do_not_fit_their_memory_are_refused() {
    let Some(stream) = stream() else { return };
    let buffer = DeviceBuffer::<f32>::zeroed(&stream, 12).unwrap();
    let text = |result: align_kernels::Result<DevicePoints<'_>>| result.unwrap_err().to_string();
    assert_eq!(
        text(DevicePoints::new(&stream, &buffer, 3, 5)),
        "device points: 12 values, expected 3 points of width 5"
    );
    for (count, width, stride) in [(3, 4, 3), (4, 3, 4), (2, 2, usize::MAX)] {
        assert_eq!(
            text(DevicePoints::strided(&stream, &buffer, count, width, stride)),
            format!(
                "device points: 12 values with rows {stride} apart, expected {count} points of width {width}"
            )
        );
    }
    // The last row may end the memory.
    let points = DevicePoints::strided(&stream, &buffer, 3, 2, 5).unwrap();
    let error = Ragged::on_device(points, &[0, 4]).unwrap_err();
    assert_eq!(error.to_string(), "ragged: offsets end with Some(4), expected the 3 points");
}
