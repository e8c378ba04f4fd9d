//! CRD against memory banks: the loss of both directions, gradients, and the banks' update.

use align_kernels::Points;
use align_kernels::crd::{Bank, Crd as Output, MemoryBank};
use align_kernels::reference::crd::contrast;
use anyhow::bail;
use ndarray::Array2;
use serde_json::{Value, json};

use super::check::{Comparison, Errors, error, widened};
use super::inputs::{Elements, Input, scattered, stream};
use super::{Answer, Work, norm};

/// Temperature and momentum of the published setting.
const TEMPERATURE: f64 = 0.07;
const MOMENTUM: f64 = 0.5;

/// Anchors against rows of two banks.
#[derive(Debug, Clone, Copy)]
pub struct Crd {
    /// Anchors of a side.
    pub batch: usize,
    /// Negatives of an anchor.
    pub negatives: usize,
    /// Rows of a bank.
    pub rows: usize,
    /// Extent of a vector.
    pub width: usize,
}

/// Anchors, banks as they were at first and as they are, and what the last run gave.
pub(super) struct CrdWork {
    case: Crd,
    student: Array2<f32>,
    teacher: Array2<f32>,
    /// Of the student, of the teacher.
    at_first: [Array2<f32>; 2],
    banks: MemoryBank,
    /// `(batch, negatives + 1)`, the anchor's own row first.
    rows: Vec<usize>,
    own: Vec<usize>,
    runs: usize,
    output: Option<Output>,
}

impl CrdWork {
    pub fn new(case: Crd) -> anyhow::Result<Self> {
        let anchors = |number| scattered(case.batch, case.width, 0.0, number);
        let bound = 1.0 / (case.width as f32 / 3.0).sqrt();
        let bank = |number| {
            let mut rng = stream(number);
            let shape = (case.rows, case.width);
            Array2::from_shape_simple_fn(shape, || (2.0 * rng.uniform() - 1.0) * bound)
        };
        let at_first = [bank(3), bank(4)];
        let [student, teacher] = at_first.clone().map(Bank::new);
        let mut rng = stream(5);
        // Each anchor has a row of its own, as in an epoch without repetition.
        let mut order: Vec<usize> = (0..case.rows).collect();
        rng.shuffle(&mut order);
        let own = order[..case.batch].to_vec();
        let mut rows = Vec::with_capacity(case.batch * (case.negatives + 1));
        for &row in &own {
            rows.push(row);
            rows.extend((0..case.negatives).map(|_| rng.below(case.rows as u32) as usize));
        }
        Ok(Self {
            case,
            student: anchors(1),
            teacher: anchors(2),
            at_first,
            banks: MemoryBank::new(student?, teacher?)?,
            rows,
            own,
            runs: 0,
            output: None,
        })
    }
}

impl Work for CrdWork {
    fn run(&mut self) -> anyhow::Result<()> {
        let [student, teacher] =
            [&self.student, &self.teacher].map(|rows| Points::from(rows.view()));
        self.output = Some(self.banks.loss(student, teacher, &self.rows, TEMPERATURE)?);
        self.banks.update(&self.own, student, teacher, MOMENTUM)?;
        self.runs += 1;
        Ok(())
    }

    fn answer(&self) -> Answer {
        let Some(output) = &self.output else { return Answer::default() };
        let grad_norm = Some(norm([&output.grad_student, &output.grad_teacher]));
        Answer { values: vec![output.value], grad_norm }
    }

    /// The whole reference, and the rows that moved, which count as gradients.
    fn check(&self) -> anyhow::Result<Errors> {
        let Some(output) = &self.output else { bail!("crd: nothing was run") };
        if self.runs != 1 {
            bail!("crd: {} runs, expected 1, since each moves the banks", self.runs);
        }
        let width = self.case.width;
        let wide = |rows: &Array2<f32>| widened(rows).collect::<Vec<_>>();
        let [student_bank, teacher_bank] = &self.at_first;
        let [(student, grad_student), (teacher, grad_teacher)] =
            [(&self.student, teacher_bank), (&self.teacher, student_bank)].map(
                |(anchors, bank)| {
                    let (anchors, bank) = (wide(anchors), wide(bank));
                    let found = contrast(&anchors, &bank, width, &self.rows, TEMPERATURE, 0.0);
                    (found.0, found.1)
                },
            );
        let mut gradients = Comparison::default();
        gradients.add(widened(&output.grad_student), grad_student);
        gradients.add(widened(&output.grad_teacher), grad_teacher);
        let mut moves = Comparison::default();
        for (bank, before, fresh) in [
            (&self.banks.student, student_bank, &self.student),
            (&self.banks.teacher, teacher_bank, &self.teacher),
        ] {
            for (&row, fresh) in self.own.iter().zip(fresh.rows()) {
                let moved = widened(before.row(row)).zip(widened(fresh));
                let moved: Vec<f64> =
                    moved.map(|(old, new)| MOMENTUM * old + (1.0 - MOMENTUM) * new).collect();
                let length = moved.iter().map(|v| v * v).sum::<f64>().sqrt();
                let moved = moved.iter().map(|v| v / length);
                moves.add(widened(bank.rows().row(row)), moved);
            }
        }
        let value = error([output.value], [student + teacher]);
        Ok(Errors { value, gradient: Some(gradients.error().max(moves.error())) })
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        let [student_bank, teacher_bank] = &self.at_first;
        let rows = self.rows.iter().map(|&row| row as i64).collect();
        let shape = vec![self.case.batch, self.case.negatives + 1];
        vec![
            Input::matrix("student", &self.student),
            Input::matrix("teacher", &self.teacher),
            Input::matrix("student_bank", student_bank),
            Input::matrix("teacher_bank", teacher_bank),
            Input { name: "rows".into(), shape, elements: Elements::I64(rows) },
        ]
    }

    fn parameters(&self) -> Value {
        json!({ "temperature": TEMPERATURE, "momentum": MOMENTUM })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_case_passes_its_check_after_its_first_run_alone() {
        let case = Crd { batch: 3, negatives: 7, rows: 20, width: 12 };
        let mut work = CrdWork::new(case).unwrap();
        work.run().unwrap();
        work.check().unwrap().accept().unwrap();
        work.run().unwrap();
        let error = work.check().unwrap_err().to_string();
        assert_eq!(error, "crd: 2 runs, expected 1, since each moves the banks");
    }
}
