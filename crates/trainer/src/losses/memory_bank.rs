//! Contrastive representation distillation against banks of past projections.
//!
//! A bank has a row for each training clip. An anchor of one modality is scored against rows of the
//! other's bank: that of its own clip, and some drawn uniformly. Formula and source:
//! [`align_kernels::crd::Bank::contrast`]; initial rows and draws are RepDistiller's too.

use align_kernels::crd::{self, Bank};
use ndarray::Array2;
use tensor_core::{DType, Device, Error, Philox, Result, Tensor};

use super::fused::{fused, matrix, of_kernel, tensor};

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
pub struct MemoryBank(crd::MemoryBank);

impl MemoryBank {
    /// Banks of `n_data` rows drawn uniformly from `(-s, s)`, `s = 1 / sqrt(width / 3)`.
    pub fn new(n_data: usize, width: usize, rng: &mut Philox) -> Result<Self> {
        let s = 1.0 / (width as f64 / 3.0).sqrt();
        let mut draw =
            || bank(&Tensor::rand_uniform(&[n_data, width], -s, s, rng, DType::F32, Device::Cpu)?);
        let (student, teacher) = (draw()?, draw()?);
        crd::MemoryBank::new(student, teacher).map(Self).map_err(of_kernel)
    }

    /// The state by name: both banks `(M, P)`, and the normalisers `(2)` of the student-anchored
    /// and the teacher-anchored scores, 0 until fixed.
    pub fn tensors(&self) -> Result<[(&'static str, Tensor); 3]> {
        let rows = |bank: &Bank| tensor(bank.rows().to_owned());
        let z = Tensor::from_vec(self.0.z.to_vec(), &[2], Device::Cpu)?;
        Ok([("student", rows(&self.0.student)?), ("teacher", rows(&self.0.teacher)?), ("z", z)])
    }

    /// Sets the state that [`tensors`](Self::tensors) gave.
    ///
    /// # Errors
    ///
    /// [`Shape`](tensor_core::ErrorKind::Shape) when it is that of a bank of another size.
    pub fn load(&mut self, read: impl Fn(&str) -> Result<Tensor>) -> Result<()> {
        let (rows, width) = self.0.student.rows().dim();
        let expected = [rows, width];
        let side = |name: &str| {
            let rows = read(name)?;
            if rows.shape() != expected {
                let text = format!("bank is {:?}, expected {expected:?}", rows.shape());
                let hint = "a bank belongs to the training set and loss.crd.dim it was made for";
                return Err(Error::shape("memory bank", text).with_hint(hint));
            }
            bank(&rows)
        };
        let (student, teacher) = (side("student")?, side("teacher")?);
        let &[a, b] = &read("z")?.to_vec::<f64>()?[..] else {
            return Err(Error::shape("memory bank", "z has other than 2 values"));
        };
        self.0 = crd::MemoryBank { student, teacher, z: [a, b] };
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
        let (a, b) = sides(student, teacher)?;
        let output = self.0.loss(a.view().into(), b.view().into(), rows, temperature);
        let output = output.map_err(of_kernel)?;
        fused([student, teacher], output.value, [output.grad_student, output.grad_teacher])
    }

    /// `row <- normalise(momentum * row + (1 - momentum) * new)` for the clips of a batch, `new`
    /// being their rows of `student` and `teacher`, `(B, P)`.
    ///
    /// # Errors
    ///
    /// [`Shape`](tensor_core::ErrorKind::Shape) when the extents disagree.
    pub fn update(
        &mut self,
        clips: &[usize],
        student: &Tensor,
        teacher: &Tensor,
        momentum: f64,
    ) -> Result<()> {
        let (a, b) = sides(student, teacher)?;
        self.0.update(clips, a.view().into(), b.view().into(), momentum).map_err(of_kernel)
    }
}

/// Running projections of one modality, from `(M, P)`.
fn bank(rows: &Tensor) -> Result<Bank> {
    Bank::new(matrix("memory bank", "rows", rows)?).map_err(of_kernel)
}

fn sides(student: &Tensor, teacher: &Tensor) -> Result<(Array2<f32>, Array2<f32>)> {
    let side = |name, rows| matrix("memory bank", name, rows);
    Ok((side("student", student)?, side("teacher", teacher)?))
}

#[cfg(test)]
mod tests;
