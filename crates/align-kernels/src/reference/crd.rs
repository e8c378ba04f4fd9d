//! Reference contrastive representation distillation. Twin of [`crate::crd`].
//!
//! The logarithms are those of the formula, written as softplus so that they stay finite.

/// Added to `K/M` in denominators of scores against a bank.
const TINY: f64 = 1e-7;

/// A value with gradients.
#[derive(Debug, Clone)]
pub struct Crd {
    /// The loss, summed over anchors.
    pub value: f64,
    /// Gradient with respect to the student's rows.
    pub grad_student: Vec<f64>,
    /// Gradient with respect to the teacher's rows.
    pub grad_teacher: Vec<f64>,
}

/// In-batch CRD of tokens `student: (N, width)` and clips `teacher: (C, width)`; the formula is at
/// [`crd_in_batch`](crate::crd::crd_in_batch), and arguments are taken to fit it.
pub fn in_batch(
    student: &[f64],
    teacher: &[f64],
    width: usize,
    clip_of: &[usize],
    drawn: &[usize],
    temperature: f64,
    n_data: usize,
) -> Crd {
    let clips = teacher.len() / width;
    let draws = if clip_of.is_empty() { 0 } else { drawn.len() / clip_of.len() };
    let (mut value, mut grad_student, mut grad_teacher) =
        (0.0, vec![0.0; student.len()], vec![0.0; teacher.len()]);
    if clips > 1 {
        let shift = ((clips - 1) as f64 / n_data as f64).ln();
        let mut add = |token: usize, clip: usize, positive: bool| {
            let token = token * width..(token + 1) * width;
            let clip = clip * width..(clip + 1) * width;
            let score = dot(&student[token.clone()], &teacher[clip.clone()]) / temperature;
            let (loss, slope) = log_loss(score - shift, positive);
            value += loss;
            for (p, q) in token.zip(clip) {
                grad_student[p] += slope / temperature * teacher[q];
                grad_teacher[q] += slope / temperature * student[p];
            }
        };
        for (token, &own) in clip_of.iter().enumerate() {
            // Token against clips, then clip against drawn tokens.
            add(token, own, true);
            (0..clips).filter(|&clip| clip != own).for_each(|clip| add(token, clip, false));
            add(token, own, true);
            let others = &drawn[token * draws..(token + 1) * draws];
            others.iter().for_each(|&other| add(other, own, false));
        }
    }
    Crd { value, grad_student, grad_teacher }
}

/// Anchors against rows of a bank: value, gradient with respect to the anchors, and `Z`.
///
/// `rows: (B, K + 1)` has the positive first; `z` of 0 is not fixed yet. The formula is at
/// [`Bank::contrast`](crate::crd::Bank::contrast).
pub fn contrast(
    anchors: &[f64],
    bank: &[f64],
    width: usize,
    rows: &[usize],
    temperature: f64,
    z: f64,
) -> (f64, Vec<f64>, f64) {
    let n_data = (bank.len() / width) as f64;
    let slots = rows.len() / (anchors.len() / width);
    let score = |at: usize| {
        let (anchor, row) = (at / slots * width, rows[at] * width);
        dot(&anchors[anchor..anchor + width], &bank[row..row + width]) / temperature
    };
    let mean = |n: usize| (0..n).map(|at| score(at).exp()).sum::<f64>() / n as f64;
    let z = if z == 0.0 { mean(rows.len()) * n_data } else { z };

    let ratio = (slots - 1) as f64 / n_data;
    let c = ratio + TINY;
    let (mut value, mut grad) = (0.0, vec![0.0; anchors.len()]);
    for (at, &row) in rows.iter().enumerate() {
        let positive = at % slots == 0;
        // With p = e^score / Z: -log(p / (p + c)), or -log(ratio / (p + c)).
        let (loss, slope) = log_loss(score(at) - z.ln() - c.ln(), positive);
        value += if positive { loss } else { loss + (c / ratio).ln() };
        for d in 0..width {
            grad[at / slots * width + d] += slope / temperature * bank[row * width + d];
        }
    }
    (value, grad, z)
}

/// `-log sigmoid(x)` of a positive, `-log(1 - sigmoid(x))` of a negative, and the derivative.
pub fn log_loss(x: f64, positive: bool) -> (f64, f64) {
    let signed = if positive { -x } else { x };
    let value = signed.max(0.0) + (-signed.abs()).exp().ln_1p();
    let sigmoid = 1.0 / (1.0 + (-signed).exp());
    (value, if positive { -sigmoid } else { sigmoid })
}

fn dot(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests;
