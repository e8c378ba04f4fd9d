//! Reference InfoNCE between clouds. Twin of
//! [`crate::wasserstein_info_nce`](mod@crate::wasserstein_info_nce).
//!
//! Two other references, one after the other: a divergence for every pair, then InfoNCE of the negated
//! divergences, whose slopes weight the gradients of each pair.

use super::info_nce::of_similarities;
use super::sinkhorn::{
    GeomlossOptions, PointCost, SolveOptions, cost_matrix, divergence, geomloss, gradients,
    point_gradients, solve,
};
use crate::error::Result;
use crate::info_nce::Options;
use crate::info_nce::options::Extent;

/// Points `(n, D)` and their weights `(n,)`.
pub type Cloud<'a> = (&'a [f64], &'a [f64]);

/// How far two clouds are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transport {
    /// [`geomloss`].
    GeomLoss(GeomlossOptions),
    /// [`solve`] at one temperature, or [`divergence`].
    Fixed {
        /// Cost between points.
        cost: PointCost,
        /// Temperature and when to stop.
        solve: SolveOptions,
        /// Whether it is the divergence.
        debias: bool,
    },
}

/// Value and gradients of InfoNCE between clouds.
#[derive(Debug, Clone)]
pub struct WassersteinInfoNce {
    /// The loss.
    pub value: f64,
    /// Between item `i` of `x` and item `j` of `y`, `(B_x, B_y)`; NaN where one takes no part.
    pub divergence: Vec<f64>,
    /// Gradient with respect to the points of each item of `x`.
    pub grad_x: Vec<Vec<f64>>,
    /// Gradient with respect to the points of each item of `y`.
    pub grad_y: Vec<Vec<f64>>,
    /// Gradient with respect to the weights of each item of `x`.
    pub grad_a: Vec<Vec<f64>>,
    /// Gradient with respect to the weights of each item of `y`.
    pub grad_b: Vec<Vec<f64>>,
    /// Gradient with respect to the temperature of transport; 0 with [`Transport::GeomLoss`], whose
    /// reference has none.
    pub grad_eps: f64,
    /// Gradient with respect to the temperature of the softmax.
    pub grad_temperature: f64,
}

