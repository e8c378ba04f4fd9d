//! What GeomLoss 0.3.1 itself computed, in f64, from clouds that are exact in f32.

use align_kernels::Ragged;
use align_kernels::device::DevicePoints;
use align_kernels::pairwise_cost::Cost;
use align_kernels::reference::sinkhorn::PointCost;
use align_kernels::sinkhorn::{GeomLoss, Mode, Options, Weights, sinkhorn_with_gradient};
use gpu_runtime::DeviceBuffer;

use crate::device::stream;
use crate::sinkhorn_cases::Case;

#[test]
fn values_and_gradients_are_those_of_geomloss() {
    let Some(stream) = stream() else { return };
    let mut faults = Vec::new();
    for case in Case::of("geomloss") {
        let c = case.clouds();
        let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (a, b) = (narrow(&c.a), narrow(&c.b));
        let send = |values: &[f64]| DeviceBuffer::from_slice(&stream, &narrow(values)).unwrap();
        let (x, y) = (send(&c.x), send(&c.y));
        let points = |values, count| DevicePoints::new(&stream, values, count, c.width).unwrap();
        let x = Ragged::single_on_device(points(&x, a.len()));
        let y = Ragged::single_on_device(points(&y, b.len()));
        let (blur, scaling) = (case.number("blur"), case.number("scaling"));
        let options = Options {
            cost: match case.cost() {
                PointCost::SqEuclidean => Cost::SqEuclidean,
                PointCost::Euclidean => Cost::Euclidean,
                PointCost::Cosine => Cost::Cosine,
            },
            mode: Mode::GeomLoss(GeomLoss { blur, scaling, diameter: None }),
            reach: case.optional("reach"),
            debias: case.flag("debias"),
            ..Options::default()
        };
        let weights = Weights { a: Some(&a), b: Some(&b) };
        let (output, grads) = sinkhorn_with_gradient(&x, &y, weights, &options, None).unwrap();
        // What its autograd makes of a reach, by the documentation of the twin.
        let eps = blur.powi(options.cost.power());
        let rho = options.reach.map(|reach| reach.powi(options.cost.power()));
        let factor = rho.map_or(1.0, |rho| (rho + eps / 2.0) / (rho + eps));
        // Potentials of single precision: their ulps over the temperature move plans.
        let spread = 8.0 * f64::from(f32::EPSILON);
        let bound = (spread / eps).max(spread) + 2e-6;
        if let Some(want) = case.value()
            // Logarithms of sums in units of eps, off by what `ex2` and `lg2` may be, of three problems;
            // the first eps is that of the diameter.
            && (want - output.value[0]).abs() > 6e-6 * want.abs().max(1.0) + eps * (-20f64).exp2()
        {
            faults.push(format!("{case}: value {}, expected {want}", output.value[0]));
        }
        for (key, got) in [("grad_x", &grads.x), ("grad_y", &grads.y)] {
            let got = got.to_vec().unwrap();
            let got: Vec<f64> = got.iter().map(|&g| f64::from(g) * factor).collect();
            if let Some((error, largest)) = case.difference(key, &got, |_| true)
                && error > bound * largest.max(1.0)
            {
                faults.push(format!("{case}: {key} off by {error:e} of {largest:e}, {bound:e}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
