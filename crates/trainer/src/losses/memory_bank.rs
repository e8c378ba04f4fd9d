//! Contrastive representation distillation against banks of past projections.
//!
//! A bank has a row for each of the `M` training clips. An anchor of one modality is scored against
//! rows of the other's bank: that of its own clip, and `K` drawn uniformly.
//!
//! ```text
//! p = e^(anchor . row / temperature) / Z        Z = M * mean of the exponentials of the first batch
//! L = -log( p+ / (p+ + c) ) - sum over K negatives of log( (K/M) / (p + c) )       c = K/M + 1e-7
//! ```
//!
//! Computed as in [`super::crd`]: with `x = ln p - ln c` the terms are `softplus(-x)` and
//! `softplus(x) + ln(c / (K/M))`, so that small temperatures do not overflow.
//!
//! Source: Tian, Krishnan and Isola 2020, arXiv:1910.10699; initial rows, draws, `Z`, the `1e-7`
//! and the update follow the behaviour of its reference implementation, RepDistiller.

use tensor_core::{Backward, CustomOp, DType, Device, Error, Philox, Result, Tensor};

use super::crd::log_loss;
use super::scaled::scaled;

/// Added to `K/M` in denominators.
const TINY: f64 = 1e-7;

/// Rows `(B, K + 1)` that the anchors of `clips` are scored against: for each clip its own, then
/// `negatives` uniform draws, which may repeat it.
pub fn draw_rows(clips: &[usize], negatives: usize, n_data: usize, rng: &mut Philox) -> Vec<usize> {
    let mut rows = Vec::with_capacity(clips.len() * (negatives + 1));
    for &clip in clips {
        rows.push(clip);
        rows.extend((0..negatives).map(|_| rng.below(n_data as u32) as usize));
    }
    rows
}

/// Both banks, with the normalisers that the first finite batch fixes.
#[derive(Debug, Clone)]
pub struct MemoryBank {
    student: Bank,
    teacher: Bank,
    z: [f64; 2],
}

impl MemoryBank {
    /// Banks of `n_data` rows drawn uniformly from `(-s, s)`, `s = 1 / sqrt(width / 3)`.
    pub fn new(n_data: usize, width: usize, rng: &mut Philox) -> Result<Self> {
        let s = 1.0 / (width as f64 / 3.0).sqrt();
        let mut draw = || -> Result<Bank> {
            let shape = [n_data, width];
            let rows = Tensor::rand_uniform(&shape, -s, s, rng, DType::F32, Device::Cpu)?;
            Ok(Bank { rows: rows.to_vec_f32()?, width })
        };
        Ok(Self { student: draw()?, teacher: draw()?, z: [0.0; 2] })
    }

    /// The state by name: both banks `(M, P)`, and the normalisers `(2)` of the student-anchored
    /// and the teacher-anchored scores, 0 until fixed.
    pub fn tensors(&self) -> Result<[(&'static str, Tensor); 3]> {
        let z = Tensor::from_vec(self.z.to_vec(), &[2], Device::Cpu)?;
        Ok([("student", self.student.tensor()?), ("teacher", self.teacher.tensor()?), ("z", z)])
    }

    /// Sets the state that [`tensors`](Self::tensors) gave.
    ///
    /// # Errors
    ///
    /// [`Shape`](tensor_core::ErrorKind::Shape) when it is that of a bank of another size.
    pub fn load(&mut self, read: impl Fn(&str) -> Result<Tensor>) -> Result<()> {
        let (student, teacher) = (self.student.like(&read("student")?)?, read("teacher")?);
        let teacher = self.teacher.like(&teacher)?;
        let &[a, b] = &read("z")?.to_vec::<f64>()?[..] else {
            return Err(Error::shape("memory bank", "z has other than 2 values"));
        };
        *self = Self { student, teacher, z: [a, b] };
        Ok(())
    }

    /// The loss of both directions, summed over the anchors of a batch.
    ///
    /// `student` and `teacher` are `(B, P)` unit-norm projections, `rows` is `(B, K + 1)` from
    /// [`draw_rows`]. A student anchor is scored against the teacher's bank and the other way
    /// round.
    ///
    /// # Errors
    ///
    /// [`Shape`](tensor_core::ErrorKind::Shape) when the extents disagree.
    pub fn loss(
        &mut self,
        student: &Tensor,
        teacher: &Tensor,
        rows: &[usize],
        temperature: f64,
    ) -> Result<Tensor> {
        let [z_student, z_teacher] = &mut self.z;
        let a = self.teacher.contrast(student, rows, temperature, z_student)?;
        let b = self.student.contrast(teacher, rows, temperature, z_teacher)?;
        a.add(&b)
    }

    /// `row <- normalise(momentum * row + (1 - momentum) * new)` for the clips of a batch, `new`
    /// being their rows of `student` and `teacher`, `(B, P)`.
    pub fn update(
        &mut self,
        clips: &[usize],
        student: &Tensor,
        teacher: &Tensor,
        momentum: f64,
    ) -> Result<()> {
        self.student.update(clips, &student.to_vec_f32()?, momentum);
        self.teacher.update(clips, &teacher.to_vec_f32()?, momentum);
        Ok(())
    }
}

/// Running projections of one modality.
#[derive(Debug, Clone)]
struct Bank {
    /// `(M, width)`.
    rows: Vec<f32>,
    width: usize,
}

impl Bank {
    fn len(&self) -> usize {
        self.rows.len() / self.width
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.rows[at * self.width..(at + 1) * self.width]
    }

