//! CRD against banks of past vectors.

use ndarray::{Array2, ArrayView2};

use super::distillation::Distillation;
use super::in_batch::check_temperature;
use super::output::Crd;
use crate::error::{KernelError, Result};
use crate::place::{Cloud, Host};

/// A row for each of `M` training samples: running vectors of one modality, on the host, or for
/// anchors on a GPU in its memory.
#[derive(Debug)]
pub struct Bank<P: Distillation = Host> {
    /// `(M, P)`, row-major.
    rows: P::Table,
}

impl Bank {
    /// A bank with these rows, `(M, P)`. RepDistiller starts with values drawn uniformly from
    /// `(-s, s)`, `s = 1 / sqrt(P / 3)`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when an extent is 0.
    pub fn new(rows: Array2<f32>) -> Result<Self> {
        check_extents(rows.dim())?;
        Ok(Self { rows: rows.as_standard_layout().into_owned() })
    }

    /// All rows, `(M, P)`.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }
}

impl Clone for Bank {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone() }
    }
}

impl<P: Distillation> Bank<P> {
    /// A bank of checked rows.
    #[cfg(feature = "cuda")]
    pub(crate) fn of(rows: P::Table) -> Result<Self> {
        check_extents(P::dim(&rows))?;
        Ok(Self { rows })
    }

    /// Where the rows are.
    #[cfg(feature = "cuda")]
    pub(crate) fn table(&self) -> &P::Table {
        &self.rows
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
    /// `M`; [`Option`](crate::ErrorKind::Option) when the temperature is not above 0;
    /// [`Device`](crate::ErrorKind::Device) when a GPU fails.
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
        anchors: P::Points<'_>,
        rows: P::Indices<'_>,
        temperature: f64,
        z: &mut f64,
    ) -> Result<(f64, P::Gradient)> {
        let (count, width) = (anchors.count(), anchors.width());
        let (n_data, expected) = P::dim(&self.rows);
        let got = P::count(rows);
        check_temperature(temperature)?;
        if width != expected || count == 0 || !got.is_multiple_of(count) {
            let text = format!(
                "anchors are ({count}, {width}), expected (B, {expected}), B dividing {got}"
            );
            return Err(KernelError::shape("memory bank", text));
        }
        check_rows(n_data, got / count, P::are_below(rows, n_data))?;
        P::contrast(&self.rows, anchors, rows, temperature, z)
    }

    /// `row <- normalise(momentum * row + (1 - momentum) * fresh)` for the rows of `index`, one
    /// after another.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) unless `fresh` is `(index.len(), P)` and indices are
    /// below `M`; on a GPU the rows of good indices are moved all the same.
    pub fn update(
        &mut self,
        index: P::Indices<'_>,
        fresh: P::Points<'_>,
        momentum: f64,
    ) -> Result<()> {
        self.check_update(index, fresh)?;
        P::update(&mut self.rows, index, fresh, momentum)
    }

    fn check_update(&self, index: P::Indices<'_>, fresh: P::Points<'_>) -> Result<()> {
        let (n_data, width) = P::dim(&self.rows);
        let (got, expected) = ((fresh.count(), fresh.width()), (P::count(index), width));
        check_fresh(got, expected, n_data, got == expected && P::are_below(index, n_data))
    }
}

fn check_extents(dim: (usize, usize)) -> Result<()> {
    if dim.0 == 0 || dim.1 == 0 {
        let text = format!("rows are {dim:?}, expected (M, P) above 0");
        return Err(KernelError::shape("memory bank", text));
    }
    Ok(())
}

/// Refuses anchors of fewer than two rows, or with a row that is not there.
pub(crate) fn check_rows(n_data: usize, slots: usize, are_below: bool) -> Result<()> {
    if slots < 2 || !are_below {
        let text = format!("{slots} rows an anchor, expected 2 or more below {n_data}");
        return Err(KernelError::shape("memory bank", text));
    }
    Ok(())
}

/// Refuses fresh rows that do not fit, or for rows that are not there.
pub(crate) fn check_fresh(
    got: (usize, usize),
    expected: (usize, usize),
    n_data: usize,
    is_good: bool,
) -> Result<()> {
    if is_good {
        return Ok(());
    }
    let text = format!("fresh rows are {got:?}, expected {expected:?} for rows below {n_data}");
    Err(KernelError::shape("memory bank", text))
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
#[derive(Debug)]
pub struct MemoryBank<P: Distillation = Host> {
    /// The student's rows; teacher anchors are scored against them.
    pub student: Bank<P>,
    /// The teacher's rows.
    pub teacher: Bank<P>,
    /// Normalisers of student-anchored and of teacher-anchored scores; 0 until fixed.
    pub z: [f64; 2],
}

impl Clone for MemoryBank {
    fn clone(&self) -> Self {
        Self { student: self.student.clone(), teacher: self.teacher.clone(), z: self.z }
    }
}

impl<P: Distillation> MemoryBank<P> {
    /// Banks whose normalisers are not fixed yet.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the banks have different shapes.
    pub fn new(student: Bank<P>, teacher: Bank<P>) -> Result<Self> {
        let (got, expected) = (P::dim(&teacher.rows), P::dim(&student.rows));
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
        student: P::Points<'_>,
        teacher: P::Points<'_>,
        rows: P::Indices<'_>,
        temperature: f64,
    ) -> Result<Crd<P::Gradient>> {
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
        index: P::Indices<'_>,
        student: P::Points<'_>,
        teacher: P::Points<'_>,
        momentum: f64,
    ) -> Result<()> {
        // Before either is touched.
        self.teacher.check_update(index, teacher)?;
        self.student.update(index, student, momentum)?;
        self.teacher.update(index, teacher, momentum)
    }
}
