//! The lanes of a warp in groups that stand at the same instruction.
//!
//! Lanes that went different ways at a branch form groups of their own. The group that stands
//! earliest in the program runs first, and groups that meet become one again; this reconverges loops
//! and branches as compilers lay them out. A group that needs others (a `.sync` instruction or a
//! barrier) waits until they come or nothing else can run.

use super::located::Located;
use crate::fault::{FaultKind, Trouble};
use crate::machine::registers::{Mask, Registers};
use crate::memory::traffic::lanes;
use crate::program::{Action, Code, Flow, Members};

/// Steps after which lanes that keep the others of their warp waiting give way.
const PATIENCE: u32 = 1 << 14;
/// Steps for which they do.
const STRETCH: u32 = 256;

/// Lanes that stand at the same instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    at: usize,
    mask: Mask,
    waits: bool,
}

/// All groups of a warp.
#[derive(Debug)]
pub(super) struct Groups {
    list: Vec<Group>,
    patience: u32,
    /// The lane whose group runs when patience is at its end.
    favoured: u32,
    /// Lanes that have spun while others of the warp could run.
    spun: Mask,
    /// Lanes that wait at a barrier, those that work meanwhile and where they began to, and those of
    /// them that have left.
    at_barrier: Mask,
    strayed: Mask,
    strayed_at: usize,
    strayed_out: Mask,
}

