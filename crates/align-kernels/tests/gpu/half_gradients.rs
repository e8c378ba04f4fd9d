//! Gradients of bf16 points, whose plans are rounded to bf16: off by that rounding and no more.

use align_kernels::pairwise_cost::Pairing;
use align_kernels::sinkhorn::{Options, sinkhorn_with_gradient};
use gpu_runtime::Stream;

use crate::batch::Form;
use crate::device::stream;
use crate::plain;
use crate::transport::{Case, fixed};

/// A gradient and what it may be off by.
struct Side {
    want: Vec<f64>,
    plain: Vec<f32>,
    /// `sum P |x - y|`: what rounding the plan is relative to.
    size: Vec<f64>,
}

impl Side {
    fn new(len: usize) -> Self {
        Self { want: vec![0.0; len], plain: vec![0.0; len], size: vec![0.0; len] }
    }

    /// Adds what one entry of a plan pulls at one coordinate.
    fn add(&mut self, at: usize, pull: f64) {
        self.want[at] += pull;
        self.size[at] += pull.abs();
    }

    #[track_caller]
    fn check(&self, got: &[f32], name: &str) {
        let off = |values: &[f32]| {
            let pairs = values.iter().zip(&self.want);
            pairs.map(|(value, want)| (f64::from(*value) - want).abs()).collect::<Vec<_>>()
        };
        let plain = off(&self.plain).into_iter().fold(0.0, f64::max);
        for (at, off) in off(got).into_iter().enumerate() {
            // bf16 has 8 bits: the nearest one is off by 2^-8 of a number at most.
            let bound = self.size[at] / 256.0 + 4.0 * plain + 1e-7;
            assert!(
                off <= bound,
                "{name}: {at}: {}, want {}: over {bound:e}",
                got[at],
                self.want[at]
            );
        }
    }
}

/// Checks the gradients of a batch by points.
#[track_caller]
fn check(stream: &Stream, name: &str, case: &Case) -> [Vec<f32>; 2] {
    let upstream: Vec<f32> = (0..case.pairs()).map(|k| 0.4 + k as f32 / 7.0).collect();
    let (sent_x, sent_y) = (case.x.send(stream, case.form), case.y.send(stream, case.form));
    let (x, y, options) = (sent_x.ragged(), sent_y.ragged(), &case.options);
    let (_, grads) =
        sinkhorn_with_gradient(&x, &y, case.weights(), options, Some(&upstream)).unwrap();
    let width = case.x.width();
    let mut of_x = Side::new(case.x.points.len());
    let mut of_y = Side::new(case.y.points.len());
    for (k, &weight) in upstream.iter().enumerate() {
        let (i, j) = case.items(k);
        let (x, y) = (case.x.item(i), case.y.item(j));
        let (at_x, at_y) = (case.x.offsets[i], case.y.offsets[j]);
        let (_, solution) = case.twin(k);
        for (at, &mass) in solution.plan.iter().enumerate().filter(|(_, mass)| **mass != 0.0) {
            let (i, j) = (at / y.nrows(), at % y.nrows());
            for d in 0..width {
                let apart = f64::from(x[[i, d]]) - f64::from(y[[j, d]]);
                let pull = f64::from(weight) * mass * apart;
                of_x.add((at_x + i) * width + d, pull);
                of_y.add((at_y + j) * width + d, -pull);
            }
        }
        let (_, _, plan, _) = case.plain(k);
        let (by_x, by_y) = plain::point_gradients(x, y, &plan);
        let sides = [(&mut of_x, by_x, at_x), (&mut of_y, by_y, at_y)];
        for (side, part, at) in sides {
            let sums = side.plain[at * width..].iter_mut();
            sums.zip(part).for_each(|(sum, part)| *sum += weight * part);
        }
    }
    let got = [grads.x.to_vec().unwrap(), grads.y.to_vec().unwrap()];
    of_x.check(&got[0], name);
    of_y.check(&got[1], name);
    got
}

fn all(options: Options) -> Options {
    Options { pairing: Pairing::AllPairs, ..options }
}

#[test]
fn gradients_are_off_by_the_rounding_of_the_plan() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[65, 0, 1, 31, 2], &[33, 4, 1, 0, 130]];
    let small: [&[usize]; 2] = [&[3, 66, 0, 1], &[1, 0, 33]];
    let blocks: [&[usize]; 2] = [&[3, 66, 1, 9], &[1, 33, 0, 70]];
    let options = fixed(0.1, 8, 0.0);
    let reach = Options { reach: Some(0.6), ..options };
    let half = |lengths, width, options| Case::new(lengths, width, Form::Half, options);
    for (name, case) in [
        ("paired", half(lengths, 64, options).with_holes()),
        ("width 1", half(lengths, 1, options)),
        ("wide", half(lengths, 265, options).with_holes()),
        ("all pairs", half(small, 8, all(options)).with_holes()),
        ("all pairs, wide", half(small, 130, all(options))),
        ("blocks", half(blocks, 8, Options { pairing: Pairing::Blocks(2), ..options })),
        ("all pairs, reach", half(small, 33, all(reach)).with_holes()),
    ] {
        let got = check(&stream, name, &case);
        assert_eq!(got, check(&stream, name, &case), "{name}: other bits");
        let single = Case { form: Form::Gaps, ..case };
        let (x, y) = (single.x.send(&stream, single.form), single.y.send(&stream, single.form));
        let (x, y) = (x.ragged(), y.ragged());
        let (_, grads) =
            sinkhorn_with_gradient(&x, &y, single.weights(), &single.options, None).unwrap();
        assert_ne!(got[0], grads.x.to_vec().unwrap(), "{name}: made in f32");
    }
}

#[test]
fn rounding_does_not_grow_with_the_place_of_the_clouds() {
    let Some(stream) = stream() else { return };
    let mut case = Case::new([&[40, 7], &[50, 66]], 24, Form::Half, all(fixed(0.5, 8, 0.0)));
    // Sixteenths: exact in bf16 up to 16.
    for cloud in [&mut case.x, &mut case.y] {
        cloud.points.mapv_inplace(|x| (x * 16.0).round() / 16.0 + 8.0);
    }
    check(&stream, "far from 0", &case);
}

#[test]
fn weights_of_0_have_gradients_of_0() {
    let Some(stream) = stream() else { return };
    let case = Case::new([&[9, 64], &[70, 3]], 17, Form::Half, fixed(0.1, 5, 0.0)).with_holes();
    let [x, y] = check(&stream, "holes", &case);
    for (cloud, grads) in [(&case.x, x), (&case.y, y)] {
        for (weight, grad) in cloud.weights.iter().zip(grads.chunks(17)) {
            assert!(*weight != 0.0 || grad.iter().all(|value| value.to_bits() == 0));
        }
    }
}
