//! The temperatures of every pair.

/// What a problem is solved with.
pub(super) struct Course<'s> {
    /// Temperatures of each pair; none for those without mass, which are done before they begin.
    pub schedules: Vec<&'s [f64]>,
    /// Whether every pair is a cloud with itself: one potential is then both.
    pub is_symmetric: bool,
}
