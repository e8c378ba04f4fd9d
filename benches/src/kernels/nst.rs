//! Neuron selectivity transfer: rows of length 1 and the kernel `<x, y>^2`.

use align_kernels::mmd::{Options, Output};
use align_kernels::nst::nst;
use anyhow::bail;
use ndarray::{Array2, s};
use serde_json::{Value, json};

use super::check::{Comparison, Errors, error, widened};
use super::inputs::{Input, scattered, stream};
use super::mmd::{VALUE_SAMPLE, gradient_row, sample_rows, single, value};
use super::{Answer, Work, norm};

/// As many neurons on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Nst {
    /// Neurons of a side.
    pub count: usize,
    /// Positions.
    pub width: usize,
}

/// Activations of student and teacher, and what the last run made of them.
pub(super) struct NstWork {
    case: Nst,
    student: Array2<f32>,
    teacher: Array2<f32>,
    output: Option<Output>,
}

impl NstWork {
    pub fn new(case: Nst) -> Self {
        // Of all lengths, since scaling them is part of the work.
        let rows = |shift, number| {
            let mut lengths = stream(number + 100);
            let mut rows = scattered(case.count, case.width, shift, number);
            rows.rows_mut().into_iter().for_each(|mut row| row *= 0.5 + lengths.uniform());
            rows
        };
        Self { case, student: rows(0.0, 1), teacher: rows(0.3, 2), output: None }
    }
}

impl Work for NstWork {
    /// Gradients of both sides; the peers leave the teacher's out.
    fn run(&mut self) -> anyhow::Result<()> {
        self.output = Some(nst(&single(self.student.view()), &single(self.teacher.view()))?);
        Ok(())
    }

    fn answer(&self) -> Answer {
        let Some(output) = &self.output else { return Answer::default() };
        Answer { values: output.value.clone(), grad_norm: Some(norm([&output.grad_x])) }
    }

    /// Gradients of some rows of the whole shape, and the value of its first neurons.
    fn check(&self) -> anyhow::Result<Errors> {
        let Some(output) = &self.output else { bail!("nst: nothing was run") };
        let sample = self.case.count.min(VALUE_SAMPLE);
        let first = |rows: &Array2<f32>| rows.slice(s![..sample, ..]).to_owned();
        let (x, y) = (first(&self.student), first(&self.teacher));
        let part = nst(&single(x.view()), &single(y.view()))?;
        let kernel = Options::polynomial(2, 0.0).kernel;
        let want = value(&unit(&x).0, &unit(&y).0, &kernel);

        let (x, x_lengths) = unit(&self.student);
        let (y, y_lengths) = unit(&self.teacher);
        let mut gradients = Comparison::default();
        for (own, lengths, other, got) in
            [(&x, &x_lengths, &y, &output.grad_x), (&y, &y_lengths, &x, &output.grad_y)]
        {
            for row in sample_rows(self.case.count) {
                let grad = gradient_row(own, other, row, &kernel);
                // Through the scaling to length 1.
                let along: f64 = own.row(row).iter().zip(&grad).map(|(u, g)| u * g).sum();
                let want =
                    grad.iter().zip(own.row(row)).map(|(g, u)| (g - along * u) / lengths[row]);
                gradients.add(widened(got.row(row)), want);
            }
        }
        Ok(Errors { value: error(part.value, [want]), gradient: Some(gradients.error()) })
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input::matrix("x", &self.student), Input::matrix("y", &self.teacher)]
    }

    fn parameters(&self) -> Value {
        json!({})
    }
}

/// Rows scaled to length 1 in f64, and the lengths they had.
fn unit(rows: &Array2<f32>) -> (Array2<f64>, Vec<f64>) {
    let mut rows = rows.mapv(f64::from);
    let lengths = rows.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect::<Vec<_>>();
    rows.rows_mut().into_iter().zip(&lengths).for_each(|(mut row, length)| row /= *length);
    (rows, lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_case_passes_its_check() {
        for (count, width) in [(9, 20), (20, 5)] {
            let mut work = NstWork::new(Nst { count, width });
            work.run().unwrap();
            work.check().unwrap().accept().unwrap();
        }
    }
}
