//! Races in global memory: two CTAs of a launch touch a word, one of them writes, and no fence
//! stands between.
//!
//! Each 4-byte word remembers the last CTA that wrote it and the last that read it. A CTA that
//! passes a fence of device scope (or an atomic with acquire or release) is taken to publish what it
//! did before and to see what others published before. That is enough for grid barriers and flags; it
//! does not find a flag that is read without a fence at the very moment it matters. Strong accesses
//! (volatile, relaxed and ordered ones of device scope) do not race with each other. Atomics are
//! held against plain writes before them; they leave no record themselves.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// A word's last writer and reader.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    writer: AtomicU64,
    reader: AtomicU64,
}

impl Shadow {
    /// Forgets both, before numbers of launches repeat.
    pub(crate) fn clear(&self) {
        self.writer.store(0, Relaxed);
        self.reader.store(0, Relaxed);
    }
}

/// Launches after which their numbers repeat; 0 stands for none.
pub(crate) const LAUNCHES: u32 = 255;
/// CTAs that a record can tell apart; a larger grid is not watched.
const MOST_CTAS: usize = 1 << 21;
/// Ticks that a record can tell apart. Past the last one, everything counts as ordered.
const LAST_TICK: u32 = (1 << 18) - 1;

/// Launch (8 bits), tick (18 bits), strong (1 bit), CTA (21 bits), line (16 bits), from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record(u64);

impl Record {
    fn launch(self) -> u32 {
        (self.0 >> 56) as u32
    }

    fn tick(self) -> u32 {
        (self.0 >> 38) as u32 & LAST_TICK
    }

    fn strong(self) -> bool {
        self.0 >> 37 & 1 == 1
    }

    fn cta(self) -> u32 {
        (self.0 >> 16) as u32 & (MOST_CTAS as u32 - 1)
    }

    fn line(self) -> u32 {
        self.0 as u32 & 0xffff
    }

    /// The same but for the line: nothing new to record.
    fn same_party(self, other: Record) -> bool {
        self.0 >> 16 == other.0 >> 16
    }
}

/// What a CTA does to a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    Read { strong: bool },
    Write { strong: bool },
    Atomic,
}

impl Touch {
    /// The verb of a message.
    pub(crate) fn does(self) -> &'static str {
        match self {
            Touch::Read { .. } => "reads",
            Touch::Write { .. } => "writes",
            Touch::Atomic => "updates",
        }
    }
}

/// What a clash says: the other CTA, what it did, and at which line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clash {
    pub(crate) cta: u32,
    pub(crate) line: u32,
    pub(crate) wrote: bool,
}

/// Fences that the CTAs of a launch have passed.
#[derive(Debug)]
pub(crate) struct Fences {
    launch: u32,
    /// Moments of the launch, a tick a fence.
    tick: AtomicU32,
    /// The tick of each CTA's last fence.
    last: Box<[AtomicU32]>,
}

