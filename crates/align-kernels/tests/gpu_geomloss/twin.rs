//! Values, potentials and gradients within twice and three times the error of the plain loop.

use align_kernels::pairwise_cost::{Cost, Pairing};
use align_kernels::reference::sinkhorn as twin;
use align_kernels::sinkhorn::{GeomLoss, Mode, Options};

use crate::batch::{Form, wide};
use crate::case::Case;
use crate::device::stream;
use crate::looped::Pair;
use crate::plain::Errors;

/// The twin's options for a case.
pub fn twin_options(options: &Options) -> twin::GeomlossOptions {
    let Mode::GeomLoss(GeomLoss { blur, scaling, diameter }) = options.mode else {
        panic!("another mode")
    };
    let cost = match options.cost {
        Cost::SqEuclidean => twin::PointCost::SqEuclidean,
        Cost::Euclidean => twin::PointCost::Euclidean,
        Cost::Cosine => twin::PointCost::Cosine,
    };
    let Options { reach, debias, .. } = *options;
    twin::GeomlossOptions { cost, blur, scaling, diameter, reach, debias }
}

/// Compares a case on the device with the twin, beside the loop.
pub fn check(case: &Case) {
    let Some(stream) = stream() else { return };
    let (got, grads) = case.on_device(&stream);
    let (options, width) = (twin_options(&case.options), case.x.width());
    let rho = options.reach.map(|reach| reach.powi(options.cost.power()));
    let [mut values, mut potentials, mut points] = [(); 3].map(|()| Errors::default());
    let (mut largest, mut spare) = (0f64, 0f64);
    let sized = |len: usize| (vec![0f64; len], vec![0f32; len]);
    let (mut want_x, mut plain_x) = sized(case.x.points.len());
    let (mut want_y, mut plain_y) = sized(case.y.points.len());
    for (k, weight) in case.upstream().into_iter().enumerate() {
        let (i, j) = case.items(k);
        let (x, a) = (case.x.item(i), case.x.item_weights(i));
        let (y, b) = (case.y.item(j), case.y.item_weights(j));
        let of_x = (&wide(x)[..], &wide(a)[..]);
        let of_y = (&wide(y)[..], &wide(b)[..]);
        let want = twin::geomloss(of_x, of_y, width, options).unwrap();
        let schedule = &want.schedule[..];
        let solve = |x, y| Pair { x, y, kind: case.options.cost, schedule, rho }.solve();
        let mut plain = solve((x, a), (y, b));
        let has_mass = |w: &[f32]| w.iter().any(|&w| w != 0.0);
        if options.debias && has_mass(a) && has_mass(b) {
            let (own_x, own_y) = (solve((x, a), (x, a)), solve((y, b), (y, b)));
            plain.value -= own_x.value / 2.0 + own_y.value / 2.0;
            plain.by_x.iter_mut().zip(own_x.by_x).for_each(|(grad, own)| *grad -= own);
            plain.by_y.iter_mut().zip(own_y.by_x).for_each(|(grad, own)| *grad -= own);
        }
        values.add(got.value[k], f64::from(plain.value), want.value);
        let mut ours = [got.f_of(k).to_vec(), got.g_of(k).to_vec()];
        if rho.is_none() {
            align(&mut ours, &want, [of_x.1, of_y.1]);
            let mut plains = [plain.f, plain.g];
            align(&mut plains, &want, [of_x.1, of_y.1]);
            [plain.f, plain.g] = plains;
        }
        potentials.add_all(&ours[0], &plain.f, &want.f);
        potentials.add_all(&ours[1], &plain.g, &want.g);
        // Rounding of a potential moves a sum by its part over eps.
        let rounding = want.f.iter().chain(&want.g).fold(1.0f64, |most, h| most.max(h.abs()));
        let bound = 2e-6 * (1.0 + rounding / schedule[schedule.len() - 1]);
        let error = (got.marginal_error[k] - want.marginal_error).abs();
        let of = want.marginal_error;
        // Far from convergence a plan may leave the range of f32.
        let is_near = of > 1e30 || error <= bound * (1.0 + of);
        assert!(is_near, "{}, {k}: off by {error:e} of {of:e}", case.name);
        if has_mass(a) && has_mass(b) {
            assert_eq!(got.iterations[k], schedule.len(), "{}, {k}", case.name);
        }
        spare = spare.max(rounding_of_logarithms(schedule, rounding));
        let of_gradients = want.grad_x.iter().chain(&want.grad_y);
        largest = of_gradients.fold(largest, |most, grad| most.max(grad.abs()) * rounding);
        let (at_x, at_y) = (case.x.offsets[i] * width, case.y.offsets[j] * width);
        add(&mut want_x[at_x..], &want.grad_x, f64::from(weight));
        add(&mut want_y[at_y..], &want.grad_y, f64::from(weight));
        let add = |out: &mut [f32], part: &[f32]| {
            out.iter_mut().zip(part).for_each(|(out, part)| *out += weight * part);
        };
        add(&mut plain_x[at_x..], &plain.by_x);
        add(&mut plain_y[at_y..], &plain.by_y);
    }
    points.add_all(&grads.x.to_vec().unwrap(), &plain_x, &want_x);
    points.add_all(&grads.y.to_vec().unwrap(), &plain_y, &want_y);
    let eps = options.blur.powi(options.cost.power());
    potentials.check(2.0, spare, &format!("{}, potentials", case.name));
    values.check(2.0, spare, &format!("{}, values", case.name));
    // Potentials are of single precision: half an ulp of one is a part of eps by which a plan is off. The
    // loop takes the same quotient in and out of its sums, and so is lucky where one term is all.
    let ulps = if eps < 1e-3 { (-23f64).exp2() } else { 0.0 };
    points.check(3.0, largest * (spare + ulps) / eps, &format!("{}, gradients", case.name));
}

