//! Sizes around those of the grids of warps.

use align_kernels::pairwise_cost::Cost;
use align_kernels::sinkhorn::Options;

use crate::batch::Form;
use crate::device::stream;
use crate::plain::Errors;
use crate::transport::{Case, align, fixed};

/// Alone in its warp, full, past its edge; 1 x 4 warps, full and not; 2 x 4; columns of warps.
const SHAPES: [(usize, usize); 16] = [
    (1, 1),
    (1, 130),
    (130, 1),
    (2, 63),
    (64, 64),
    (65, 64),
    (64, 65),
    (48, 160),
    (64, 256),
    (63, 255),
    (33, 257),
    (128, 256),
    (127, 130),
    (190, 65),
    (512, 64),
    (450, 9),
];

/// Asserts what the tests of smaller pairs do: at most twice the error of a plain loop.
fn check(case: &Case, name: &str) {
    let Some(stream) = stream() else { return };
    let got = case.on_device(&stream);
    let [mut potentials, mut values] = [(); 2].map(|()| Errors::default());
    for k in 0..case.pairs() {
        let (_, want) = case.twin(k);
        let (f, g, _, value) = case.plain(k);
        let (mut ours, mut plains) = ([got.f_of(k).to_vec(), got.g_of(k).to_vec()], [f, g]);
        if case.options.reach.is_none() {
            let weights = [&case.a(k)[..], &case.b(k)];
            align(&mut ours, &want, weights);
            align(&mut plains, &want, weights);
            values.add(got.value[k], f64::from(value), want.value);
        }
        potentials.add_all(&ours[0], &plains[0], &want.f);
        potentials.add_all(&ours[1], &plains[1], &want.g);
        let at = format!("{name}, pair {k}");
        // Whether an error of 0 is met exactly depends on rounding.
        assert!(got.iterations[k] == want.iterations || got.marginal_error[k] < 1e-6, "{at}");
        let close = |got: f64, want: f64| {
            assert!((got - want).abs() <= 2e-5 * (1.0 + want.abs()), "{at}: {got} {want}");
        };
        close(got.marginal_error[k], want.marginal_error);
        close(got.gap[k], want.gap());
    }
    let spare = case.fixed().eps * (-21f64).exp2();
    potentials.check(2.0, spare, &format!("{name}, potentials"));
    values.check(2.0, 0.0, &format!("{name}, values"));
}

fn shaped(shapes: &[(usize, usize)], form: Form, options: Options) -> Case {
    let (x, y): (Vec<usize>, Vec<usize>) = shapes.iter().copied().unzip();
    Case::new([&x, &y], 5, form, options)
}

#[test]
fn every_size_is_within_twice_the_error_of_a_plain_loop() {
    check(&shaped(&SHAPES, Form::Tight, fixed(0.05, 5, 0.0)), "sizes");
}

#[test]
fn pairs_of_two_ctas_are_as_exact() {
    let some = [(128, 512), (100, 300), (250, 256), (3, 600), (500, 70)];
    check(&shaped(&some, Form::Tight, fixed(0.05, 4, 0.0)), "two CTAs");
    let reach = Options { reach: Some(0.7), ..fixed(0.1, 5, 1e-4) };
    check(&shaped(&some[1..4], Form::Half, reach).with_holes(), "two CTAs, reach");
}

#[test]
fn points_without_weight_are_not_used_whatever_the_size() {
    let some = [(65, 130), (64, 256), (128, 65), (200, 3), (31, 33)];
    check(&shaped(&some, Form::Gaps, fixed(0.05, 7, 0.0)).with_holes(), "holes");
    let reach = Options { reach: Some(0.7), ..fixed(0.1, 9, 0.0) };
    check(&shaped(&some, Form::Half, reach).with_holes(), "reach");
    let cost = Options { cost: Cost::Cosine, ..fixed(0.1, 6, 0.0) };
    check(&shaped(&some, Form::Gaps, cost).with_holes(), "cosine");
}

#[test]
fn no_iteration_leaves_potentials_at_zero() {
    let Some(stream) = stream() else { return };
    let case = shaped(&[(3, 70), (65, 2)], Form::Tight, fixed(1e-3, 0, 0.0));
    let got = case.on_device(&stream);
    assert!(got.f.iter().chain(&got.g).all(|h| h.to_bits() == 0));
    assert_eq!(got.iterations, [0, 0]);
    for k in 0..2 {
        let (_, want) = case.twin(k);
        assert!((got.marginal_error[k] - want.marginal_error).abs() < 1e-6);
        assert!((got.value[k] - want.value).abs() < 1e-6);
    }
}
