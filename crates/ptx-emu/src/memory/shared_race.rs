//! Races in shared memory: two warps touch a word, one of them writes, and nothing orders them.
//!
//! Each 4-byte word remembers its last write and its last reads with the vector clock of that
//! moment. A word that an access touches in part is split into four bytes with a record each, so
//! that neighbours of 1 and 2 bytes do not disturb each other. Lanes of one warp are held to the
//! same rule with `bar.warp.sync` as their barrier: a word that one lane wrote may be read by
//! another only after the warp has met. A release by any of its lanes counts as such a meeting.

use std::collections::HashMap;

use super::clock::{COPIES, Clock, WARPS};
use crate::fault::{FaultKind, Trouble};

/// More than one warp has read the place; its clocks are in the table.
const MANY: u8 = u8::MAX;
/// More than one lane of the reading warp has read the place.
const SEVERAL: u8 = u8::MAX;

/// What is known of a word, or of one of its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    /// Release count of the writer when it wrote; 0 for never.
    pub(super) write_clock: u32,
    /// The same of the reader; in a split word the place of its bytes.
    read_clock: u32,
    pub(super) write_line: u32,
    read_line: u32,
    pub(super) writer: u8,
    writer_lane: u8,
    reader: u8,
    reader_lane: u8,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Settled,
    /// A copy is on its way there.
    InFlight,
    /// The record is kept for each byte.
    Split,
}

/// Who touches memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Party {
    /// A warp, or [`COPIES`].
    pub(crate) index: usize,
    pub(crate) lane: u32,
    pub(crate) line: u32,
}

/// Clocks of the readers of places that many have read.
pub(super) type Readers = HashMap<u32, Box<[u32; WARPS + 1]>>;

/// A place in the record: its key among the readers, and its offset in shared memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    key: u32,
    pub(super) offset: u32,
}

/// The record of all words of a CTA's shared memory.
#[derive(Debug, Default)]
pub(crate) struct SharedShadow {
    words: Vec<Cell>,
    /// The bytes of split words.
    parts: Vec<[Cell; 4]>,
    readers: Readers,
}

impl SharedShadow {
    pub(crate) fn reset(&mut self, bytes: u32) {
        self.words.clear();
        self.words.resize(bytes.div_ceil(4) as usize, Cell::default());
        self.parts.clear();
        self.readers.clear();
    }

    /// `party` reads `bytes` at `offset`.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        offset: u32,
        bytes: u32,
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        self.each(offset, bytes, |cell, readers, spot| cell.read(readers, spot, party, clock))
    }

    /// `party` writes `bytes` at `offset`.
    #[inline(always)]
    pub(crate) fn write(
        &mut self,
        offset: u32,
        bytes: u32,
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        self.each(offset, bytes, |cell, readers, spot| {
            cell.check_write(readers, spot, party, clock)?;
            cell.record_write(readers, spot, party, clock.0[party.index], State::Settled);
            Ok(())
        })
    }

    /// A copy to these bytes begins: nobody may touch them until it has landed.
    pub(crate) fn begin_copy(
        &mut self,
        offset: u32,
        bytes: u32,
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        self.each(offset, bytes, |cell, readers, spot| {
            cell.check_write(readers, spot, party, clock)?;
            cell.record_write(readers, spot, party, clock.0[party.index], State::InFlight);
            Ok(())
        })
    }

    /// A copy has landed on behalf of `party`, whose clock stands at `now`.
    pub(crate) fn end_copy(&mut self, offset: u32, bytes: u32, party: Party, now: u32) {
        let landed = self.each(offset, bytes, |cell, readers, spot| {
            cell.record_write(readers, spot, party, now, State::Settled);
            Ok(())
        });
        debug_assert!(landed.is_ok(), "a landing checks nothing");
    }

    /// Calls `visit` for each record of these bytes.
    #[inline(always)]
    pub(super) fn each(
        &mut self,
        offset: u32,
        bytes: u32,
        mut visit: impl FnMut(&mut Cell, &mut Readers, Spot) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        for index in offset / 4..(offset + bytes).div_ceil(4) {
            let word = &mut self.words[index as usize];
            let start = offset.max(index * 4) - index * 4;
            let end = (offset + bytes).min(index * 4 + 4) - index * 4;
            if word.state != State::Split {
                if end - start == 4 {
                    visit(word, &mut self.readers, Spot { key: index, offset: index * 4 })?;
                    continue;
                }
                self.split(index);
            }
            let part = self.words[index as usize].read_clock;
            for byte in start..end {
                let spot = Spot { key: byte_key(part, byte), offset: index * 4 + byte };
                let cell = &mut self.parts[part as usize][byte as usize];
                visit(cell, &mut self.readers, spot)?;
            }
        }
        Ok(())
    }

    fn split(&mut self, index: u32) {
        let part = self.parts.len() as u32;
        let word = &mut self.words[index as usize];
        self.parts.push([*word; 4]);
        if word.read_clock != 0
            && word.reader == MANY
            && let Some(clocks) = self.readers.remove(&index)
        {
            for byte in 0..4 {
                self.readers.insert(byte_key(part, byte), clocks.clone());
            }
        }
        *word = Cell { state: State::Split, read_clock: part, ..Cell::default() };
    }
}

/// Keys of bytes lie above those of words: shared memory has far fewer than 2^29 of them.
fn byte_key(part: u32, byte: u32) -> u32 {
    1 << 31 | part << 2 | byte
}

