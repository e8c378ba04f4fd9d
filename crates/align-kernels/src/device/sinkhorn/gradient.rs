//! Gradients by points on the device; those by weights and temperature from sums on the host.

use gpu_runtime::{DeviceBuffer, Launch, args};

use super::numbers::{Numbers, worth};
use super::plan::Sums;
use super::problem::{Problem, Side};
use super::updates::Buffer;
use crate::device::clouds::{Clouds, Form};
use crate::device::points::DevicePoints;
use crate::error::Result;
use crate::registry::GRADIENT;
use crate::sinkhorn::{Call, Pairing};

/// Coordinates of a CTA.
const COORDINATES: u32 = 64;

/// Gradients of `sum_k upstream_k value_k`; those of the points stay on the device.
#[derive(Debug)]
pub struct DeviceGradients {
    /// By the points of `x`, `(N, D)`, rows one after another whatever the stride of the points.
    pub x: DeviceBuffer<f32>,
    /// By the points of `y`, `(M, D)`.
    pub y: DeviceBuffer<f32>,
    /// By the weights of `x`, `(N,)`: exactly 0 at weights of 0.
    pub a: Vec<f32>,
    /// By the weights of `y`, `(M,)`.
    pub b: Vec<f32>,
    /// By the temperature, potentials held: `KL(P | ab)`.
    pub eps: f64,
}

/// The clouds in f32, which the gradients are made of.
pub(super) fn wide<'p>(
    problem: &Problem<'_>,
    clouds: Clouds<'p>,
    x: DevicePoints<'p>,
    y: DevicePoints<'p>,
) -> Result<Clouds<'p>> {
    match clouds.form {
        Form::F32 => Ok(clouds),
        Form::BF16 => Clouds::wide(&problem.session, x, y),
    }
}

/// Gradients of the squared Euclidean cost by the points of `x` and of `y`.
pub(super) fn by_points(
    problem: &Problem<'_>,
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    plan: &Buffer,
    sums: &Sums,
) -> Result<[Buffer; 2]> {
    let session = &problem.session;
    let kernel = session.kernel(&GRADIENT)?;
    let (x_items, y_items) = (call.x.items() as u32, call.y.items() as u32);
    let of_side = |side: Side| {
        let (own, other, own_sums, partner) = match side {
            Side::Rows => (&clouds.x, &clouds.y, &sums.rows, Side::Columns),
            Side::Columns => (&clouds.y, &clouds.x, &sums.columns, Side::Rows),
        };
        // The pairs that an item is in: the first, the step and the count.
        let (first, step, count) = match (call.options.pairing, side) {
            (Pairing::Paired, _) => (1, 0, 1),
            (Pairing::AllPairs, Side::Rows) => (y_items, 1, y_items),
            (Pairing::AllPairs, Side::Columns) => (1, y_items, x_items),
        };
        let mut grad = session.zeros(own.count as usize * clouds.width as usize)?;
        let blocks = problem.block_counts[side as usize];
        let launch = Launch::new([blocks, clouds.width.div_ceil(COORDINATES), 1], [256, 1, 1]);
        let args = args![
            &mut grad,
            own.at(),
            other.at(),
            plan,
            own_sums,
            problem.weights(side),
            problem.weights(partner),
            problem.upstream(),
            problem.pairs(),
            problem.blocks(side),
            clouds.width,
            own.stride,
            other.stride,
            clouds.width,
            side as u32,
            first,
            step,
            count,
        ];
        // SAFETY: the blocks are of items that are in a pair, with as many pairs as the pairing has;
        // `grad` has a row of `width` for each point; plan, sums and weights are those of the layout.
        unsafe { session.launch(&kernel, launch, args)? };
        Ok(grad)
    };
    Ok([of_side(Side::Rows)?, of_side(Side::Columns)?])
}

/// Adds the gradients by weights and temperature, which have no pass over anything large.
pub(super) fn with_the_rest(
    problem: &Problem<'_>,
    call: &Call<'_>,
    upstream: Option<&[f32]>,
    [x, y]: [Buffer; 2],
    numbers: &Numbers,
    sums: &Sums,
) -> Result<DeviceGradients> {
    let session = &problem.session;
    let (r, c) = (session.fetch(&sums.rows)?, session.fetch(&sums.columns)?);
    let mut a = vec![0f64; call.x.weights.len()];
    let mut b = vec![0f64; call.y.weights.len()];
    let mut eps = 0.0;
    for k in (0..call.pairs()).filter(|&k| call.has_mass(k)) {
        let ((i, j), (rows, columns)) = (call.items(k), problem.layout.potentials(k));
        let weight = upstream.map_or(1.0, |upstream| f64::from(upstream[k]));
        eps += weight * numbers.report[k][3];
        let add = |out: &mut [f64], weights: &[f32], h: &[f32], sums: &[f32], other: f64| {
            for (((out, &w), &h), &sum) in out.iter_mut().zip(weights).zip(h).zip(sums) {
                if w != 0.0 {
                    let sum = f64::from(sum) / f64::from(w);
                    *out += weight * (worth(f64::from(h), call.rho) - problem.eps * (sum - other));
                }
            }
        };
        let (f, g) = (&numbers.f[rows.clone()], &numbers.g[columns.clone()]);
        let (of_x, of_y) = (&mut a[call.x.offsets[i]..], &mut b[call.y.offsets[j]..]);
        add(of_x, call.x.item_weights(i), f, &r[rows], call.y.mass[j]);
        add(of_y, call.y.item_weights(j), g, &c[columns], call.x.mass[i]);
    }
    let narrow = |sums: Vec<f64>| sums.iter().map(|&s| s as f32).collect();
    Ok(DeviceGradients { x, y, a: narrow(a), b: narrow(b), eps })
}