/// InfoNCE of clouds `x` against clouds `y` of points of `width`; formula and conventions are at
/// [`wasserstein_info_nce`](fn@crate::wasserstein_info_nce::wasserstein_info_nce).
///
/// # Errors
///
/// As there.
pub fn wasserstein_info_nce(
    x: &[Cloud<'_>],
    y: &[Cloud<'_>],
    width: usize,
    transport: Transport,
    options: &Options<'_>,
) -> Result<WassersteinInfoNce> {
    let (n, m) = (x.len(), y.len());
    options.check(n, m, Extent::Whole)?;

    // 1. Who takes part.
    let has_mass = |(_, weights): &Cloud<'_>| weights.iter().any(|&w| w != 0.0);
    let columns: Vec<bool> = (0..m).map(|j| options.has_column(j) && has_mass(&y[j])).collect();
    let has_partner = |i: usize| options.partner(i, m).is_some_and(|j| columns[j]);
    let has_row =
        |i: usize| options.has_row(i) && has_mass(&x[i]) && (options.symmetric || has_partner(i));
    let rows: Vec<bool> = (0..n).map(has_row).collect();

    // 2. A divergence for every pair.
    let mut pairs = Vec::new();
    for (i, &x) in x.iter().enumerate() {
        for (j, &y) in y.iter().enumerate() {
            let takes_part = rows[i] && columns[j];
            pairs.push(if takes_part { Some(apart(x, y, width, transport)?) } else { None });
        }
    }
    let value = |pair: &Option<Apart>| pair.as_ref().map_or(f64::NAN, |pair| pair.value);
    let divergence: Vec<f64> = pairs.iter().map(value).collect();

    // 3. InfoNCE of what is near.
    let similarities: Vec<f64> = divergence.iter().map(|s| -s).collect();
    let masked = Options { row_mask: Some(&rows), column_mask: Some(&columns), ..*options };
    let softmax = of_similarities(&similarities, m, &masked)?;

    // 4. Its slopes, times what moves each divergence.
    let zeros = |clouds: &[Cloud<'_>], of: fn(&Cloud<'_>) -> usize| -> Vec<Vec<f64>> {
        clouds.iter().map(|cloud| vec![0.0; of(cloud)]).collect()
    };
    let (points, weights) = (|cloud: &Cloud<'_>| cloud.0.len(), |cloud: &Cloud<'_>| cloud.1.len());
    let mut out = WassersteinInfoNce {
        value: softmax.value,
        divergence,
        grad_x: zeros(x, points),
        grad_y: zeros(y, points),
        grad_a: zeros(x, weights),
        grad_b: zeros(y, weights),
        grad_eps: 0.0,
        grad_temperature: softmax.grad_temperature,
    };
    for (k, pair) in pairs.iter().enumerate() {
        let Some(pair) = pair else { continue };
        let (i, j, slope) = (k / m, k % m, -softmax.grad[k]);
        for (to, from) in [
            (&mut out.grad_x[i], &pair.grad_x),
            (&mut out.grad_y[j], &pair.grad_y),
            (&mut out.grad_a[i], &pair.grad_a),
            (&mut out.grad_b[j], &pair.grad_b),
        ] {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += slope * from);
        }
        out.grad_eps += slope * pair.grad_eps;
    }
    Ok(out)
}

/// How far two clouds are apart, and what moves that.
struct Apart {
    value: f64,
    grad_x: Vec<f64>,
    grad_y: Vec<f64>,
    grad_a: Vec<f64>,
    grad_b: Vec<f64>,
    grad_eps: f64,
}

fn apart(x: Cloud<'_>, y: Cloud<'_>, width: usize, transport: Transport) -> Result<Apart> {
    match transport {
        Transport::GeomLoss(options) => {
            let of = geomloss(x, y, width, options)?;
            let (grad_x, grad_y, grad_a, grad_b) = (of.grad_x, of.grad_y, of.grad_a, of.grad_b);
            Ok(Apart { value: of.value, grad_x, grad_y, grad_a, grad_b, grad_eps: 0.0 })
        }
        Transport::Fixed { cost, solve: options, debias: true } => {
            let of = divergence(cost, x, y, width, options)?;
            let (grad_x, grad_y, grad_a, grad_b) = (of.grad_x, of.grad_y, of.grad_a, of.grad_b);
            Ok(Apart { value: of.value, grad_x, grad_y, grad_a, grad_b, grad_eps: of.grad_eps })
        }
        Transport::Fixed { cost, solve: options, debias: false } => {
            let matrix = cost_matrix(cost, x.0, y.0, width)?;
            let solution = solve(&matrix, x.1, y.1, options)?;
            let of = gradients(&solution, &matrix, x.1, y.1, options)?;
            let (grad_x, grad_y) = point_gradients(cost, x.0, y.0, width, &of.cost)?;
            let (grad_a, grad_b) = (of.a, of.b);
            Ok(Apart { value: solution.value, grad_x, grad_y, grad_a, grad_b, grad_eps: of.eps })
        }
    }
}

#[cfg(test)]
mod tests {
    use cpu_math::testing::ramp;

    use super::*;

    const WIDTH: usize = 3;

    /// All inputs in one list: points of `x` and `y`, then weights, then `eps` and the temperature.
    struct Inputs {
        at: Vec<f64>,
        counts: [Vec<usize>; 2],
    }

    impl Inputs {
        fn new() -> Self {
            let counts = [vec![2, 3, 1], vec![3, 1, 2, 2]];
            let total: usize = counts.iter().flatten().sum();
            let mut at = ramp::<f64>(total * WIDTH, 1);
            for n in counts.iter().flatten() {
                // Sums of 1 to begin with; a single weight is then moved off by a finite difference.
                let raw: Vec<f64> = (0..*n).map(|i| 1.0 + i as f64 / 2.0).collect();
                let sum: f64 = raw.iter().sum();
                at.extend(raw.iter().map(|w| w / sum));
            }
            at.extend([0.2, 0.3]);
            Self { at, counts }
        }

        /// Loss at `at`, which is laid out as `self.at`.
        fn run(&self, at: &[f64], rho: Option<f64>, options: &Options<'_>) -> WassersteinInfoNce {
            let total: usize = self.counts.iter().flatten().sum();
            let (points, rest) = at.split_at(total * WIDTH);
            let (weights, scalars) = rest.split_at(total);
            let mut start = 0;
            let [x, y] = self.counts.each_ref().map(|counts| -> Vec<Cloud<'_>> {
                let mut cloud = |n: usize| {
                    let range = start..start + n;
                    start = range.end;
                    (&points[range.start * WIDTH..range.end * WIDTH], &weights[range])
                };
                counts.iter().map(|&n| cloud(n)).collect()
            });
            let solve = SolveOptions { eps: scalars[0], max_iters: 20_000, tol: 1e-13, rho };
            let transport = Transport::Fixed { cost: PointCost::SqEuclidean, solve, debias: true };
            let options = Options { temperature: scalars[1], ..*options };
            wasserstein_info_nce(&x, &y, WIDTH, transport, &options).unwrap()
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let inputs = Inputs::new();
        let (row_mask, column_mask) = ([true, false, true], [true, true, true, false]);
        // Unbalanced problems take weights of any sum, so that each weight can be moved alone.
        for (symmetric, masked) in [(false, false), (true, false), (true, true), (false, true)] {
            let options = Options {
                symmetric,
                positive_offset: 1,
                row_mask: masked.then_some(&row_mask[..]),
                column_mask: masked.then_some(&column_mask[..]),
                ..Options::default()
            };
            let out = inputs.run(&inputs.at, Some(0.8), &options);
            let mut got = [out.grad_x.concat(), out.grad_y.concat()].concat();
            got.extend([out.grad_a.concat(), out.grad_b.concat()].concat());
            got.extend([out.grad_eps, out.grad_temperature]);
            let step = 1e-5;
            for (k, got) in got.iter().enumerate() {
                let moved = |by: f64| {
                    let mut at = inputs.at.clone();
                    at[k] += by;
                    inputs.run(&at, Some(0.8), &options).value
                };
                let want = (moved(step) - moved(-step)) / (2.0 * step);
                // The step's square times third derivatives, which go with 1 / temperature^3.
                let tolerance = 2e-7 * (1.0 + want.abs());
                assert!((got - want).abs() < tolerance, "{symmetric} {masked} {k}: {got} {want}");
            }
        }
    }

    #[test]
    fn the_printed_vectors_are_met_in_both_directions() {
        let text: [&[f64]; 2] = [&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], &[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]];
        let speech: [&[f64]; 2] =
            [&[1.0, 0.2, 0.0, 0.1, 1.0, 0.0, 0.5, 0.5, 0.0], &[0.0, 0.1, 1.0, 1.0, 1.0, 0.8]];
        let (half, third) = ([0.5; 2], [1.0 / 3.0; 3]);
        let text = text.map(|points| (points, &half[..]));
        let speech = [(speech[0], &third[..]), (speech[1], &half[..])];
        for (blur, want) in
            [(0.05, [0.0033723574, 0.0039046026]), (0.5, [0.0086361689, 0.0089580585])]
        {
            let geomloss = GeomlossOptions { cost: PointCost::Cosine, blur, ..Default::default() };
            let run = |x: &[Cloud<'_>], y: &[Cloud<'_>], symmetric: bool| {
                let options = &Options { symmetric, ..Options::default() };
                let transport = Transport::GeomLoss(geomloss);
                wasserstein_info_nce(x, y, 3, transport, options).unwrap().value
            };
            // Printed with ten digits.
            let (there, back) = (run(&text, &speech, false), run(&speech, &text, false));
            assert!((there - want[0]).abs() < 1e-9, "{there}");
            assert!((back - want[1]).abs() < 1e-9, "{back}");
            let both = run(&text, &speech, true);
            assert!((both - (there + back) / 2.0).abs() < 1e-14, "{both}");
        }
    }
}