impl Fences {
    /// For a launch of `ctas`; `launch` counts launches of the device.
    pub(crate) fn new(launch: u32, ctas: usize) -> Fences {
        let watched = if ctas <= MOST_CTAS { ctas } else { 0 };
        Fences {
            launch: launch % LAUNCHES + 1,
            tick: AtomicU32::new(1),
            last: (0..watched).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// `cta` passes a fence.
    pub(crate) fn pass(&self, cta: u32) {
        let tick = self.tick.fetch_add(1, SeqCst).min(LAST_TICK);
        if tick == LAST_TICK {
            self.tick.store(LAST_TICK, SeqCst);
        }
        if let Some(own) = self.last.get(cta as usize) {
            own.store(tick, SeqCst);
        }
    }

    fn last(&self, cta: u32) -> u32 {
        self.last.get(cta as usize).map_or(0, |last| last.load(SeqCst))
    }

    /// Whether both CTAs have passed a fence since `record`.
    fn ordered(&self, record: Record, own: u32) -> bool {
        let since = record.tick();
        since == LAST_TICK || (self.last(record.cta()) >= since && self.last(own) >= since)
    }

    /// `cta` touches a word at `line`; gives what that clashes with.
    #[inline(always)]
    pub(crate) fn touch(&self, word: &Shadow, cta: u32, line: u32, touch: Touch) -> Option<Clash> {
        if self.last.is_empty() {
            return None;
        }
        let (Touch::Read { strong } | Touch::Write { strong }) = touch else {
            return self.against(word.writer.load(SeqCst), cta, true, true);
        };
        let tick = self.tick.load(Relaxed).min(LAST_TICK);
        let own = Record(
            u64::from(self.launch) << 56
                | u64::from(tick) << 38
                | u64::from(strong) << 37
                | u64::from(cta) << 16
                | u64::from(line.min(0xffff)),
        );
        let writes = matches!(touch, Touch::Write { .. });
        let slot = if writes { &word.writer } else { &word.reader };
        // The record is made before the other one is looked at, so that of two that race on
        // different threads at least one sees the other.
        let before = match slot.load(Relaxed) {
            same if own.same_party(Record(same)) => same,
            _ => slot.swap(own.0, SeqCst),
        };
        if writes {
            self.against(before, cta, strong, true)
                .or_else(|| self.against(word.reader.load(SeqCst), cta, strong, false))
        } else {
            self.against(word.writer.load(SeqCst), cta, strong, true)
        }
    }

    #[inline(always)]
    fn against(&self, record: u64, cta: u32, strong: bool, wrote: bool) -> Option<Clash> {
        let record = Record(record);
        if record.launch() != self.launch
            || record.cta() == cta
            || (strong && record.strong())
            || self.ordered(record, cta)
        {
            return None;
        }
        Some(Clash { cta: record.cta(), line: record.line(), wrote })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Touch = Touch::Read { strong: false };
    const WRITE: Touch = Touch::Write { strong: false };
    const STRONG_READ: Touch = Touch::Read { strong: true };
    const STRONG_WRITE: Touch = Touch::Write { strong: true };

    fn wrote(cta: u32, line: u32) -> Option<Clash> {
        Some(Clash { cta, line, wrote: true })
    }

    fn read(cta: u32, line: u32) -> Option<Clash> {
        Some(Clash { cta, line, wrote: false })
    }

    #[test]
    fn one_cta_may_do_as_it_likes() {
        let (fences, word) = (Fences::new(1, 4), Shadow::default());
        assert_eq!(fences.touch(&word, 2, 10, WRITE), None);
        assert_eq!(fences.touch(&word, 2, 11, READ), None);
        assert_eq!(fences.touch(&word, 2, 12, STRONG_WRITE), None);
        assert_eq!(fences.touch(&word, 2, 13, Touch::Atomic), None);
    }

    #[test]
    fn a_read_of_another_ctas_write_needs_a_fence_of_both() {
        let (fences, word) = (Fences::new(1, 4), Shadow::default());
        fences.pass(1);
        fences.touch(&word, 0, 10, WRITE);
        assert_eq!(fences.touch(&word, 1, 11, READ), wrote(0, 10));
        fences.pass(0);
        assert_eq!(fences.touch(&word, 1, 11, READ), wrote(0, 10), "its fence was too early");
        fences.pass(1);
        assert_eq!(fences.touch(&word, 1, 11, READ), None);
        assert_eq!(fences.touch(&word, 2, 11, READ), wrote(0, 10));
    }

    #[test]
    fn a_write_after_another_ctas_read_or_write_is_a_race() {
        let (fences, word) = (Fences::new(1, 4), Shadow::default());
        assert_eq!(fences.touch(&word, 3, 7, READ), None);
        assert_eq!(fences.touch(&word, 1, 8, WRITE), read(3, 7));
        assert_eq!(fences.touch(&word, 2, 9, WRITE), wrote(1, 8));
    }

    #[test]
    fn strong_accesses_race_with_weak_ones_alone() {
        let (fences, word) = (Fences::new(1, 4), Shadow::default());
        assert_eq!(fences.touch(&word, 0, 1, STRONG_WRITE), None);
        assert_eq!(fences.touch(&word, 1, 2, STRONG_READ), None);
        assert_eq!(fences.touch(&word, 2, 3, STRONG_WRITE), None);
        assert_eq!(fences.touch(&word, 3, 4, Touch::Atomic), None);
        assert_eq!(fences.touch(&word, 3, 5, READ), wrote(2, 3));
        assert_eq!(fences.touch(&word, 1, 6, STRONG_WRITE), read(3, 5));
    }

    #[test]
    fn an_atomic_may_not_follow_a_plain_write_at_once() {
        let (fences, word) = (Fences::new(1, 4), Shadow::default());
        assert_eq!(fences.touch(&word, 0, 1, WRITE), None);
        assert_eq!(fences.touch(&word, 1, 2, Touch::Atomic), wrote(0, 1));
    }

    #[test]
    fn very_many_fences_hide_races_but_invent_none() {
        let (fences, word) = (Fences::new(1, 2), Shadow::default());
        (0..=LAST_TICK).for_each(|_| fences.pass(0));
        fences.touch(&word, 0, 1, WRITE);
        assert_eq!(fences.touch(&word, 1, 2, READ), None);
    }

    #[test]
    fn a_new_launch_starts_clean() {
        let word = Shadow::default();
        Fences::new(1, 4).touch(&word, 0, 10, WRITE);
        assert_eq!(Fences::new(2, 4).touch(&word, 1, 11, READ), None);
        word.clear();
        assert_eq!(Fences::new(1 + LAUNCHES, 4).touch(&word, 1, 11, READ), None);
    }
}
