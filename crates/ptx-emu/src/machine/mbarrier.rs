//! The state of an `mbarrier` object: phases that end when all arrivals and all bytes have come.

use std::fmt;

use crate::memory::clock::Clock;

/// Largest count of arrivals, and largest number of bytes that may be outstanding either way.
const LIMIT: u32 = (1 << 20) - 1;

/// One object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mbarrier {
    /// Number of the phase that is going on, from 0.
    phase: u32,
    /// Arrivals of a phase, and those that the present one lacks.
    expected: u32,
    pending: u32,
    /// Bytes that were announced and have not come; below zero when they came first.
    bytes: i64,
    /// What the arrivals of the present phase have released, and those of completed phases.
    gathering: Clock,
    complete: Clock,
    /// Where it was initialised.
    line: u32,
}

impl Mbarrier {
    /// An object at the start of phase 0.
    pub(crate) fn new(expected: u32, line: u32) -> Result<Mbarrier, String> {
        within("initialised with a count of", expected, 1)?;
        Ok(Mbarrier {
            phase: 0,
            expected,
            pending: expected,
            bytes: 0,
            gathering: Clock::default(),
            complete: Clock::default(),
            line,
        })
    }

    /// The opaque value that an arrival returns: the phase, and the arrivals that it lacked.
    pub(crate) fn token(&self) -> u64 {
        u64::from(self.phase) << 32 | u64::from(self.pending)
    }

    /// The arrivals that were lacking when `token` was made.
    pub(crate) fn pending_of(token: u64) -> u32 {
        token as u32
    }

    /// Counts `count` arrivals, which release `clock`.
    pub(crate) fn arrive(&mut self, count: u32, clock: Option<&Clock>) -> Result<(), String> {
        within("arrival with a count of", count, 1)?;
        if count > self.pending {
            return Err(format!(
                "{count} arrivals, but phase {} lacks {} of {}",
                self.phase, self.pending, self.expected
            ));
        }
        if let Some(clock) = clock {
            self.gathering.join(clock);
        }
        self.pending -= count;
        self.turn();
        Ok(())
    }

    /// As [`Mbarrier::arrive`], where the phase must not end by it.
    pub(crate) fn arrive_within(
        &mut self,
        count: u32,
        clock: Option<&Clock>,
    ) -> Result<(), String> {
        if count == self.pending && self.bytes == 0 {
            return Err(format!("a .noComplete arrival ends phase {}", self.phase));
        }
        self.arrive(count, clock)
    }

    /// The present phase lacks one arrival more, which a copy will bring.
    pub(crate) fn add_pending(&mut self) -> Result<(), String> {
        within("pending count of", self.pending + 1, 1)?;
        self.pending += 1;
        Ok(())
    }

    /// Expects `count` arrivals fewer from the next phase on.
    pub(crate) fn drop_expected(&mut self, count: u32) -> Result<(), String> {
        within("arrival with a count of", count, 1)?;
        self.expected = self
            .expected
            .checked_sub(count)
            .ok_or_else(|| format!("drops {count} arrivals of {}", self.expected))?;
        Ok(())
    }

    /// Announces bytes to the present phase.
    pub(crate) fn expect_bytes(&mut self, bytes: u32) -> Result<(), String> {
        within("announcement of bytes:", bytes, 0)?;
        self.bytes += i64::from(bytes);
        self.check_bytes()
    }

    /// Bytes have come, which release `clock`.
    pub(crate) fn complete_bytes(
        &mut self,
        bytes: u32,
        clock: Option<&Clock>,
    ) -> Result<(), String> {
        self.bytes -= i64::from(bytes);
        self.check_bytes()?;
        if let Some(clock) = clock {
            self.gathering.join(clock);
        }
        self.turn();
        Ok(())
    }

    fn check_bytes(&self) -> Result<(), String> {
        match self.bytes.abs() > i64::from(LIMIT) {
            true => Err(format!(
                "{} bytes outstanding in phase {}, expected at most {LIMIT} either way",
                self.bytes, self.phase
            )),
            false => Ok(()),
        }
    }

    /// Ends the phase when nothing is lacking.
    fn turn(&mut self) {
        if self.pending == 0 && self.bytes == 0 {
            self.phase = self.phase.wrapping_add(1);
            self.pending = self.expected;
            let gathered = std::mem::take(&mut self.gathering);
            self.complete.join(&gathered);
        }
    }

    /// Whether the phase of `token` has ended.
    pub(crate) fn has_passed(&self, token: u64) -> Result<bool, String> {
        let phase = (token >> 32) as u32;
        match self.phase.wrapping_sub(phase) {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(format!(
                "wait for phase {phase} in phase {}, expected this one or the one before",
                self.phase
            )),
        }
    }

    /// Whether the latest phase of this parity has ended.
    pub(crate) fn has_passed_parity(&self, parity: u32) -> Result<bool, String> {
        match parity {
            0 | 1 => Ok(self.phase & 1 != parity),
            _ => Err(format!("wait for parity {parity}, expected 0 or 1")),
        }
    }

    /// What a successful wait makes known.
    pub(crate) fn complete(&self) -> &Clock {
        &self.complete
    }

    /// Whether a phase has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.pending != self.expected || self.bytes != 0
    }
}

impl fmt::Display for Mbarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "(line {}): phase {} lacks {} of {} arrivals and {} bytes",
            self.line, self.phase, self.pending, self.expected, self.bytes
        )
    }
}

fn within(what: &str, value: u32, least: u32) -> Result<(), String> {
    match (least..=LIMIT).contains(&value) {
        true => Ok(()),
        false => Err(format!("{what} {value}, expected {least} to {LIMIT}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_needs_arrivals_and_bytes() {
        let mut object = Mbarrier::new(2, 1).unwrap();
        object.arrive(1, None).unwrap();
        object.expect_bytes(64).unwrap();
        object.arrive(1, None).unwrap();
        assert_eq!(object.has_passed_parity(0), Ok(false));
        object.complete_bytes(48, None).unwrap();
        object.complete_bytes(16, None).unwrap();
        assert_eq!(object.has_passed_parity(0), Ok(true));
        assert_eq!(object.has_passed_parity(1), Ok(false));
        assert_eq!(object.token(), 1 << 32 | 2);
    }

    #[test]
    fn bytes_may_come_before_they_are_announced() {
        let mut object = Mbarrier::new(1, 1).unwrap();
        object.complete_bytes(64, None).unwrap();
        object.expect_bytes(64).unwrap();
        assert_eq!(object.has_passed_parity(0), Ok(false));
        object.arrive(1, None).unwrap();
        assert_eq!(object.has_passed_parity(0), Ok(true));
    }

    #[test]
    fn a_token_is_good_for_one_phase_more() {
        let mut object = Mbarrier::new(1, 1).unwrap();
        let token = object.token();
        assert_eq!(object.has_passed(token), Ok(false));
        object.arrive(1, None).unwrap();
        assert_eq!(object.has_passed(token), Ok(true));
        object.arrive(1, None).unwrap();
        assert!(object.has_passed(token).is_err());
    }

    #[test]
    fn dropping_counts_from_the_next_phase_on() {
        let mut object = Mbarrier::new(2, 1).unwrap();
        object.drop_expected(1).unwrap();
        object.arrive(1, None).unwrap();
        assert_eq!(object.has_passed_parity(0), Ok(false));
        object.arrive(1, None).unwrap();
        assert_eq!(object.token(), 1 << 32 | 1);
        assert!(object.arrive(2, None).is_err());
    }
}