impl Cell {
    #[inline(always)]
    fn read(
        &mut self,
        readers: &mut Readers,
        spot: Spot,
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        if self.write_clock != 0 && self.conflicts(party, clock) {
            return Err(self.clash_with_write(spot, party, "reads"));
        }
        self.record_read(readers, spot, party, clock, clock.0[party.index]);
        Ok(())
    }

    /// `party` reads at its count `now`, having seen `clock`.
    #[inline(always)]
    pub(super) fn record_read(
        &mut self,
        readers: &mut Readers,
        spot: Spot,
        party: Party,
        clock: &Clock,
        now: u32,
    ) {
        let mut lane = party.lane as u8;
        if self.read_clock == 0 || usize::from(self.reader) == party.index {
            if self.read_clock == now && self.reader_lane != lane {
                lane = SEVERAL;
            }
            (self.reader, self.read_clock) = (party.index as u8, now);
        } else if self.reader == MANY {
            if let Some(clocks) = readers.get_mut(&spot.key) {
                clocks[party.index] = now;
            }
        } else if clock.0[usize::from(self.reader)] >= self.read_clock {
            // Ordered after the earlier read: only the later one can race with a write.
            (self.reader, self.read_clock) = (party.index as u8, now);
        } else {
            let mut clocks = Box::new([0; WARPS + 1]);
            clocks[usize::from(self.reader)] = self.read_clock;
            clocks[party.index] = now;
            readers.insert(spot.key, clocks);
            self.reader = MANY;
        }
        (self.reader_lane, self.read_line) = (lane, party.line);
    }

    #[inline(always)]
    fn check_write(
        &self,
        readers: &Readers,
        spot: Spot,
        party: Party,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        if self.write_clock != 0 && self.conflicts(party, clock) {
            return Err(self.clash_with_write(spot, party, "writes"));
        }
        if self.read_clock == 0 {
            return Ok(());
        }
        let unseen = match self.reader {
            MANY => readers.get(&spot.key).and_then(|clocks| {
                (0..=COPIES)
                    .find(|&reader| reader != party.index && clock.0[reader] < clocks[reader])
            }),
            reader if usize::from(reader) == party.index => {
                (self.read_clock == clock.0[party.index] && self.reader_lane != party.lane as u8)
                    .then_some(party.index)
            }
            reader => {
                (clock.0[usize::from(reader)] < self.read_clock).then_some(usize::from(reader))
            }
        };
        match unseen {
            Some(reader) => {
                let (lane, line) = (self.reader_lane, self.read_line);
                Err(clash(spot, party, "writes", "read", reader, lane, line))
            }
            None => Ok(()),
        }
    }

    #[inline(always)]
    pub(super) fn record_write(
        &mut self,
        readers: &mut Readers,
        spot: Spot,
        party: Party,
        now: u32,
        state: State,
    ) {
        if self.read_clock != 0 && self.reader == MANY {
            readers.remove(&spot.key);
        }
        self.write_clock = now;
        self.writer = party.index as u8;
        self.writer_lane = party.lane as u8;
        self.write_line = party.line;
        self.state = state;
        (self.reader, self.read_clock) = (0, 0);
    }

    /// Whether the last write is not ordered before an access by `party` now.
    #[inline(always)]
    fn conflicts(&self, party: Party, clock: &Clock) -> bool {
        if self.state == State::InFlight {
            return true;
        }
        let writer = usize::from(self.writer);
        if writer == party.index {
            // The same warp: ordered for the lane itself, or once the warp has met since.
            writer != COPIES
                && u32::from(self.writer_lane) != party.lane
                && self.write_clock == clock.0[writer]
        } else {
            clock.0[writer] < self.write_clock
        }
    }

    #[cold]
    pub(super) fn clash_with_write(&self, spot: Spot, party: Party, does: &str) -> Trouble {
        if self.state == State::InFlight {
            let detail = format!(
                "{does} shared memory at {:#x} while the asynchronous copy of line {} is on its \
                 way there (hint: wait for the copy's group or mbarrier, then meet at a barrier)",
                spot.offset, self.write_line
            );
            return Trouble::at(FaultKind::SharedRace, party.lane, detail);
        }
        let (writer, lane) = (usize::from(self.writer), self.writer_lane);
        clash(spot, party, does, "wrote", writer, lane, self.write_line)
    }
}

#[cold]
fn clash(
    spot: Spot,
    party: Party,
    does: &str,
    did: &str,
    other: usize,
    lane: u8,
    line: u32,
) -> Trouble {
    let offset = spot.offset;
    let detail = if other == party.index {
        let who = match lane {
            SEVERAL => "other lanes".to_owned(),
            lane => format!("lane {lane}"),
        };
        format!(
            "{does} shared memory at {offset:#x} that {who} of the same warp {did} at line {line} \
             without meeting it since (hint: bar.warp.sync between them)"
        )
    } else {
        let who = match other {
            COPIES => "an asynchronous copy".to_owned(),
            other => format!("warp {other}"),
        };
        format!(
            "{does} shared memory at {offset:#x} that {who} {did} at line {line} with no barrier \
             between (hint: bar.sync)"
        )
    };
    Trouble::at(FaultKind::SharedRace, party.lane, detail)
}

#[cfg(test)]
mod tests;
