//! Who may take how long.

use std::time::{Duration, Instant};

/// The time of a check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    began: Instant,
    end: Instant,
}

impl Budget {
    pub(super) fn start(minutes: f64) -> Self {
        let began = Instant::now();
        Self { began, end: began + Duration::from_secs_f64(minutes * 60.0) }
    }

    /// Seconds for a stage that may take this share of what is left.
    pub(super) fn grant(&self, share: f64) -> f64 {
        share * remaining(self.end).as_secs_f64()
    }

    /// When so many seconds are over.
    pub(super) fn until(&self, seconds: f64) -> Instant {
        (Instant::now() + Duration::from_secs_f64(seconds)).min(self.end)
    }

    /// Seconds since the start.
    pub(super) fn spent(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Time to an instant, none where it is over.
pub(super) fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_gets_its_share_of_what_is_left() {
        let budget = Budget::start(1.0);
        let seconds = budget.grant(0.5);
        assert!((29.0..=30.0).contains(&seconds), "{seconds}");
        assert!(remaining(budget.until(1e4)) <= Duration::from_secs(60));
        assert_eq!(remaining(Instant::now()), Duration::ZERO);
    }
}
