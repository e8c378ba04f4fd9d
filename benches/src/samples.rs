//! What many timings of the same work come to.

/// 20th, 50th and 80th percentile, linear between neighbours as `numpy.percentile`, which the
/// peers' scripts use; NaN when there is no sample.
pub fn percentiles(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.2, 0.5, 0.8].map(|p| {
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let at = last as f64 * p;
        let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        below + (above - below) * at.fract()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_numpy() {
        assert_eq!(percentiles(&[3.0]), [3.0; 3]);
        assert_eq!(percentiles(&[4.0, 1.0]), [1.6, 2.5, 3.4000000000000004]);
        assert_eq!(percentiles(&[5.0, 1.0, 4.0, 2.0, 3.0, 6.0]), [2.0, 3.5, 5.0]);
        assert!(percentiles(&[]).iter().all(|p| p.is_nan()));
    }
}
