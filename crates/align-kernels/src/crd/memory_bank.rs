//! CRD against banks of past vectors.

use ndarray::{Array2, ArrayView2};

use super::contrast::{Contrast, contrast};
use super::in_batch::{Crd, check_temperature};
use crate::error::{KernelError, Result};
use crate::points::Points;

/// A row for each of `M` training samples: running vectors of one modality.
#[derive(Debug, Clone)]
pub struct Bank {
    /// `(M, P)`, row-major.
    rows: Array2<f32>,
}

impl Bank {
    /// A bank with these rows, `(M, P)`. RepDistiller starts with values drawn uniformly from
    /// `(-s, s)`, `s = 1 / sqrt(P / 3)`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when an extent is 0.
    pub fn new(rows: Array2<f32>) -> Result<Self> {
        if rows.is_empty() {
            let text = format!("rows are {:?}, expected (M, P) above 0", rows.dim());
            return Err(KernelError::shape("memory bank", text));
        }
        Ok(Self { rows: rows.as_standard_layout().into_owned() })
    }

    /// All rows, `(M, P)`.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// Scores anchors against rows of this bank, that of the other modality.
    ///
    /// ```text
    /// p = e^(anchor . row / temperature) / Z      Z = M * mean of the exponentials of a first batch
    /// L = -log( p+ / (p+ + c) ) - sum over K negatives of log( (K/M) / (p + c) )    c = K/M + 1e-7
    /// ```
    ///
    /// summed over anchors; the gradient is with respect to them alone. `z` of 0 is fixed by this
    /// batch, if that comes out finite.
    ///
    /// # Shapes
    ///
    /// | argument  | shape        | dtype          | meaning                           |
    /// |-----------|--------------|----------------|-----------------------------------|
    /// | `anchors` | `(B, P)`     | f32, bf16, f16 | unit-norm vectors                 |
    /// | `rows`    | `(B, K + 1)` | index          | the sample itself, then negatives |
    /// | gradient  | `(B, P)`     | f32            |                                   |
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when extents disagree, `K` is 0 or an index is not below
    /// `M`; [`Option`](crate::ErrorKind::Option) when the temperature is not above 0.
    ///
    /// # Numerics
    ///
    /// Scores and their softplus in f32, sums over slots and `Z` in f64. Repeated rows count as
    /// often as they occur.
    ///
    /// # Source
    ///
    /// arXiv:1910.10699 and the behaviour of its reference implementation, RepDistiller.
    pub fn contrast(
        &self,
        anchors: Points<'_>,
        rows: &[usize],
        temperature: f64,
        z: &mut f64,
    ) -> Result<(f64, Array2<f32>)> {
        let (count, width) = (anchors.count(), anchors.width());
        let (n_data, expected) = self.rows.dim();
        check_temperature(temperature)?;
        if width != expected || count == 0 || !rows.len().is_multiple_of(count) {
            let got = rows.len();
            let text = format!(
                "anchors are ({count}, {width}), expected (B, {expected}), B dividing {got}"
            );
            return Err(KernelError::shape("memory bank", text));
        }
        let slots = rows.len() / count;
        if slots < 2 || rows.iter().any(|&row| row >= n_data) {
            let text = format!("{slots} rows an anchor, expected 2 or more below {n_data}");
            return Err(KernelError::shape("memory bank", text));
        }
        let anchors = anchors.to_f32();
        let problem =
            Contrast { anchors: &anchors, bank: self.slice(), width, rows, slots, temperature };
        let (value, grad) = contrast(&problem, z);
        let grad = Array2::from_shape_vec((count, width), grad);
        Ok((value, grad.expect("one gradient a coordinate")))
    }

