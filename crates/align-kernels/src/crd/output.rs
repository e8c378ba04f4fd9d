//! What CRD gives back.

use ndarray::Array2;

/// Value and gradients of CRD; the gradients are arrays, or for points on a GPU a `DeviceBuffer<f32>`.
#[derive(Debug, Clone)]
pub struct Crd<G = Array2<f32>> {
    /// The loss, summed over anchors.
    pub value: f64,
    /// Gradient with respect to the student's rows.
    pub grad_student: G,
    /// Gradient with respect to the teacher's rows.
    pub grad_teacher: G,
}
