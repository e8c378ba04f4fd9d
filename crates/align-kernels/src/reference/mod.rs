//! References in f64: one item at a time, plain loops, written to be read.
//!
//! Every fast path agrees with the file of its name here.

pub mod crd;
pub mod info_nce;
pub mod mmd;
pub mod nst;
pub mod pairwise_cost;
pub mod sinkhorn;
pub mod wasserstein_info_nce;

/// `ln(sum(exp(x)))`, shifted by the largest term; `-inf` for an empty sum, NaN where a term is.
fn log_sum_exp(terms: &[f64]) -> f64 {
    let max = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY && !terms.iter().any(|t| t.is_nan()) {
        return max;
    }
    max + terms.iter().map(|t| (t - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::log_sum_exp;

    #[test]
    fn empty_infinite_and_nan_sums_are_defined() {
        assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert!((log_sum_exp(&[1000.0, 1000.0]) - 1000.0 - 2f64.ln()).abs() < 1e-12);
        for terms in [&[f64::NAN][..], &[f64::NAN, 0.0], &[f64::NEG_INFINITY, f64::NAN]] {
            assert!(log_sum_exp(terms).is_nan(), "{terms:?}");
        }
    }
}
