//! How far past the fit an update goes.
//!
//! Sinkhorn is, near its solution, a Gauss-Seidel iteration whose error falls by `r` an iteration; the
//! best over-relaxation is then `omega = 2 / (1 + sqrt(1 - r))` (Young 1954; Lehmann et al. 2021,
//! arXiv:2012.12562; Thibault et al. 2021, arXiv:1711.01851). `r` is measured over the first iterations
//! and corrected as the iteration goes on. Where the error rises the plain iteration takes over.

/// Plain iterations before the rate is trusted.
const BURN_IN: usize = 10;
/// Iterations under a new factor before its rate is measured, and over how many it is.
const SETTLING: usize = 5;
const WINDOW: usize = 10;
/// An error this many times the least one under the present factor means that it is too large.
const LARGEST_RISE: f64 = 20.0;
/// Never closer to 2, where the iteration stops converging.
const LARGEST: f64 = 1.9;
/// Errors below this are rounding, and say nothing about a rate.
const NOISE: f64 = 2e-6;

/// The factor of the next updates, from the errors of the last ones.
#[derive(Debug)]
pub(super) struct Relaxation {
    omega: f64,
    cap: f64,
    /// Iterations since the factor was last set.
    age: usize,
    /// Error when the window began.
    first: f64,
    least: f64,
}

impl Relaxation {
    pub fn new(enabled: bool) -> Self {
        let cap = if enabled { LARGEST } else { 1.0 };
        Self { omega: 1.0, cap, age: 0, first: f64::NAN, least: f64::INFINITY }
    }

    /// Factor of the next update.
    pub fn omega(&self) -> f64 {
        self.omega
    }

    /// Takes in the marginal error after one more iteration.
    pub fn observe(&mut self, error: f64) {
        if self.cap <= 1.0 || error.is_nan() {
            return;
        }
        if self.omega > 1.0 && error > LARGEST_RISE * self.least && error > NOISE {
            return self.retreat(error);
        }
        self.least = self.least.min(error);
        self.age += 1;
        // The plain rate is read off the last four steps of the burn-in; a relaxed one after the
        // iteration has settled, for the error first rises under a new factor.
        let plain = self.omega == 1.0;
        let (from, steps) = if plain { (BURN_IN - 4, 4) } else { (SETTLING, WINDOW) };
        if self.age == from {
            self.first = error;
        }
        if self.age < from + steps || error <= NOISE {
            return;
        }
        let rate = (error / self.first).powf(1.0 / steps as f64);
        if rate >= 1.0 {
            return self.retreat(error);
        }
        let past = self.omega - 1.0;
        if plain {
            self.omega = best(rate).min(self.cap);
        } else if rate > past {
            // Young's relation between the rates of the relaxed and the plain iteration.
            let plain_rate = ((rate + past) / self.omega).powi(2) / rate;
            self.omega = best(plain_rate.min(1.0)).clamp(1.0, self.cap);
        }
        (self.age, self.least) = (0, error);
    }

    /// Back to plain iterations, and more cautious afterwards.
    fn retreat(&mut self, error: f64) {
        if self.omega > 1.0 {
            self.cap = 1.0 + (self.omega - 1.0) * 0.9;
        }
        (self.omega, self.age, self.first, self.least) = (1.0, 0, error, error);
    }
}

fn best(rate: f64) -> f64 {
    2.0 / (1.0 + (1.0 - rate).max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_gives_its_best_factor_after_the_burn_in() {
        let mut relaxation = Relaxation::new(true);
        for k in 0..BURN_IN {
            assert_eq!(relaxation.omega(), 1.0, "{k}");
            relaxation.observe(0.75f64.powi(k as i32));
        }
        assert!((relaxation.omega() - best(0.75)).abs() < 1e-12);
    }

    #[test]
    fn a_rising_error_brings_the_plain_iteration_back() {
        let mut relaxation = Relaxation::new(true);
        (0..BURN_IN).for_each(|k| relaxation.observe(0.9f64.powi(k as i32)));
        assert!(relaxation.omega() > 1.4);
        relaxation.observe(30.0);
        assert_eq!(relaxation.omega(), 1.0);
    }

    #[test]
    fn disabled_it_stays_plain_and_noise_changes_nothing() {
        let mut relaxation = Relaxation::new(false);
        (0..50).for_each(|k| relaxation.observe(0.9f64.powi(k)));
        assert_eq!(relaxation.omega(), 1.0);
        let mut relaxation = Relaxation::new(true);
        (0..50).for_each(|k| relaxation.observe(1e-7 * f64::from(k % 3)));
        assert_eq!(relaxation.omega(), 1.0);
    }
}
