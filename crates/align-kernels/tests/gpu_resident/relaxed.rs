//! Over-relaxation goes the way of the host.

use align_kernels::sinkhorn::{Acceleration, Fixed, Mode, Options};

use crate::batch::Form;
use crate::device::stream;
use crate::transport::Case;

const X: [usize; 4] = [31, 64, 65, 100];
const Y: [usize; 4] = [33, 40, 130, 60];

#[test]
fn it_takes_as_many_iterations_as_on_the_host() {
    let Some(stream) = stream() else { return };
    for (eps, reach) in [(0.02, None), (0.05, None), (0.02, Some(1.0))] {
        let fixed = Fixed { eps, max_iters: 600, tol: 2e-4, ..Fixed::default() };
        let options = Options { mode: Mode::Fixed(fixed), reach, ..Options::default() };
        let mut case = Case::new([&X, &Y], 8, Form::Tight, options).with_holes();
        let (got, host) = (case.on_device(&stream), case.on_host());
        let plain = Fixed { acceleration: Acceleration::Plain, ..fixed };
        case.options.mode = Mode::Fixed(plain);
        let plain = case.on_device(&stream);
        for k in 0..X.len() {
            let (ours, theirs) = (got.iterations[k] as f64, host.iterations[k] as f64);
            // A factor set from a rate that rounding has touched is a little off, and the way from there.
            assert!((ours - theirs).abs() <= 3.0 + 0.15 * theirs, "{eps} {k}: {ours} {theirs}");
            assert!(got.iterations[k] <= plain.iterations[k], "pair {k}");
            assert!((got.value[k] - host.value[k]).abs() < 1e-5, "pair {k}");
            assert!(got.marginal_error[k] < 3e-4, "pair {k}: {}", got.marginal_error[k]);
        }
        let total = |iterations: &[usize]| iterations.iter().sum::<usize>();
        let (ours, plain) = (total(&got.iterations), total(&plain.iterations));
        assert!(ours * 10 < plain * 9, "{eps}: {ours} {plain}");
    }
}

#[test]
fn anderson_is_taken_for_over_relaxation() {
    let Some(stream) = stream() else { return };
    let run = |acceleration| {
        let fixed = Fixed { eps: 0.03, max_iters: 100, tol: 1e-3, acceleration };
        let options = Options { mode: Mode::Fixed(fixed), ..Options::default() };
        Case::new([&X, &Y], 8, Form::Tight, options).on_device(&stream)
    };
    let relaxed = run(Acceleration::OverRelaxation);
    let anderson = run(Acceleration::Anderson { memory: 5 });
    assert_eq!((relaxed.f, relaxed.iterations), (anderson.f, anderson.iterations));
}
