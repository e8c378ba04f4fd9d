//! Every mode against the host path.

use align_kernels::GradientSides;
use align_kernels::pairwise_cost::{Cost, Pairing};
use align_kernels::sinkhorn::{Mode, Options};
use gpu_runtime::DeviceBuffer;

use crate::batch::Form;
use crate::case::{Case, all};
use crate::device::stream;

/// Ragged, with empty items, and an item of `x` that meets nothing.
const X: [usize; 5] = [3, 0, 33, 1, 2];
const Y: [usize; 5] = [34, 4, 31, 1, 0];
const FEW_X: [usize; 3] = [3, 0, 9];
const FEW_Y: [usize; 4] = [5, 17, 0, 2];

#[track_caller]
fn close(at: &str, got: &[f32], want: &[f32], bound: f32) {
    assert_eq!(got.len(), want.len(), "{at}");
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= bound * (1.0 + want.abs()), "{at}: {k}: {got} {want}");
    }
}

fn check(case: &Case) {
    let Some(stream) = stream() else { return };
    let at = &case.name[..];
    let (got, grads) = case.on_device(&stream);
    let (want, want_grads) = case.on_host();
    for k in 0..case.pairs() {
        let items = case.items(k);
        let near = |what: &str, got: f64, want: f64| {
            assert!(
                (got - want).abs() <= 2e-5 * (1.0 + want.abs()),
                "{at}, {items:?}: {what} {got} {want}"
            );
        };
        near("value", got.value[k], want.value[k]);
        near("gap", got.gap[k], want.gap[k]);
        near("error", got.marginal_error[k], want.marginal_error[k]);
        // Whether an error of 0 is met exactly depends on rounding.
        let is_met = want.marginal_error[k].min(got.marginal_error[k]) < 1e-5;
        assert!(is_met || got.iterations[k] == want.iterations[k], "{at}, {k}");
    }
    close(&format!("{at}: f"), &got.f, &want.f, 2e-5);
    close(&format!("{at}: g"), &got.g, &want.g, 2e-5);
    close(&format!("{at}: plan"), &got.plan, &want.plan, 2e-5);
    close(&format!("{at}: projected x"), &got.projected_x, &want.projected_x, 5e-5);
    close(&format!("{at}: projected y"), &got.projected_y, &want.projected_y, 5e-5);
    let flat = |grad: &ndarray::Array2<f32>| grad.iter().copied().collect::<Vec<f32>>();
    close(&format!("{at}: by x"), &grads.x.to_vec().unwrap(), &flat(&want_grads.x), 5e-5);
    close(&format!("{at}: by y"), &grads.y.to_vec().unwrap(), &flat(&want_grads.y), 5e-5);
    close(&format!("{at}: by a"), &grads.a, &want_grads.a, 5e-5);
    close(&format!("{at}: by b"), &grads.b, &want_grads.b, 5e-5);
    let (eps, want_eps) = (grads.eps, want_grads.eps);
    assert!((eps - want_eps).abs() < 2e-4 * (1.0 + want_eps.abs()), "{at}: {eps} {want_eps}");
}

#[test]
fn every_mode_is_that_of_the_host() {
    for case in all([&X, &Y], 5, Pairing::Paired) {
        check(&case);
    }
    for case in all([&FEW_X, &FEW_Y], 9, Pairing::AllPairs) {
        check(&case.of_form(Form::OddHalf));
    }
}

/// Two blocks of two items of `x` and two of `y`; one meets nothing.
#[test]
fn pairs_by_blocks_are_those_of_the_host() {
    let lengths: [&[usize]; 2] = [&[3, 9, 1, 33], &[5, 0, 34, 2]];
    for case in all(lengths, 9, Pairing::Blocks(2)).into_iter().step_by(5) {
        // Plans of bf16 points are rounded in this mode, which the program `gpu` has a yardstick for.
        let Options { mode, cost, debias, .. } = case.options;
        let is_rounded = matches!(mode, Mode::Fixed(_)) && cost == Cost::SqEuclidean && !debias;
        check(&case.of_form(if is_rounded { Form::Tight } else { Form::Half }));
    }
}

#[test]
fn gradients_of_one_side_are_its_half_of_both() {
    let Some(stream) = stream() else { return };
    for case in all([&FEW_X, &FEW_Y], 5, Pairing::AllPairs).into_iter().step_by(7) {
        let of = |gradients| {
            let mut case = case.clone();
            case.options.gradients = gradients;
            case.on_device(&stream)
        };
        let (_, both) = of(GradientSides::Both);
        let ((_, by_x), (_, by_y)) = (of(GradientSides::X), of(GradientSides::Y));
        let bits = |grad: &DeviceBuffer<f32>| -> Vec<u32> {
            grad.to_vec().unwrap().into_iter().map(f32::to_bits).collect()
        };
        let at = &case.name;
        assert_eq!((bits(&by_x.x), &by_x.a), (bits(&both.x), &both.a), "{at}");
        assert_eq!((bits(&by_y.y), &by_y.b), (bits(&both.y), &both.b), "{at}");
        assert_eq!((by_x.eps, by_y.eps), (both.eps, both.eps), "{at}");
        assert!(by_x.y.is_empty() && by_x.b.is_empty(), "{at}");
        assert!(by_y.x.is_empty() && by_y.a.is_empty(), "{at}");
    }
}
