//! A pair's result does not depend on what else is in the batch, nor on who takes it.

use align_kernels::pairwise_cost::Pairing;
use align_kernels::sinkhorn::{Acceleration, Fixed, Mode, Options, Output};

use crate::batch::{Cloud, Form};
use crate::device::stream;
use crate::transport::{Case, fixed, only};

/// Sizes of many grids, one of two CTAs, and two that do not fit.
const X: [usize; 10] = [1, 64, 129, 70, 0, 33, 64, 530, 5, 130];
const Y: [usize; 10] = [7, 64, 257, 20, 4, 250, 64, 3, 5, 200];

fn same(got: &Output, k: usize, want: &Output) {
    assert_eq!((got.f_of(k), got.g_of(k)), (&want.f[..], &want.g[..]), "pair {k}");
    assert_eq!(got.iterations[k], want.iterations[0], "pair {k}");
    for (got, want) in [
        (&got.value, &want.value),
        (&got.gap, &want.gap),
        (&got.marginal_error, &want.marginal_error),
    ] {
        assert_eq!(got[k].to_bits(), want[0].to_bits(), "pair {k}");
    }
}

#[test]
fn a_pair_is_the_same_alone_and_among_others() {
    let Some(stream) = stream() else { return };
    let relaxed = Fixed { eps: 0.03, max_iters: 45, tol: 2e-3, ..Fixed::default() };
    for options in
        [fixed(0.03, 31, 2e-3), Options { mode: Mode::Fixed(relaxed), ..Options::default() }]
    {
        let case = Case::new([&X, &Y], 8, Form::Tight, options);
        let got = case.on_device(&stream);
        for k in 0..X.len() {
            let alone = Case {
                x: Cloud { points: case.x.item(k).to_owned(), ..only(&case.x, k) },
                y: Cloud { points: case.y.item(k).to_owned(), ..only(&case.y, k) },
                ..case.clone()
            };
            same(&got, k, &alone.on_device(&stream));
        }
        assert_eq!(got.iterations[4], 0, "a side is empty");
        let unlike: std::collections::HashSet<_> = got.iterations.iter().collect();
        assert!(unlike.len() > 3, "pairs stop one by one: {:?}", got.iterations);
    }
}

#[test]
fn mixed_batches_are_those_of_the_host() {
    let Some(stream) = stream() else { return };
    for reach in [None, Some(0.9)] {
        let fixed = Fixed { eps: 0.1, max_iters: 200, tol: 1e-5, ..Fixed::default() };
        let options = Options { mode: Mode::Fixed(fixed), reach, ..Options::default() };
        let mut case = Case::new([&X, &Y], 8, Form::Gaps, options).with_holes();
        for plan in [false, true] {
            case.options.plan = plan;
            let (got, host) = (case.on_device(&stream), case.on_host());
            for k in 0..X.len() {
                assert!((got.value[k] - host.value[k]).abs() < 3e-6, "pair {k}");
                for (got, host) in got.plan_of(k).iter().zip(host.plan_of(k)) {
                    assert!((got - host).abs() < 2e-5, "pair {k}: {got} {host}");
                }
            }
        }
    }
}

#[test]
fn all_pairs_repeat_bit_for_bit() {
    let Some(stream) = stream() else { return };
    let (x, y) = ([30, 64, 3, 100], [65, 9, 64, 140]);
    let options = Options { pairing: Pairing::AllPairs, ..fixed(0.05, 20, 1e-3) };
    let mut case = Case::new([&x, &y], 8, Form::Half, options);
    let relaxed = Fixed { acceleration: Acceleration::OverRelaxation, ..case.fixed() };
    case.options.mode = Mode::Fixed(relaxed);
    let (first, second) = (case.on_device(&stream), case.on_device(&stream));
    assert_eq!((&first.f, &first.g), (&second.f, &second.g));
    assert_eq!((first.value, first.iterations), (second.value, second.iterations));
}
