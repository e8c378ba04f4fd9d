//! Which lanes of a warp execute a `.sync` instruction together.

use crate::fault::{FaultKind, Trouble};
use crate::machine::registers::{LANES, Mask, Registers};
use crate::memory::traffic::lanes;
use crate::program::Members;

/// Lanes at a `.sync` instruction, by the members that they name: each set that is complete executes
/// it together, whatever the others do.
#[derive(Debug)]
pub(super) struct Teams {
    complete: [Mask; LANES],
    count: usize,
}

impl Teams {
    /// Sorts the lanes of `mask` by the members that they name.
    pub(super) fn form(
        members: Members,
        mask: Mask,
        live: Mask,
        registers: &Registers,
    ) -> Result<Teams, Trouble> {
        let mut teams = Teams { complete: [0; LANES], count: 0 };
        let (Members::Plane(plane) | Members::Anywhere(plane)) = members else {
            teams.add_if(mask == live, mask);
            return Ok(teams);
        };
        let named = registers.plane(plane);
        let mut left = mask;
        while left != 0 {
            let members = named[left.trailing_zeros() as usize];
            let mut team = 0;
            for lane in lanes(left).filter(|&lane| named[lane] == members) {
                team |= 1 << lane;
            }
            if team & !members != 0 {
                return Err(Trouble::at(
                    FaultKind::BarrierDivergence,
                    (team & !members).trailing_zeros(),
                    format!(
                        "executes a .sync instruction whose mask {members:#010x} leaves it out"
                    ),
                ));
            }
            let missing = members & live & !team;
            if missing & mask != 0 {
                let (first, other) = (team.trailing_zeros(), (missing & mask).trailing_zeros());
                return Err(Trouble::at(
                    FaultKind::BarrierDivergence,
                    first,
                    format!(
                        "member mask {members:#010x} names lane {other}, whose own is {:#010x}",
                        named[other as usize]
                    ),
                ));
            }
            teams.add_if(missing == 0, team);
            left &= !team;
        }
        Ok(teams)
    }

    fn add_if(&mut self, complete: bool, team: Mask) {
        if complete {
            self.complete[self.count] = team;
            self.count += 1;
        }
    }

    /// All lanes that can go on.
    pub(super) fn ready(&self) -> Mask {
        self.iter().fold(0, |all, team| all | team)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Mask> {
        self.complete[..self.count].iter().copied()
    }
}
