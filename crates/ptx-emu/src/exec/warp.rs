//! A warp: runs the instructions of its groups of lanes.

use super::barriers::Arrival;
use super::groups::Groups;
use super::located::Located;
use super::teams::Teams;
use crate::class::Class;
use crate::counters::Counters;
use crate::fault::{FaultKind, Trouble};
use crate::machine::access::Access;
use crate::machine::cta_memory::CtaMemory;
use crate::machine::device::Device;
use crate::machine::products;
use crate::machine::registers::{Mask, Plane, Registers};
use crate::machine::warp_memory::WarpMemory;
use crate::memory::traffic::lanes;
use crate::program::{AccessBody, Action, Barrier, BarrierStep, Code, Flow, Step};

/// Why a warp stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Its turn is over.
    Turn,
    /// It waits at a barrier of the CTA; its CTA wakes it when it opens.
    AtBarrier,
    /// It waits for the other CTAs of the cluster.
    AtCluster,
    /// It has nothing to do until something else changes.
    Spinning,
    /// All lanes have exited.
    Done,
}

/// One warp.
#[derive(Debug)]
pub(crate) struct Warp {
    pub(crate) registers: Registers,
    pub(crate) memory: WarpMemory,
    pub(super) groups: Groups,
    /// Lanes that exist and have not exited.
    pub(crate) live: Mask,
}

/// What running a warp reaches outside itself.
pub(crate) struct Surroundings<'a> {
    pub(crate) code: &'a Code,
    pub(crate) cluster: &'a mut [CtaMemory],
    pub(crate) rank: usize,
    pub(crate) device: &'a Device,
    pub(crate) counters: &'a mut Counters,
}

impl Warp {
    pub(crate) fn new(code: &Code, index: usize, cta_index: u32, live: Mask) -> Warp {
        Warp {
            registers: Registers::new(code.planes, code.predicates),
            memory: WarpMemory::start(index, cta_index, code.local_bytes),
            groups: Groups::start(live),
            live,
        }
    }

    /// The instructions at which its lanes stand, for a report.
    pub(crate) fn places(&self, code: &Code) -> Vec<(u32, Mask)> {
        self.groups.places().map(|(at, mask)| (code.steps[at].line, mask)).collect()
    }

