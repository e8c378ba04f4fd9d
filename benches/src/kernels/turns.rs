//! The clock: who runs how often before it is somebody else's turn.

use std::time::Instant;

use serde_json::{Value, json};

/// Time that a turn may fill with samples, in ms: short work is repeated, long work runs once.
const TURN_MS: f64 = 300.0;

/// Most samples of one turn.
const MOST_SAMPLES: usize = 5;

/// Work below this runs once before the clock starts, in ms: caches hold another's data then, and a
/// short run would feel it.
const WARM_BELOW_MS: f64 = 150.0;

/// What one side does before it is another's turn; the same rule for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Runs that are not timed.
    pub warm: usize,
    /// Runs that are.
    pub samples: usize,
}

impl Turn {
    /// For work that lately took so long.
    pub fn for_work_of(ms: f64) -> Self {
        let samples = ((TURN_MS / ms) as usize).clamp(1, MOST_SAMPLES);
        Self { warm: usize::from(ms < WARM_BELOW_MS), samples }
    }

    /// Times `run`, in ms.
    ///
    /// # Errors
    ///
    /// Those of `run`.
    pub fn take(self, mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
        for _ in 0..self.warm {
            run()?;
        }
        (0..self.samples)
            .map(|_| {
                let began = Instant::now();
                run()?;
                Ok(began.elapsed().as_secs_f64() * 1e3)
            })
            .collect()
    }

    /// As a peer is asked.
    pub fn request(self) -> Value {
        json!({ "warm": self.warm, "samples": self.samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_work_is_warmed_up_and_repeated() {
        let turn = Turn::for_work_of;
        assert_eq!(turn(0.1), Turn { warm: 1, samples: 5 });
        assert_eq!(turn(100.0), Turn { warm: 1, samples: 3 });
        assert_eq!(turn(200.0), Turn { warm: 0, samples: 1 });
        assert_eq!(turn(1e5), Turn { warm: 0, samples: 1 });
        let mut runs = 0;
        let times = turn(0.1).take(|| {
            runs += 1;
            Ok(())
        });
        assert_eq!((times.unwrap().len(), runs), (5, 6));
    }
}
