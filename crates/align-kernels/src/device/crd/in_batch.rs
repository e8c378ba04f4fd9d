//! CRD with the other clips of a batch as negatives.

use gpu_math::{Matrix, MatrixMut, Products, Scale, matmul};
use gpu_runtime::DeviceBuffer;

use super::slopes::{Table, slopes, total};
use crate::crd::Crd;
use crate::crd::clips::{counts, shift};
use crate::device::clouds::Clouds;
use crate::device::points::DevicePoints;
use crate::device::session::Session;
use crate::error::Result;

/// [`crd_in_batch`](crate::crd::crd_in_batch) of checked arguments.
pub(super) fn run(
    student: DevicePoints<'_>,
    teacher: DevicePoints<'_>,
    clip_of: &[usize],
    drawn: &[usize],
    temperature: f64,
    n_data: usize,
) -> Result<Crd<DeviceBuffer<f32>>> {
    let session = Session::begin("crd", student, teacher)?;
    let (n, clips, width) = (student.count(), teacher.count(), student.width());
    session.finish(|| {
        if clips < 2 || n == 0 {
            let (grad_student, grad_teacher) =
                (session.zeros(n * width)?, session.zeros(clips * width)?);
            return Ok(Crd { value: 0.0, grad_student, grad_teacher });
        }
        let clouds = Clouds::wide(&session, student, teacher)?;
        let of_student = clouds.x.matrix(&session, 0..n, width)?;
        let of_teacher = clouds.y.matrix(&session, 0..clips, width)?;
        let products = Products::new(session.stream.device());
        let product = |a, b, out: &mut DeviceBuffer<f32>, (rows, cols)| {
            let out = session.gpu(MatrixMut::new(out, rows, cols, cols))?;
            session.gpu(matmul(&products, session.stream, a, b, out, Scale::default()))
        };

        // 1. Scores, and how often each serves as a negative.
        let mut scores = session.room(n * clips)?;
        product(of_student, of_teacher.transposed(), &mut scores, (n, clips))?;
        let own: Vec<u32> = clip_of.iter().map(|&clip| clip as u32).collect();
        let table = Table {
            counts: &session.send(&counts(clips, clip_of, drawn))?,
            positives: &session.send(&own)?,
            stride: 1,
            rows: n,
            cols: clips,
            inverse: (1.0 / temperature) as f32,
            shift: shift(clips, n_data),
            // It serves both directions.
            weight: 2.0,
        };

        // 2. Losses and slopes.
        let sums = slopes(&session, table, &mut scores)?;

        // 3. Back to the vectors.
        let slopes = session.gpu(Matrix::new(&scores, n, clips, clips))?;
        let mut grad_student = session.room(n * width)?;
        let mut grad_teacher = session.room(clips * width)?;
        product(slopes, of_teacher, &mut grad_student, (n, width))?;
        product(slopes.transposed(), of_student, &mut grad_teacher, (clips, width))?;
        Ok(Crd { value: total(&session, &sums)?, grad_student, grad_teacher })
    })
}