    /// Runs up to `turn` instructions; tells how many were issued and why it stopped.
    pub(crate) fn run(
        &mut self,
        around: &mut Surroundings<'_>,
        turn: u32,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<(u32, Pause), Located> {
        let mut issued = 0;
        while issued < turn {
            let Some(chosen) = self.groups.choose() else {
                if self.groups.meet_apart(around.code, self.live, &self.registers) {
                    self.memory.clock.advance(self.memory.index);
                    continue;
                }
                return match self.groups.is_empty() {
                    true => Ok((issued, Pause::Done)),
                    false => Err(self.groups.stuck(around.code)),
                };
            };
            issued += 1;
            let line = around.code.steps[self.groups.at(chosen)].line;
            let pause =
                self.step(chosen, around, arrivals).map_err(|trouble| Located { line, trouble })?;
            if let Some(located) = self.groups.bypassed(around.code) {
                return Err(located);
            }
            if let Some(pause) = pause {
                return Ok((issued, pause));
            }
        }
        let pause = if self.groups.is_empty() { Pause::Done } else { Pause::Turn };
        Ok((issued, pause))
    }

    #[inline(always)]
    fn step(
        &mut self,
        chosen: usize,
        around: &mut Surroundings<'_>,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<Option<Pause>, Trouble> {
        let code = around.code;
        let (at, group) = self.groups.get(chosen);
        let step = &code.steps[at];
        let mut mask = group;
        if let Some((guard, negated)) = step.guard {
            if let Some((_, lane)) = self.registers.undefined_predicate(&[guard], group) {
                return Err(undefined(&code.predicate_names[guard as usize], lane));
            }
            let value = self.registers.predicate(guard);
            mask &= if negated { !value } else { value };
        }
        if mask == 0 {
            around.counters.issue(step.class, 0);
            self.groups.advance(chosen, at + 1);
            return Ok(None);
        }
        if step.class != Class::Control {
            self.groups.note_work(at, mask);
        }
        if let Some((plane, lane)) = self.registers.undefined(&step.reads, mask) {
            let name = &code.plane_names[plane as usize];
            return Err(match self.registers.is_held(plane) {
                true => products::held(name, lane),
                false => undefined(name, lane),
            });
        }
        if let Some((predicate, lane)) =
            self.registers.undefined_predicate(&step.read_predicates, mask)
        {
            return Err(undefined(&code.predicate_names[predicate as usize], lane));
        }
        match &step.action {
            Action::Lanes(body) => {
                around.counters.issue(step.class, mask.count_ones());
                body(&mut self.registers, mask);
                self.registers.define(&step.writes, &step.write_predicates, mask);
                self.groups.advance(chosen, at + 1);
                Ok(None)
            }
            Action::Access(body) => {
                around.counters.issue(step.class, mask.count_ones());
                let flow = self.call(body, mask, step, around)?;
                self.groups.follow(chosen, mask, flow);
                Ok(self.pause(mask, flow))
            }
            Action::Together(members, body) => {
                let teams = Teams::form(*members, mask, self.live, &self.registers)?;
                let ready = teams.ready();
                if ready == 0 {
                    self.groups.part(chosen, mask);
                    return Ok(None);
                }
                around.counters.issue(step.class, ready.count_ones());
                let mut flow = Flow::Next;
                for team in teams.iter() {
                    flow = self.call(body, team, step, around)?;
                }
                if ready == mask {
                    self.groups.follow(chosen, mask, flow);
                } else {
                    self.groups.follow_some(chosen, mask, ready, flow);
                }
                Ok(self.pause(ready, flow))
            }
            Action::Branch(target) => {
                around.counters.issue(step.class, mask.count_ones());
                if self.groups.branch(chosen, mask, *target) {
                    around.counters.divergent_branches += 1;
                }
                Ok(None)
            }
            Action::BranchIndexed(plane, targets) => {
                around.counters.issue(step.class, mask.count_ones());
                let picks = *self.registers.plane(*plane);
                let mut parts = vec![(group & !mask, at + 1)];
                for lane in lanes(mask) {
                    let Some(&target) = targets.get(picks[lane] as usize) else {
                        return Err(Trouble::at(
                            FaultKind::Unsupported,
                            lane as u32,
                            format!(
                                "branch to entry {} of a list of {}",
                                picks[lane],
                                targets.len()
                            ),
                        ));
                    };
                    parts.push((1 << lane, target));
                }
                let split = self.groups.scatter(chosen, &parts);
                around.counters.divergent_branches += u64::from(split);
                Ok(None)
            }
            Action::Exit => {
                around.counters.issue(step.class, mask.count_ones());
                self.memory.leave(&mut around.cluster[around.rank], mask);
                self.live &= !mask;
                self.groups.exit(chosen, mask);
                Ok(self.groups.is_empty().then_some(Pause::Done))
            }
            Action::Barrier(barrier) => self.barrier(chosen, mask, step, barrier, around, arrivals),
            Action::ClusterBarrier(kind) => {
                if mask != self.live {
                    self.groups.part_at_barrier(chosen, mask);
                    return Ok(None);
                }
                around.counters.issue(step.class, mask.count_ones());
                self.groups.pass_barrier(chosen);
                let cta = &mut around.cluster[around.rank];
                around.device.fences.pass(self.memory.cta_index);
                cta.at_cluster_barrier(&mut self.memory, *kind)
            }
        }
    }

    fn call(
        &mut self,
        body: &AccessBody,
        mask: Mask,
        step: &Step,
        around: &mut Surroundings<'_>,
    ) -> Result<Flow, Trouble> {
        let mut access = Access {
            registers: &mut self.registers,
            mask,
            warp: &mut self.memory,
            cluster: around.cluster,
            rank: around.rank,
            device: around.device,
            counters: around.counters,
            line: step.line,
            undefined: 0,
        };
        let flow = body(&mut access)?;
        let undefined = access.undefined;
        self.registers.define(&step.writes, &step.write_predicates, mask);
        if undefined != 0 {
            self.registers.undefine(&step.writes, undefined);
        }
        Ok(flow)
    }

    /// Whether the warp has nothing to do until something else changes: all of its lanes that can
    /// run have spun.
    fn pause(&mut self, mask: Mask, flow: Flow) -> Option<Pause> {
        match flow {
            Flow::Next => None,
            Flow::Yield | Flow::Again => Some(match self.groups.spin(mask) {
                true => Pause::Spinning,
                false => Pause::Turn,
            }),
        }
    }

    fn barrier(
        &mut self,
        chosen: usize,
        mask: Mask,
        step: &Step,
        barrier: &Barrier,
        around: &mut Surroundings<'_>,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<Option<Pause>, Trouble> {
        if mask != self.live {
            self.groups.part_at_barrier(chosen, mask);
            return Ok(None);
        }
        let id = self.same(barrier.id, mask, "barrier")?;
        if id > 15 {
            return Err(Trouble::new(
                FaultKind::Unsupported,
                format!("barrier {id}, expected 0 to 15"),
            ));
        }
        let count = match barrier.count {
            Some(plane) => self.same(plane, mask, "number of threads")?,
            None => 0,
        };
        if barrier.count.is_some() && (count == 0 || count % 32 != 0) {
            return Err(Trouble::new(
                FaultKind::Unsupported,
                format!("barrier of {count} threads, expected a multiple of 32 above 0"),
            ));
        }
        around.counters.issue(step.class, mask.count_ones());
        around.counters.barriers += 1;
        self.groups.pass_barrier(chosen);
        self.registers.define(&step.writes, &step.write_predicates, mask);
        arrivals.push(Arrival { id, count, step: barrier.step, lanes: mask, line: step.line });
        Ok(Some(match barrier.step {
            BarrierStep::Arrive => Pause::Turn,
            _ => Pause::AtBarrier,
        }))
    }

    /// The value of an operand that must be the same for all lanes of `mask`.
    fn same(&self, plane: Plane, mask: Mask, what: &str) -> Result<u32, Trouble> {
        let values = self.registers.plane(plane);
        let first = mask.trailing_zeros() as usize;
        match lanes(mask).find(|&lane| values[lane] != values[first]) {
            None => Ok(values[first]),
            Some(lane) => Err(Trouble::at(
                FaultKind::BarrierDivergence,
                lane as u32,
                format!(
                    "{what} {} of a barrier, but {} in lane {first} of the same warp",
                    values[lane], values[first]
                ),
            )),
        }
    }
}

#[cold]
fn undefined(name: &str, lane: u32) -> Trouble {
    Trouble::at(
        FaultKind::Uninitialised,
        lane,
        format!(
            "reads register {name}, which nothing has written (or a shuffle from an inactive lane)"
        ),
    )
}
