//! A matrix product as it is defined.

/// `alpha A B + beta C` for row-major `a (m, k)`, `b (k, n)` and `c (m, n)`.
///
/// Where `beta` is 0, `c` counts as 0 whatever it holds.
///
/// # Panics
///
/// When a length does not fit the extents.
pub fn matmul(
    [m, n, k]: [usize; 3],
    a: &[f64],
    b: &[f64],
    c: &[f64],
    alpha: f64,
    beta: f64,
) -> Vec<f64> {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "lengths differ");
    let mut out = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|t| a[i * k + t] * b[t * n + j]).sum();
            let old = if beta == 0.0 { 0.0 } else { beta * c[i * n + j] };
            out.push(alpha * sum + old);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_by_two_by_hand() {
        let (a, b, c) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [1.0, 1.0, 1.0, 1.0]);
        assert_eq!(matmul([2, 2, 2], &a, &b, &c, 2.0, 3.0), [41.0, 47.0, 89.0, 103.0]);
        assert_eq!(matmul([2, 2, 2], &a, &b, &[f64::NAN; 4], 1.0, 0.0), [19.0, 22.0, 43.0, 50.0]);
    }

    #[test]
    fn a_sum_of_nothing_is_0() {
        assert_eq!(matmul([1, 2, 0], &[], &[], &[3.0, 4.0], 1.0, 0.5), [1.5, 2.0]);
    }
}