    /// `row <- normalise(momentum * row + (1 - momentum) * fresh)` for the rows of `index`, one
    /// after another.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) unless `fresh` is `(index.len(), P)` and indices are
    /// below `M`.
    pub fn update(&mut self, index: &[usize], fresh: Points<'_>, momentum: f64) -> Result<()> {
        self.check_update(index, fresh)?;
        let width = self.rows.ncols();
        let rows = self.rows.as_slice_mut().expect("standard layout");
        for (&row, fresh) in index.iter().zip(fresh.to_f32().chunks(width)) {
            let row = &mut rows[row * width..(row + 1) * width];
            for (old, &new) in row.iter_mut().zip(fresh) {
                *old = (momentum * f64::from(*old) + (1.0 - momentum) * f64::from(new)) as f32;
            }
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm.max(1e-12)) as f32);
        }
        Ok(())
    }

    fn check_update(&self, index: &[usize], fresh: Points<'_>) -> Result<()> {
        let (n_data, width) = self.rows.dim();
        let got = (fresh.count(), fresh.width());
        if got == (index.len(), width) && index.iter().all(|&row| row < n_data) {
            return Ok(());
        }
        let expected = (index.len(), width);
        let text = format!("fresh rows are {got:?}, expected {expected:?} for rows below {n_data}");
        Err(KernelError::shape("memory bank", text))
    }

    fn slice(&self) -> &[f32] {
        self.rows.as_slice().expect("standard layout")
    }
}

/// Both banks, with the normalisers that the first finite batch fixes.
///
/// # Examples
///
/// ```
/// use align_kernels::crd::{Bank, MemoryBank};
/// use ndarray::{Array2, array};
///
/// let rows = Array2::from_shape_fn((5, 2), |(i, j)| (i as f32 - j as f32) / 5.0);
/// let mut banks = MemoryBank::new(Bank::new(rows.clone())?, Bank::new(rows)?)?;
/// let (student, teacher) = (array![[1.0f32, 0.0]], array![[0.6f32, 0.8]]);
/// let rows = [3, 0, 1, 4]; // the sample is row 3; three negatives
/// let out = banks.loss(student.view().into(), teacher.view().into(), &rows, 0.07)?;
/// banks.update(&[3], student.view().into(), teacher.view().into(), 0.5)?;
/// assert!(out.value > 0.0 && banks.z.iter().all(|&z| z > 0.0));
/// # Ok::<(), align_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryBank {
    /// The student's rows; teacher anchors are scored against them.
    pub student: Bank,
    /// The teacher's rows.
    pub teacher: Bank,
    /// Normalisers of student-anchored and of teacher-anchored scores; 0 until fixed.
    pub z: [f64; 2],
}

impl MemoryBank {
    /// Banks whose normalisers are not fixed yet.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the banks have different shapes.
    pub fn new(student: Bank, teacher: Bank) -> Result<Self> {
        let (got, expected) = (teacher.rows.dim(), student.rows.dim());
        if got != expected {
            let text = format!("teacher's bank is {got:?}, expected {expected:?} as the student's");
            return Err(KernelError::shape("memory bank", text));
        }
        Ok(Self { student, teacher, z: [0.0; 2] })
    }

    /// The loss of both directions, summed over anchors: student anchors against the teacher's
    /// bank and the other way round. See [`Bank::contrast`] for formula, shapes and errors.
    pub fn loss(
        &mut self,
        student: Points<'_>,
        teacher: Points<'_>,
        rows: &[usize],
        temperature: f64,
    ) -> Result<Crd> {
        if student.count() != teacher.count() {
            let (got, expected) = (teacher.count(), student.count());
            let text = format!("{got} teacher anchors, expected {expected} as the student's");
            return Err(KernelError::shape("memory bank", text));
        }
        let [mut a, mut b] = self.z;
        let (of_student, grad_student) =
            self.teacher.contrast(student, rows, temperature, &mut a)?;
        let (of_teacher, grad_teacher) =
            self.student.contrast(teacher, rows, temperature, &mut b)?;
        self.z = [a, b];
        Ok(Crd { value: of_student + of_teacher, grad_student, grad_teacher })
    }

    /// Moves the rows of `index` in both banks; see [`Bank::update`].
    pub fn update(
        &mut self,
        index: &[usize],
        student: Points<'_>,
        teacher: Points<'_>,
        momentum: f64,
    ) -> Result<()> {
        // Before either is touched.
        self.teacher.check_update(index, teacher)?;
        self.student.update(index, student, momentum)?;
        self.teacher.update(index, teacher, momentum)
    }
}