impl Groups {
    /// The lanes of `live` at the first instruction.
    pub(super) fn start(live: Mask) -> Groups {
        Groups {
            list: vec![Group { at: 0, mask: live, waits: false }],
            patience: PATIENCE,
            favoured: 0,
            spun: 0,
            at_barrier: 0,
            strayed: 0,
            strayed_at: 0,
            strayed_out: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Where each group stands, the earliest first.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, Mask)> {
        let mut places: Vec<_> = self.list.iter().map(|group| (group.at, group.mask)).collect();
        places.sort_unstable();
        places.into_iter()
    }

    pub(super) fn at(&self, chosen: usize) -> usize {
        self.list[chosen].at
    }

    #[inline(always)]
    pub(super) fn get(&self, chosen: usize) -> (usize, Mask) {
        (self.list[chosen].at, self.list[chosen].mask)
    }

    /// The group to run: the earliest in the program, or another when it has run for very long.
    #[inline(always)]
    pub(super) fn choose(&mut self) -> Option<usize> {
        if let [only] = self.list[..] {
            self.patience = PATIENCE;
            return (!only.waits).then_some(0);
        }
        self.choose_among()
    }

    fn choose_among(&mut self) -> Option<usize> {
        let ready = || self.list.iter().enumerate().filter(|(_, group)| !group.waits);
        let earliest = ready()
            .min_by_key(|(_, group)| (group.mask & !self.spun == 0, group.at))
            .map(|(index, _)| index)?;
        self.patience = match self.patience {
            0 => {
                self.favoured = (self.favoured + 1) % 32;
                PATIENCE
            }
            patience => patience - 1,
        };
        if self.patience >= STRETCH {
            return Some(earliest);
        }
        ready()
            .min_by_key(|(_, group)| group.mask.rotate_right(self.favoured).trailing_zeros())
            .map(|(index, _)| index)
    }

    /// Lanes of `mask` do work at `at`, which matters if others wait at a barrier.
    #[inline(always)]
    pub(super) fn note_work(&mut self, at: usize, mask: Mask) {
        if self.at_barrier != 0 && mask & self.at_barrier == 0 {
            if self.strayed == 0 {
                self.strayed_at = at;
            }
            self.strayed |= mask;
        }
    }

    /// The lanes of `mask` of a group have executed their instruction.
    #[inline(always)]
    pub(super) fn follow(&mut self, chosen: usize, mask: Mask, flow: Flow) {
        let Group { at, mask: group, .. } = self.list[chosen];
        match flow {
            Flow::Next | Flow::Yield => self.advance(chosen, at + 1),
            Flow::Again if mask == group => {}
            Flow::Again => {
                self.scatter(chosen, &[(group & !mask, at + 1), (mask, at)]);
            }
        }
    }

    /// The same where only `ready` of the lanes of `mask` could; the rest waits.
    pub(super) fn follow_some(&mut self, chosen: usize, mask: Mask, ready: Mask, flow: Flow) {
        let Group { at, mask: group, .. } = self.list[chosen];
        if flow == Flow::Again {
            self.scatter(chosen, &[(group & !mask, at + 1), (mask, at)]);
            return;
        }
        self.scatter(chosen, &[((group & !mask) | ready, at + 1), (mask & !ready, at)]);
        self.wait_at(at);
    }

    /// The lanes of `mask` have spun; tells whether all that can run have.
    pub(super) fn spin(&mut self, mask: Mask) -> bool {
        self.spun |= mask;
        let spun = self.spun;
        let all = self.list.iter().all(|group| group.waits || group.mask & !spun == 0);
        if all {
            self.spun = 0;
        }
        all
    }

    /// Moves a group on, and joins it with others that stand there.
    #[inline(always)]
    pub(super) fn advance(&mut self, chosen: usize, to: usize) {
        self.list[chosen].at = to;
        if self.list.len() > 1 {
            self.merge(chosen);
        }
    }

    fn merge(&mut self, chosen: usize) {
        let Group { at, mask, .. } = self.list[chosen];
        if let Some(other) =
            (0..self.list.len()).find(|&other| other != chosen && self.list[other].at == at)
        {
            self.list[other].mask |= mask;
            // Newcomers may be what the others waited for.
            self.list[other].waits = false;
            self.list.swap_remove(chosen);
        }
    }

    /// Sends the lanes of a group to different places; tells whether there was more than one.
    pub(super) fn scatter(&mut self, chosen: usize, parts: &[(Mask, usize)]) -> bool {
        self.list.swap_remove(chosen);
        let mut first = None;
        let mut split = false;
        for &(mask, at) in parts.iter().filter(|(mask, _)| *mask != 0) {
            split |= *first.get_or_insert(at) != at;
            self.join(at, mask);
        }
        split
    }

    /// Puts lanes to those that stand at `at`; newcomers may be what the others waited for.
    fn join(&mut self, at: usize, mask: Mask) {
        if mask == 0 {
            return;
        }
        match self.list.iter_mut().find(|group| group.at == at) {
            Some(group) => {
                group.mask |= mask;
                group.waits = false;
            }
            None => self.list.push(Group { at, mask, waits: false }),
        }
    }

    fn wait_at(&mut self, at: usize) {
        for group in self.list.iter_mut().filter(|group| group.at == at) {
            group.waits = true;
        }
    }

    /// A group must wait for others: its guarded lanes stay, the others go on.
    pub(super) fn part(&mut self, chosen: usize, mask: Mask) {
        let Group { at, mask: group, .. } = self.list[chosen];
        if group == mask {
            self.list[chosen].waits = true;
        } else {
            self.scatter(chosen, &[(group & !mask, at + 1), (mask, at)]);
            self.wait_at(at);
        }
    }

    /// The same at a barrier, which the other lanes must not bypass.
    pub(super) fn part_at_barrier(&mut self, chosen: usize, mask: Mask) {
        self.at_barrier |= mask;
        self.strayed &= !mask;
        self.part(chosen, mask);
    }

    /// All lanes are at the barrier.
    pub(super) fn pass_barrier(&mut self, chosen: usize) {
        (self.at_barrier, self.strayed) = (0, 0);
        let at = self.list[chosen].at;
        self.advance(chosen, at + 1);
    }

    /// Sends the lanes of `taken` to `target`; tells whether others stay behind.
    pub(super) fn branch(&mut self, chosen: usize, taken: Mask, target: usize) -> bool {
        let Group { at, mask, .. } = self.list[chosen];
        if taken == mask {
            self.advance(chosen, target);
            return false;
        }
        self.scatter(chosen, &[(mask & !taken, at + 1), (taken, target)])
    }

    /// Lanes of a group leave for good.
    pub(super) fn exit(&mut self, chosen: usize, mask: Mask) {
        let Group { at, mask: group, .. } = self.list[chosen];
        self.scatter(chosen, &[(group & !mask, at + 1)]);
        self.strayed_out |= self.strayed & mask;
        // Those who waited for the ones that left need not any more.
        for group in &mut self.list {
            group.waits = false;
        }
    }

    /// No group can go on: lanes that wait for each other in `bar.warp.sync` may do so at different
    /// ones. Lets them go on; tells whether there are any.
    #[cold]
    pub(super) fn meet_apart(&mut self, code: &Code, live: Mask, registers: &Registers) -> bool {
        let named = |group: &Group, lane: usize| match &code.steps[group.at].action {
            Action::Together(Members::Anywhere(plane), _) => Some(registers.plane(*plane)[lane]),
            _ => None,
        };
        let waiting = |members: Mask| {
            let mut all: Mask = 0;
            for group in &self.list {
                for lane in lanes(group.mask).filter(|&l| named(group, l) == Some(members)) {
                    all |= 1 << lane;
                }
            }
            all
        };
        let met = self.list.iter().find_map(|group| {
            let members = named(group, group.mask.trailing_zeros() as usize)?;
            (waiting(members) & live & members == members & live).then_some(members & live)
        });
        let Some(met) = met else { return false };
        for Group { at, mask, .. } in std::mem::take(&mut self.list) {
            self.join(at + 1, mask & met);
            self.join(at, mask & !met);
        }
        true
    }

    /// Lanes that left after they had worked past a barrier at which others still wait.
    ///
    /// Lanes that leave early, with nothing more to do, are let go: the barrier counts without
    /// them. But work that also stands behind the barrier says that they should have been there.
    #[inline(always)]
    pub(super) fn bypassed(&mut self, code: &Code) -> Option<Located> {
        if self.strayed_out == 0 {
            return None;
        }
        self.find_bypassed(code)
    }

    #[cold]
    fn find_bypassed(&mut self, code: &Code) -> Option<Located> {
        let out = std::mem::take(&mut self.strayed_out);
        let waiting = self.list.iter().find(|group| group.mask & self.at_barrier != 0)?;
        if !reaches(code, waiting.at + 1, self.strayed_at) {
            return None;
        }
        let detail = format!(
            "lanes {:#010x} wait at this barrier, which lanes {out:#010x} of the same warp have \
             passed by (line {}) and left (hint: no barrier under a branch that lanes take \
             differently)",
            waiting.mask, code.steps[self.strayed_at].line
        );
        let lane = waiting.mask.trailing_zeros();
        let trouble = Trouble::at(FaultKind::BarrierDivergence, lane, detail);
        Some(Located { line: code.steps[waiting.at].line, trouble })
    }

    /// No group can go on: the lanes wait for each other at different places.
    pub(super) fn stuck(&self, code: &Code) -> Located {
        let line = |at: usize| code.steps[at].line;
        let mut places = self.places();
        let first = places.next().expect("groups are left");
        let others: Vec<String> = places
            .map(|(at, mask)| format!("lanes {mask:#010x} wait at line {}", line(at)))
            .collect();
        let others = match others.is_empty() {
            true => "the others are not there".to_owned(),
            false => others.join(", "),
        };
        let detail = format!(
            "lanes {:#010x} wait here for others of the warp, but {others} (hint: no .sync \
             instruction or barrier under a branch that lanes take differently)",
            first.1
        );
        let lane = first.1.trailing_zeros();
        let trouble = Trouble::at(FaultKind::BarrierDivergence, lane, detail);
        Located { line: line(first.0), trouble }
    }
}

/// Whether the step `to` can come after the step `from`.
fn reaches(code: &Code, from: usize, to: usize) -> bool {
    let mut seen = vec![false; code.steps.len()];
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at >= seen.len() || std::mem::replace(&mut seen[at], true) {
            continue;
        }
        if at == to {
            return true;
        }
        let step = &code.steps[at];
        let falls_through = match &step.action {
            Action::Branch(target) => {
                open.push(*target);
                step.guard.is_some()
            }
            Action::BranchIndexed(_, targets) => {
                open.extend(targets);
                step.guard.is_some()
            }
            Action::Exit => step.guard.is_some(),
            _ => true,
        };
        if falls_through {
            open.push(at + 1);
        }
    }
    false
}
