//! The linear kernel: two means, and a gradient that is a constant row a side.

use super::call::{Buffer, Call, Later};
use super::finish::{Factors, Finish, SPAN};
use super::items::{Item, spans};
use super::means::Means;
use crate::device::clouds::Clouds;
use crate::error::Result;

pub(super) fn run<'c>(
    call: &Call<'_>,
    clouds: &Clouds<'_>,
    items: Vec<Item>,
    grads: &[Buffer; 2],
) -> Result<Later<'c>> {
    let means = Means::of(call, clouds, &items)?;
    let norms = call.half_norms(clouds)?;
    let factors: Vec<Factors> = items
        .iter()
        .flat_map(|item| item.counts())
        .map(|count| {
            let (n, others) = (count as f64, count as f64 - 1.0);
            let gap = 2.0 / n;
            match call.is_unbiased() {
                false => Factors { gap, ..Factors::default() },
                true => {
                    let point = (-gap / others) as f32;
                    Factors { gap, mean: gap / others, point, ..Factors::default() }
                }
            }
        })
        .collect();
    for (side, rows) in [&clouds.x, &clouds.y].into_iter().enumerate() {
        let of_item = |(k, item): (usize, &Item)| {
            let points = item.points[side].clone();
            spans(points.clone(), points.start, 2 * k + side, SPAN)
        };
        let spans: Vec<_> = items.iter().enumerate().flat_map(of_item).collect();
        let finish = Finish {
            products: None,
            points: (rows.at(), rows.stride, clouds.form),
            numbers: None,
            means: Some(&means),
            spans: &spans,
            factors: &factors,
        };
        // SAFETY: the spans are of points of this side, in their places in the gradient.
        unsafe { finish.write(call, &grads[side])? };
    }
    Ok(Box::new(move |call| {
        let squares = means.squares(call)?;
        let mut values: Vec<f64> = squares.iter().map(|[gap, ..]| *gap).collect();
        let Some(norms) = norms else { return Ok(values) };
        for (side, norms) in norms.iter().enumerate() {
            let norms = call.session.fetch(norms)?;
            for ((value, item), squares) in values.iter_mut().zip(&items).zip(&squares) {
                let points = item.points[side].clone();
                let n = points.len() as f64;
                let own: f64 = norms[points].iter().map(|&half| 2.0 * f64::from(half)).sum();
                *value += (squares[1 + side] - own / n) / (n - 1.0);
            }
        }
        Ok(values)
    }))
}
