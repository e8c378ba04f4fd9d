//! Values and gradients against the twin, the plain loop and the host.

use align_kernels::mmd::{Estimator, Kernel, Options, mmd};
use align_kernels::reference::mmd as twin;

use crate::batch::{Cloud, FORMS, Form, wide};
use crate::device::stream;
use crate::plain;

/// Lengths around a warp and a tile: sides without points, of one point, and both sides of `D < N + M`.
const X: [usize; 6] = [0, 1, 31, 65, 2, 33];
const Y: [usize; 6] = [7, 2, 64, 130, 1, 32];

const ESTIMATORS: [Estimator; 3] = [Estimator::Biased, Estimator::Unbiased, Estimator::LinearTime];

fn kernels() -> Vec<Options> {
    vec![
        Options::linear(),
        Options::polynomial(1, 0.5),
        Options::polynomial(2, 0.0),
        Options::polynomial(2, 1.0),
        Options::polynomial(3, 0.5),
        Options::polynomial(5, 0.0),
        Options::gaussian(&[1.0]),
        Options::gaussian(&[0.5, 1.0, 2.0, 3.1]),
    ]
}

/// Largest errors of ours and of the plain loop, and the largest value.
#[derive(Default)]
struct Errors {
    ours: f64,
    plain: f64,
    largest: f64,
}

impl Errors {
    fn add(&mut self, got: f64, plain: f64, want: f64) {
        let worse = |worst: f64, gap: f64| if gap <= worst { worst } else { gap };
        self.ours = worse(self.ours, (got - want).abs());
        self.plain = worse(self.plain, (plain - want).abs());
        self.largest = self.largest.max(want.abs());
    }

    #[track_caller]
    fn check(&self, factor: f64, spare: f64, at: &str) {
        let allowed = factor * self.plain + self.largest * f64::from(f32::EPSILON) + spare;
        assert!(
            self.ours <= allowed,
            "{at}: off by {:.2e}, a plain loop by {:.2e}",
            self.ours,
            self.plain
        );
    }
}

/// Terms of a discrepancy are about so large: a unit in the last place is what f32 costs anyway.
fn term(points: &[f64], width: usize, options: &Options) -> f64 {
    let mut slope = vec![0.0; width];
    let own = |p: &[f64]| twin::kernel(p, p, &options.kernel, &mut slope);
    points.chunks(width).map(own).fold(0.0, f64::max)
}

fn check(x: &Cloud, y: &Cloud, form: Form, options: &Options) {
    let Some(stream) = stream() else { return };
    let width = x.width();
    let (sent_x, sent_y) = (x.send(&stream, form), y.send(&stream, form));
    let got = mmd(&sent_x.ragged(), &sent_y.ragged(), options).unwrap();
    let host = mmd(&x.host(), &y.host(), options).unwrap();
    let grads = [got.grad_x.to_vec().unwrap(), got.grad_y.to_vec().unwrap()];
    // Tensor cores are met by bf16 rows that are laid for them, and not by quadruples.
    let rounds = form == Form::Half && options.estimator != Estimator::LinearTime;
    for k in 0..x.items() {
        let at = format!("D {width}, {form:?}, {options:?}, item {k}");
        let (of_x, of_y) = (x.item(k), y.item(k));
        let (of_x, of_y) = (of_x.as_slice().unwrap(), of_y.as_slice().unwrap());
        let want = twin::mmd(&wide(of_x), &wide(of_y), width, options);
        let (value, plain_x, plain_y) = plain::mmd(of_x, of_y, width, options);
        let most = term(&wide(of_x.iter().chain(of_y)), width, options);
        // `ex2` may be 2^-22 off, four times that after two squarings, and always to one side.
        let special = match options.kernel {
            Kernel::Gaussian { .. } => (-20f64).exp2(),
            _ => f64::from(f32::EPSILON),
        };
        let floor = special * most;
        let mut values = Errors::default();
        values.add(got.value[k], f64::from(value), want.value);
        values.check(if rounds { 4.0 } else { 2.0 }, floor, &format!("{at}, value"));
        assert!(
            (got.value[k] - host.value[k]).abs() <= 4e-6 * most,
            "{at}: {}, the host has {}",
            got.value[k],
            host.value[k]
        );
        // Half an ulp of bf16, of everything that is added up.
        let spare = match rounds {
            true => plain::absolute_terms(of_x, of_y, width, options) / 256.0,
            false => floor,
        };
        let mut errors = Errors::default();
        for (side, cloud, plain, want) in
            [(0, x, plain_x, want.grad_x), (1, y, plain_y, want.grad_y)]
        {
            let start = cloud.offsets[k] * width;
            for (d, (plain, want)) in plain.iter().zip(want).enumerate() {
                errors.add(f64::from(grads[side][start + d]), f64::from(*plain), want);
            }
        }
        errors.check(3.0, spare, &format!("{at}, gradient"));
    }
}

#[test]
fn values_and_gradients_are_as_good_as_those_of_a_plain_loop() {
    for (at, width) in [1, 3, 17, 40, 129].into_iter().enumerate() {
        for (which, options) in kernels().into_iter().enumerate() {
            for (turn, estimator) in ESTIMATORS.into_iter().enumerate() {
                let form = FORMS[(at + which + turn) % 4];
                let (x, y) = (Cloud::new(&X, width, at), Cloud::new(&Y, width, at + 20));
                let (x, y) = (x.rounded(form), y.rounded(form));
                check(&x, &y, form, &options.clone().with(estimator));
            }
        }
    }
}

#[test]
fn stacks_of_more_than_a_block_meet_themselves() {
    // 2300 rows: two blocks, of which the first ends inside a side.
    let (x, y) = (Cloud::new(&[3, 1200], 5, 3), Cloud::new(&[2, 1100], 5, 4));
    for (form, options) in [
        (Form::Tight, Options::gaussian(&[1.0, 2f64.sqrt()])),
        (Form::Half, Options::polynomial(3, 1.0).with(Estimator::Unbiased)),
    ] {
        check(&x.clone().rounded(form), &y.clone().rounded(form), form, &options);
    }
}
