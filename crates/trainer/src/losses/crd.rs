//! Contrastive representation distillation, in-batch and with a memory bank.
//!
//! ```text
//! h(T, S) = e^(T.S/temperature) / (e^(T.S/temperature) + N/M)
//! L       = -log h(positive) - sum over N negatives of log(1 - h(negative))
//! ```
//!
//! `M` is the number of training clips. With `b = ln(N/M)` both logarithms are softplus of the
//! shifted score, which is how they are computed: `-log h = softplus(b - s)`,
//! `-log(1 - h) = softplus(s - b)`.
//!
//! Source: Tian, Krishnan and Isola 2020, arXiv:1910.10699, eq. (19) and (20); the bank follows
//! the behaviour of its reference implementation, RepDistiller.

use std::ops::Range;

use tensor_core::{Backward, CustomOp, Device, Philox, Result, Tensor};

use super::nst::Scaled;

/// For every token, one random token of each other clip, in the order of clips.
///
/// `clip_of` is the clip of each token, ascending. A clip without tokens offers none, so that the
/// result has `N * (C - 1)` token indices, `C` being the number of clips that have tokens.
pub fn draw_tokens(clip_of: &[usize], rng: &mut Philox) -> Vec<usize> {
    let spans = spans(clip_of);
    let mut drawn = Vec::with_capacity(clip_of.len() * spans.len().saturating_sub(1));
    for &own in clip_of {
        for span in spans.iter().filter(|span| clip_of[span.start] != own) {
            drawn.push(span.start + rng.below(span.len() as u32) as usize);
        }
    }
    drawn
}

/// The tokens of each clip that has some.
fn spans(clip_of: &[usize]) -> Vec<Range<usize>> {
    let mut start = 0;
    clip_of
        .chunk_by(|a, b| a == b)
        .map(|own| {
            start += own.len();
            start - own.len()..start
        })
        .collect()
}

/// In-batch CRD in both directions, summed over tokens.
///
/// A token of clip `c` is contrasted with `c`'s utterance vector against those of the other
/// clips; and that utterance vector with the token against one token of each other clip. A lone
/// clip has no negatives, and the loss is 0.
///
/// # Shapes
///
/// | argument  | shape         | meaning                                       |
/// |-----------|---------------|-----------------------------------------------|
/// | `student` | `(N, P)`      | unit-norm projections of valid tokens         |
/// | `teacher` | `(C, P)`      | unit-norm projections of utterance vectors    |
/// | `clip_of` | `N`           | clip of each token                            |
/// | `drawn`   | `N * (C - 1)` | from [`draw_tokens`]; clips with tokens count |
pub fn crd_in_batch(
    student: &Tensor,
    teacher: &Tensor,
    clip_of: &[usize],
    drawn: &[usize],
    temperature: f64,
    n_data: usize,
) -> Result<Tensor> {
    let scores = student.matmul(&teacher.transpose(0, 1)?)?.mul_scalar(1.0 / temperature)?;
    Tensor::apply(&InBatch { clip_of, drawn, n_data }, &[&scores])
}

struct InBatch<'a> {
    clip_of: &'a [usize],
    drawn: &'a [usize],
    n_data: usize,
}

impl CustomOp for InBatch<'_> {
    fn name(&self) -> &'static str {
        "crd"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<(Tensor, Box<dyn Backward>)> {
        let scores = inputs[0].to_vec_f32()?;
        let clips = inputs[0].dim(1)?;
        let negatives = clips.saturating_sub(1);
        let mut grad = vec![0.0f32; scores.len()];
        let mut total = 0.0;
        if negatives > 0 {
            let shift = (negatives as f64 / self.n_data as f64).ln();
            let draws = spans(self.clip_of).len().saturating_sub(1);
            let mut add = |at: usize, positive: bool, times: f64| {
                let (value, slope) = log_loss(f64::from(scores[at]) - shift, positive);
                total += times * value;
                grad[at] += (times * slope) as f32;
            };
            for (token, &own) in self.clip_of.iter().enumerate() {
                add(token * clips + own, true, 2.0);
                for clip in (0..clips).filter(|&clip| clip != own) {
                    add(token * clips + clip, false, 1.0);
                }
                for &other in &self.drawn[token * draws..(token + 1) * draws] {
                    add(other * clips + own, false, 1.0);
                }
            }
        }
        let grad = Tensor::from_vec(grad, inputs[0].shape(), Device::Cpu)?;
        let value = Tensor::from_vec(vec![total as f32], &[], Device::Cpu)?;
        Ok((value, Box::new(Scaled { grad, constants: 0 })))
    }
}

/// `-log sigmoid(x)` of a positive, `-log(1 - sigmoid(x))` of a negative, and the derivative.
fn log_loss(x: f64, positive: bool) -> (f64, f64) {
    let signed = if positive { -x } else { x };
    let value = signed.max(0.0) + (-signed.abs()).exp().ln_1p();
    let sigmoid = 1.0 / (1.0 + (-signed).exp());
    (value, if positive { -sigmoid } else { sigmoid })
}