/// A logarithm of a sum in units of eps is off by what `ex2` and `lg2` may be; of that of each step half
/// is kept by the next one. After a long way at once sums are far from 1, and their logarithms off by a
/// part of themselves: of what potentials, up to `size`, move.
fn rounding_of_logarithms(schedule: &[f64], size: f64) -> f64 {
    let steps = schedule.iter().fold(schedule[0], |kept, eps| (kept + eps) / 2.0);
    let is_far = schedule.windows(2).any(|pair| pair[0] > 16.0 * pair[1]);
    (-21f64).exp2() * (steps + if is_far { size } else { 0.0 })
}

/// Balanced potentials keep whatever constant moves from `f` to `g`, and no update takes it back: errors
/// of one sign add up there and change nothing else, so that constant is taken out.
fn align([f, g]: &mut [Vec<f32>; 2], want: &twin::Geomloss, [a, b]: [&[f64]; 2]) {
    let lead = |h: &[f32], want: &[f64], weights: &[f64]| -> f64 {
        let off = h.iter().zip(want).map(|(h, want)| f64::from(*h) - want);
        off.zip(weights).map(|(off, w)| off * w).sum()
    };
    let shift = (lead(f, &want.f, a) - lead(g, &want.g, b)) / 2.0;
    let moved = |h: &mut [f32], weights: &[f64], by: f64| {
        for (h, _) in h.iter_mut().zip(weights).filter(|(_, w)| **w != 0.0) {
            *h = (f64::from(*h) - by) as f32;
        }
    };
    moved(f, a, shift);
    moved(g, b, -shift);
}

fn add(sums: &mut [f64], part: &[f64], weight: f64) {
    sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += weight * x);
}

pub fn annealed(blur: f64, scaling: f64, diameter: Option<f64>) -> Options {
    let mode = Mode::GeomLoss(GeomLoss { blur, scaling, diameter });
    Options { mode, ..Options::default() }
}

#[test]
fn results_are_within_the_error_of_a_plain_loop() {
    // Lengths that fill a warp's tile, miss it and leave it; one item meets nothing.
    let x = [0, 1, 2, 31, 65, 33, 64, 130];
    let y = [5, 1, 130, 32, 33, 0, 2, 64];
    let few: [&[usize]; 2] = [&[3, 66, 0], &[1, 33, 65]];
    for cost in [Cost::SqEuclidean, Cost::Cosine, Cost::Euclidean] {
        for (debias, reach) in [(false, None), (true, None), (false, Some(0.7)), (true, Some(0.7))]
        {
            let ask = |options: Options| Options { cost, debias, reach, ..options };
            check(&Case::new("paired", [&x, &y], 17, ask(annealed(0.1, 0.5, None))));
            let options = ask(annealed(0.2, 0.6, Some(1.9)));
            let all = Options { pairing: Pairing::AllPairs, ..options };
            check(&Case::new("given", few, 8, all).of_form(Form::Half));
            let all = Options { pairing: Pairing::AllPairs, ..ask(annealed(0.2, 0.5, None)) };
            check(&Case::new("measured", few, 3, all).of_form(Form::OddHalf));
        }
    }
}
