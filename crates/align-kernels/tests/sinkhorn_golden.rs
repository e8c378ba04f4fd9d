//! The Sinkhorn references against GeomLoss, POT and OTT-JAX themselves, in f64.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failed call should panic")]

mod sinkhorn_cases;

use align_kernels::reference::sinkhorn::{
    Geomloss, GeomlossOptions, PointCost, SolveOptions, cost_matrix, geomloss, gradients,
    point_gradients, solve,
};
use sinkhorn_cases::Case;

/// Complains about every array and value of `case` that is further off than `tolerance`, relative
/// to the largest element where that is above 1.
fn check(
    case: &Case,
    got: &[(&str, &[f64], &[f64])],
    value: f64,
    tolerance: f64,
    faults: &mut Vec<String>,
) {
    if let Some(want) = case.value()
        && ((want - value).abs() > tolerance || value.is_nan())
    {
        faults.push(format!("{case}: value {value}, expected {want}"));
    }
    for (key, array, weights) in got {
        let keep = |k: usize| weights.get(k).is_none_or(|&w| w != 0.0);
        if let Some((error, largest)) = case.difference(key, array, keep)
            && error > tolerance * largest.max(1.0)
        {
            faults.push(format!("{case}: {key} is off by {error:e} of {largest:e}"));
        }
    }
}

