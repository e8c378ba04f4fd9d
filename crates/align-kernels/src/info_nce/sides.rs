//! The rows or the columns of the matrix of logits: the points that count, packed.

use std::borrow::Cow;

use ndarray::Array2;
use rayon::prelude::*;

use super::options::Similarity;
use crate::points::Points;

/// Lengths outside of `[1/FAR, FAR]` are brought near 1, so that no product leaves f32.
const FAR: f64 = (1u64 << 40) as f64;

/// Rows that a task measures or finishes.
const ROWS: usize = 256;

/// The points that count, `(count, width)`, borrowed where they can be.
pub(super) struct Side<'a> {
    pub points: Cow<'a, [f32]>,
    pub count: usize,
    pub width: usize,
    /// `1 / length` of each stored point; 1 for dot products; 0 for a point of length 0.
    pub inverse_norm: Vec<f32>,
    /// Powers of two that points of extreme length were multiplied with.
    rescale: Option<Vec<f32>>,
    /// Where the points come from, if not all count.
    kept: Option<Vec<usize>>,
    total: usize,
    cosine: bool,
}

impl<'a> Side<'a> {
    pub fn new(points: Points<'a>, mask: Option<&[bool]>, similarity: Similarity) -> Self {
        let (total, width) = (points.count(), points.width());
        let mut rows = points.to_f32();
        let kept = mask
            .filter(|mask| mask.contains(&false))
            .map(|mask| (0..total).filter(|&i| mask[i]).collect::<Vec<_>>());
        if let Some(kept) = &kept {
            let row = |&i: &usize| rows[i * width..(i + 1) * width].iter().copied();
            rows = Cow::Owned(kept.iter().flat_map(row).collect());
        }
        let count = kept.as_ref().map_or(total, Vec::len);
        let cosine = similarity == Similarity::Cosine;
        let mut side = Self {
            points: rows,
            count,
            width,
            inverse_norm: vec![1.0; count],
            rescale: None,
            kept,
            total,
            cosine,
        };
        if cosine {
            side.measure();
        }
        side
    }

    fn measure(&mut self) {
        let width = self.width;
        let mut norms: Vec<f64> =
            self.points.par_chunks(width).with_min_len(ROWS).map(norm).collect();
        let is_far =
            |norm: f64| norm.is_finite() && norm > 0.0 && !(1.0 / FAR..=FAR).contains(&norm);
        if norms.iter().any(|&norm| is_far(norm)) {
            let mut rescale = vec![1.0f32; self.count];
            let rows = self.points.to_mut().chunks_mut(width);
            for ((row, norm), rescale) in rows.zip(&mut norms).zip(&mut rescale) {
                if is_far(*norm) {
                    let factor = (-norm.log2().round()).clamp(-120.0, 120.0).exp2();
                    *rescale = factor as f32;
                    *norm *= factor;
                    row.iter_mut().for_each(|v| *v *= *rescale);
                }
            }
            self.rescale = Some(rescale);
        }
        let inverse = |&norm: &f64| if norm == 0.0 { 0.0 } else { (1.0 / norm) as f32 };
        self.inverse_norm = norms.iter().map(inverse).collect();
    }

    /// Packs values `(total,)` to those of points that count.
    pub fn pack(&self, values: &[f64]) -> Vec<f64> {
        match &self.kept {
            Some(kept) => kept.iter().map(|&i| values[i]).collect(),
            None => values.to_vec(),
        }
    }

    /// The inverse of [`pack`](Self::pack), with `rest` for points that do not count.
    pub fn unpack(&self, values: Vec<f64>, rest: f64) -> Vec<f64> {
        let Some(kept) = &self.kept else { return values };
        let mut out = vec![rest; self.total];
        kept.iter().zip(values).for_each(|(&i, value)| out[i] = value);
        out
    }

    /// Index among the points that count of each point, if it does.
    pub fn index(&self) -> Vec<Option<usize>> {
        let Some(kept) = &self.kept else { return (0..self.total).map(Some).collect() };
        let mut out = vec![None; self.total];
        kept.iter().enumerate().for_each(|(at, &i)| out[i] = Some(at));
        out
    }

    /// The gradient with respect to all points, from that through the dot products of stored
    /// points, and `dots`: of each point, the sum over its logits of slope times logit.
    ///
    /// Lengthening `x` shrinks the cosine: `d/dx = ... - x / |x|^2 * sum slope logit`.
    pub fn finish(&self, mut grad: Vec<f32>, dots: &[f64]) -> Array2<f32> {
        let width = self.width;
        if self.cosine {
            grad.par_chunks_mut(width).enumerate().with_min_len(ROWS).for_each(|(i, grad)| {
                let inverse = f64::from(self.inverse_norm[i]);
                let radial = (dots[i] * inverse * inverse) as f32;
                let rescale = self.rescale.as_ref().map_or(1.0, |rescale| rescale[i]);
                for (grad, &x) in grad.iter_mut().zip(&self.points[i * width..]) {
                    *grad = (*grad - x * radial) * rescale;
                }
            });
        }
        if let Some(kept) = &self.kept {
            let mut out = vec![0.0; self.total * width];
            for (row, &i) in grad.chunks(width).zip(kept) {
                out[i * width..(i + 1) * width].copy_from_slice(row);
            }
            grad = out;
        }
        Array2::from_shape_vec((self.total, width), grad).expect("one gradient a coordinate")
    }
}

/// Euclidean length, summed in f64.
fn norm(row: &[f32]) -> f64 {
    let (whole, rest) = row.as_chunks::<8>();
    let mut lanes = [0.0f64; 8];
    for chunk in whole {
        for (sum, &v) in lanes.iter_mut().zip(chunk) {
            *sum += f64::from(v) * f64::from(v);
        }
    }
    let rest: f64 = rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    (lanes.iter().sum::<f64>() + rest).sqrt()
}