/// Clips an anchor is contrasted with: its own first, then uniform draws.
#[derive(Debug, Clone)]
pub struct BankDraw {
    /// `(B, K + 1)` rows of the bank.
    pub rows: Vec<i64>,
    /// Number of negatives `K`.
    pub negatives: usize,
}

impl BankDraw {
    /// `negatives` uniform draws for each of `clips`; a draw may repeat the positive, as in the
    /// reference implementation.
    pub fn new(clips: &[usize], negatives: usize, n_data: usize, rng: &mut Philox) -> Self {
        let mut rows = Vec::with_capacity(clips.len() * (negatives + 1));
        for &clip in clips {
            rows.push(clip as i64);
            rows.extend((0..negatives).map(|_| i64::from(rng.below(n_data as u32))));
        }
        Self { rows, negatives }
    }
}

/// Both memory banks, with the normalisers that the first finite batch fixes.
#[derive(Debug, Clone)]
pub struct MemoryBank {
    /// `(M, P)` running projections of the student.
    pub student: Tensor,
    /// `(M, P)` running projections of the teacher.
    pub teacher: Tensor,
    /// Normalisers of the student-anchored and the teacher-anchored scores; 0 until fixed.
    pub z: [f64; 2],
}

/// Added to denominators, as the reference implementation does.
const TINY: f64 = 1e-7;

impl MemoryBank {
    /// Banks drawn uniformly from `(-s, s)`, `s = 1 / sqrt(P / 3)`.
    pub fn new(n_data: usize, width: usize, rng: &mut Philox) -> Result<Self> {
        let s = 1.0 / (width as f64 / 3.0).sqrt();
        let mut draw = || {
            Tensor::rand_uniform(&[n_data, width], -s, s, rng, tensor_core::DType::F32, Device::Cpu)
        };
        Ok(Self { student: draw()?, teacher: draw()?, z: [0.0; 2] })
    }

    /// The loss of both directions, summed over the anchors of a batch.
    ///
    /// `student` and `teacher` are `(B, P)` unit-norm projections. A student anchor is scored
    /// against the teacher's bank and the other way round.
    pub fn loss(
        &mut self,
        student: &Tensor,
        teacher: &Tensor,
        draw: &BankDraw,
        temperature: f64,
    ) -> Result<Tensor> {
        let (anchors, width) = (student.dim(0)?, student.dim(1)?);
        let n_data = self.student.dim(0)? as f64;
        let rows = Tensor::from_vec(draw.rows.clone(), &[draw.rows.len()], Device::Cpu)?;
        let floor = draw.negatives as f64 / n_data;
        let direction = |anchor: &Tensor, bank: &Tensor, z: &mut f64| -> Result<Tensor> {
            let picked =
                bank.index_select(0, &rows)?.reshape(&[anchors, draw.negatives + 1, width])?;
            let scores = picked.matmul(&anchor.unsqueeze(-1)?)?.squeeze(-1)?;
            let raw = scores.mul_scalar(1.0 / temperature)?.exp()?;
            let scale = match *z {
                0.0 => raw.detach().mean_all()?.item()? * n_data,
                fixed => fixed,
            };
            // A batch that is not finite is skipped, and must not decide for those after it.
            if scale.is_finite() {
                *z = scale;
            }
            let p = raw.mul_scalar(1.0 / scale)?;
            let positive = p.narrow(1, 0, 1)?;
            let negative = p.narrow(1, 1, draw.negatives)?;
            let hit = positive.div(&positive.add_scalar(floor + TINY)?)?.log()?.sum_all()?;
            let reject = negative.add_scalar(floor + TINY)?.log()?.sum_all()?;
            // sum over negatives of log(floor / (p + floor + tiny))
            let constant = floor.ln() * (anchors * draw.negatives) as f64;
            reject.sub(&hit)?.add_scalar(-constant)
        };
        let [z_student, z_teacher] = &mut self.z;
        let a = direction(student, &self.teacher, z_student)?;
        let b = direction(teacher, &self.student, z_teacher)?;
        a.add(&b)
    }

    /// `row <- normalise(momentum * row + (1 - momentum) * new)` for the clips of a batch.
    pub fn update(
        &mut self,
        clips: &[usize],
        student: &Tensor,
        teacher: &Tensor,
        momentum: f64,
    ) -> Result<()> {
        for (bank, new) in [(&mut self.student, student), (&mut self.teacher, teacher)] {
            let width = bank.dim(1)?;
            let mut rows = bank.to_vec_f32()?;
            let fresh = new.to_vec_f32()?;
            for (&clip, fresh) in clips.iter().zip(fresh.chunks(width)) {
                let row = &mut rows[clip * width..(clip + 1) * width];
                for (old, &new) in row.iter_mut().zip(fresh) {
                    *old = (momentum * f64::from(*old) + (1.0 - momentum) * f64::from(new)) as f32;
                }
                let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
                row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm.max(1e-12)) as f32);
            }
            *bank = Tensor::from_vec(rows, &[bank.dim(0)?, width], Device::Cpu)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