#[test]
fn geomloss_agrees_in_value_potentials_and_gradients() {
    let mut faults = Vec::new();
    let cases = Case::of("geomloss");
    assert!(cases.len() > 40, "{} cases", cases.len());
    for case in &cases {
        let c = case.clouds();
        let options = GeomlossOptions {
            cost: case.cost(),
            blur: case.number("blur"),
            scaling: case.number("scaling"),
            diameter: None,
            reach: case.optional("reach"),
            debias: case.flag("debias"),
        };
        let got = geomloss((&c.x, &c.a), (&c.y, &c.b), c.width, options).unwrap();
        let minus = |h: &[f64], own: &[f64]| match own {
            [] => h.to_vec(),
            own => h.iter().zip(own).map(|(h, own)| h - own).collect(),
        };
        let (f, g) = (minus(&got.f, &got.f_self), minus(&got.g, &got.g_self));
        // What its autograd makes of a reach, by the documentation of `geomloss`.
        let eps = got.schedule[got.schedule.len() - 1];
        let rho = options.reach.map(|reach| reach.powi(options.cost.power()));
        let factor = rho.map_or(1.0, |rho| (rho + eps / 2.0) / (rho + eps));
        let shift = if rho.is_some() && !options.debias { eps / 2.0 } else { 0.0 };
        let theirs = |grad: &[f64], shift: f64| -> Vec<f64> {
            grad.iter().map(|x| (x + shift) * factor).collect()
        };
        let (grad_x, grad_y) = (theirs(&got.grad_x, 0.0), theirs(&got.grad_y, 0.0));
        let (grad_a, grad_b) = (theirs(&got.grad_a, shift), theirs(&got.grad_b, shift));
        let arrays: [(&str, &[f64], &[f64]); 6] = [
            ("f", &f, &c.a),
            ("g", &g, &c.b),
            ("grad_x", &grad_x, &[]),
            ("grad_y", &grad_y, &[]),
            ("grad_a", &grad_a, &c.a),
            ("grad_b", &grad_b, &c.b),
        ];
        check(case, &arrays, got.value, 1e-9, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn fixed(library: &str, tolerance: f64) {
    let mut faults = Vec::new();
    let cases = Case::of(library);
    assert!(cases.len() > 10, "{} cases", cases.len());
    for case in &cases {
        let c = case.clouds();
        let (max_iters, tol) = match case.whole("iterations") {
            0 => (300_000, 1e-12),
            exactly => (exactly, 0.0),
        };
        let (eps, rho) = (case.number("eps"), case.optional("rho"));
        let options = SolveOptions { eps, max_iters, tol, rho };
        let cost = cost_matrix(case.cost(), &c.x, &c.y, c.width).unwrap();
        let got = solve(&cost, &c.a, &c.b, options).unwrap();
        let of = gradients(&got, &cost, &c.a, &c.b, options).unwrap();
        let (x, y) = point_gradients(case.cost(), &c.x, &c.y, c.width, &of.cost).unwrap();
        let arrays: [(&str, &[f64], &[f64]); 3] =
            [("plan", &got.plan, &[]), ("grad_x", &x, &[]), ("grad_y", &y, &[])];
        check(case, &arrays, got.value, tolerance, &mut faults);
        if tol > 0.0 && got.gap().abs() > 1e-9 {
            faults.push(format!("{case}: gap {:e} after {} iterations", got.gap(), got.iterations));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pot_agrees_in_plans_after_few_iterations_and_at_convergence() {
    fixed("pot", 1e-9);
}

#[test]
fn ott_agrees_in_values_plans_and_gradients() {
    fixed("ott", 1e-9);
}

/// `geomloss` of points of two dimensions, uniform weights.
fn at(x: &[f64], y: &[f64], options: GeomlossOptions) -> Geomloss {
    let uniform = |n: usize| vec![1.0 / n as f64; n];
    let (a, b) = (uniform(x.len() / 2), uniform(y.len() / 2));
    geomloss((x, &a), (y, &b), 2, options).unwrap()
}

#[test]
fn three_points_against_two_give_the_published_values_and_schedules() {
    let (x, y) = ([0.0, 0.0, 1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 2.0, 0.0]);
    let moved: Vec<f64> = x.iter().zip([3.0, 4.0].iter().cycle()).map(|(x, v)| x + v).collect();
    for (blur, schedule, debiased, biased, shifted) in [
        (0.5, &[5.0, 5.0, 1.25, 0.3125, 0.25][..], 0.7481201295, 0.9480979220, 12.5000000844),
        (
            0.05,
            &[5.0, 5.0, 1.25, 0.3125, 0.078125, 0.01953125, 0.0048828125, 0.0025],
            0.8309064290,
            0.8331461283,
            12.5,
        ),
    ] {
        let options = GeomlossOptions { blur, ..Default::default() };
        let got = at(&x, &y, options);
        assert_eq!(got.schedule.len(), schedule.len());
        assert!(got.schedule.iter().zip(schedule).all(|(g, s)| (g - s).abs() < 1e-12 * s.max(1.0)));
        // The vectors are printed with ten digits.
        assert!((got.value - debiased).abs() < 1e-10, "{}", got.value);
        let raw = at(&x, &y, GeomlossOptions { debias: false, ..options }).value;
        assert!((raw - biased).abs() < 1e-10, "{raw}");
        let apart = at(&x, &moved, options).value;
        assert!((apart - shifted).abs() < 1e-10, "{apart}");
    }
}

#[test]
fn the_vectors_of_wasserstein_info_nce_are_met() {
    let text = [&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0][..], &[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]];
    let speech =
        [&[1.0, 0.2, 0.0, 0.1, 1.0, 0.0, 0.5, 0.5, 0.0][..], &[0.0, 0.1, 1.0, 1.0, 1.0, 0.8]];
    for (blur, distances, text_to_speech, speech_to_text) in [
        (0.05, [0.09917513, 0.64251941, 0.60869925, 0.00501307], 0.0033723574, 0.0039046026),
        (0.5, [0.05652702, 0.51434658, 0.49972029, 0.0046192], 0.0086361689, 0.0089580585),
    ] {
        let uniform = |points: &[f64]| vec![3.0 / points.len() as f64; points.len() / 3];
        let options = GeomlossOptions { cost: PointCost::Cosine, blur, ..Default::default() };
        let of = |t: &[f64], s: &[f64]| {
            geomloss((t, &uniform(t)), (s, &uniform(s)), 3, options).unwrap().value
        };
        let got: Vec<f64> = text.iter().flat_map(|t| speech.iter().map(|s| of(t, s))).collect();
        for (got, want) in got.iter().zip(distances) {
            assert!((got - want).abs() < 1e-8, "{got}, expected {want}");
        }
        let info_nce =
            |own: usize, other: usize| (1.0 + ((got[own] - got[other]) / 0.1).exp()).ln();
        let rows = (info_nce(0, 1) + info_nce(3, 2)) / 2.0;
        let columns = (info_nce(0, 2) + info_nce(3, 1)) / 2.0;
        assert!((rows - text_to_speech).abs() < 1e-9, "{rows}");
        assert!((columns - speech_to_text).abs() < 1e-9, "{columns}");
    }
}