    fn tensor(&self) -> Result<Tensor> {
        Tensor::from_vec(self.rows.clone(), &[self.len(), self.width], Device::Cpu)
    }

    /// `tensor` as a bank of this size.
    fn like(&self, tensor: &Tensor) -> Result<Self> {
        let expected = [self.len(), self.width];
        if tensor.shape() != expected {
            let text = format!("bank is {:?}, expected {expected:?}", tensor.shape());
            let hint = "a bank belongs to the training set and loss.crd.dim it was made for";
            return Err(Error::shape("memory bank", text).with_hint(hint));
        }
        Ok(Self { rows: tensor.to_vec_f32()?, width: self.width })
    }

    /// The loss of anchors `(B, P)` of the other modality; fixes `z` if it is 0.
    fn contrast(
        &self,
        anchors: &Tensor,
        rows: &[usize],
        temperature: f64,
        z: &mut f64,
    ) -> Result<Tensor> {
        let per_anchor = match anchors.shape() {
            &[n, width] if width == self.width && n > 0 && rows.len().is_multiple_of(n) => {
                rows.len() / n
            }
            shape => {
                let (got, width) = (rows.len(), self.width);
                let text =
                    format!("anchors are {shape:?}, expected (B, {width}), B dividing {got}");
                return Err(Error::shape("memory bank", text));
            }
        };
        if per_anchor < 2 || rows.iter().any(|&row| row >= self.len()) {
            let text =
                format!("{per_anchor} rows an anchor, expected 2 or more below {}", self.len());
            return Err(Error::shape("memory bank", text));
        }
        let picked: Vec<f32> = rows.iter().flat_map(|&row| self.row(row)).copied().collect();
        let shape = [rows.len() / per_anchor, per_anchor, self.width];
        let picked = Tensor::from_vec(picked, &shape, Device::Cpu)?;
        let scores = picked.matmul(&anchors.unsqueeze(-1)?)?.squeeze(-1)?;
        let scores = scores.mul_scalar(1.0 / temperature)?;

        let n_data = self.len() as f64;
        let mut scale = *z;
        if scale == 0.0 {
            let values = scores.to_vec_f32()?;
            let sum: f64 = values.iter().map(|&score| f64::from(score).exp()).sum();
            scale = sum / values.len() as f64 * n_data;
            // A batch that is not finite is skipped, and must not decide for those after it.
            if scale.is_finite() {
                *z = scale;
            }
        }
        let ratio = (per_anchor - 1) as f64 / n_data;
        Tensor::apply(&Contrast { per_anchor, ratio, ln_z: scale.ln() }, &[&scores])
    }

    fn update(&mut self, clips: &[usize], fresh: &[f32], momentum: f64) {
        for (&clip, fresh) in clips.iter().zip(fresh.chunks(self.width)) {
            let row = &mut self.rows[clip * self.width..(clip + 1) * self.width];
            for (old, &new) in row.iter_mut().zip(fresh) {
                *old = (momentum * f64::from(*old) + (1.0 - momentum) * f64::from(new)) as f32;
            }
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm.max(1e-12)) as f32);
        }
    }
}

/// The loss of scores `(B, K + 1)`, the positive first in each row.
struct Contrast {
    per_anchor: usize,
    /// `K/M`.
    ratio: f64,
    ln_z: f64,
}

impl CustomOp for Contrast {
    fn name(&self) -> &'static str {
        "crd"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<(Tensor, Box<dyn Backward>)> {
        let scores = inputs[0].to_vec_f32()?;
        let c = self.ratio + TINY;
        let (shift, excess) = (self.ln_z + c.ln(), (c / self.ratio).ln());
        let mut total = 0.0;
        let mut grad = Vec::with_capacity(scores.len());
        for row in scores.chunks(self.per_anchor) {
            for (at, &score) in row.iter().enumerate() {
                let (value, slope) = log_loss(f64::from(score) - shift, at == 0);
                total += if at == 0 { value } else { value + excess };
                grad.push(slope as f32);
            }
        }
        scaled(total, grad, inputs[0].shape())
    }
}

#[cfg(test)]
mod tests;
