//! `atom` and `red`: reads and writes of memory in one step.

mod operation;

use self::operation::{Operation, operation};
use super::Lowered;
use super::moves::space;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Address, Form, Lower};
use crate::machine::access::Access;
use crate::machine::registers::{LANES, Plane, Registers};
use crate::memory::address::from_generic;
use crate::memory::traffic::{lanes, sectors};
use crate::program::{Action, Flow};
use crate::syntax::ast::{Operand, Space, Type};

/// Most elements of a vector atomic.
const MOST: usize = 8;

/// An atomic with its operands.
struct Atomic {
    space: Space,
    address: Address,
    /// Bytes of an element.
    bytes: u32,
    /// Publishes what came before, sees what was published.
    releases: bool,
    acquires: bool,
    operation: Operation,
    /// Where the old values go; `red` has none.
    to: Vec<Plane>,
    from: Vec<Plane>,
    /// What `cas` writes.
    second: Option<Plane>,
}

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let order = form.take_one(&["relaxed", "acquire", "release", "acq_rel"]);
    let scope = form.take_one(&["cta", "cluster", "gpu", "sys"]);
    let space = space(form).unwrap_or(Space::Generic);
    let name =
        form.take_one(&["add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"]);
    let noftz = form.take("noftz");
    let hinted = form.take("L2::cache_hint");
    let count = match form.take_one(&["v2", "v4", "v8"]) {
        Some("v2") => 2,
        Some("v4") => 4,
        Some(_) => 8,
        None => 1,
    };
    let ty = form.ty(lower)?;
    let reduces = form.opcode() == "red";
    let operation = name.and_then(|name| operation(name, ty, count > 1));
    let small = matches!(ty, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2);
    let (Some(name), Some(operation)) = (name, operation) else { return Err(form.unknown(lower)) };
    if noftz != small
        || (reduces && matches!(name, "exch" | "cas"))
        || !matches!(space, Space::Global | Space::Shared | Space::Generic)
        || (count > 1 && (space == Space::Shared || ty.bytes() as usize * count > 16))
    {
        return Err(form.unknown(lower));
    }
    let mut operands = form.instruction.operands.as_slice();
    if hinted {
        let [rest @ .., policy] = operands else { return Err(form.unknown(lower)) };
        lower.src(policy, Type::B64)?;
        operands = rest;
    }
    let (to, operands) = match operands {
        [to, rest @ ..] if !reduces => (Some(to), rest),
        rest => (None, rest),
    };
    let (address, from, second) = match operands {
        [address, from] if name != "cas" => (address, from, None),
        [address, from, second] if name == "cas" => (address, from, Some(second)),
        _ => return Err(form.unknown(lower)),
    };
    let (space, address) = lower.address(address, space)?;
    let from = planes(lower, form, from, count, |lower, one| lower.src(one, ty))?;
    let second = second.map(|second| lower.src(second, ty)).transpose()?;
    let to = match to {
        Some(to) => planes(lower, form, to, count, |lower, one| lower.dst(one, ty))?,
        None => Vec::new(),
    };
    let wide = scope != Some("cta");
    let atomic = Atomic {
        space,
        address,
        bytes: ty.bytes(),
        releases: wide && matches!(order, Some("release" | "acq_rel")),
        acquires: wide && matches!(order, Some("acquire" | "acq_rel")),
        operation,
        to,
        from,
        second,
    };
    let body = move |access: &mut Access<'_>| atomic.run(access).map(|()| Flow::Next);
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

fn planes<'a>(
    lower: &mut Lower<'a>,
    form: &Form<'_>,
    operand: &Operand,
    count: usize,
    plane: impl Fn(&mut Lower<'a>, &Operand) -> Result<Plane, PtxError>,
) -> Result<Vec<Plane>, PtxError> {
    let list = match operand {
        Operand::Vector(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if list.len() != count {
        let text = form.text();
        return Err(lower.fail(format!("`{text}` has {} elements, expected {count}", list.len())));
    }
    list.iter().map(|one| plane(lower, one)).collect()
}

impl Atomic {
    fn run(&self, access: &mut Access<'_>) -> Result<(), Trouble> {
        let addresses = self.address.read(access.registers);
        let mut values = [[0; LANES]; MOST];
        for (values, &plane) in values.iter_mut().zip(&self.from) {
            *values = read(access.registers, plane, self.bytes);
        }
        let second = match self.second {
            Some(plane) => read(access.registers, plane, self.bytes),
            None => [0; LANES],
        };
        // Global memory flushes the subnormals of f32 sums, shared memory keeps them.
        let flushes = addresses.map(|address| match self.space {
            Space::Generic => from_generic(address).0 == Space::Global,
            space => space == Space::Global,
        });
        if self.releases {
            access.device.fences.pass(access.warp.cta_index);
        }
        if self.from.len() > 1 {
            self.run_vector(access, &addresses, &values, &flushes)?;
        } else {
            let mut change = |lane: usize, old: u64| {
                (self.operation)(old, values[0][lane], second[lane], flushes[lane])
            };
            let mask = access.mask;
            let old = access.atomic(self.space, &addresses, mask, self.bytes, &mut change)?;
            self.give(access, 0, &old);
        }
        if self.acquires {
            access.device.fences.pass(access.warp.cta_index);
        }
        Ok(())
    }

    /// Element after element, each in one step; the vector itself is not.
    fn run_vector(
        &self,
        access: &mut Access<'_>,
        addresses: &[u64; LANES],
        values: &[[u64; LANES]; MOST],
        flushes: &[bool; LANES],
    ) -> Result<(), Trouble> {
        let (mask, whole) = (access.mask, self.bytes * self.from.len() as u32);
        if let Some(lane) =
            lanes(mask).find(|&lane| !addresses[lane].is_multiple_of(u64::from(whole)))
        {
            let address = addresses[lane];
            let detail =
                format!("atomic of {whole} bytes at {address:#x}, expected a multiple of {whole}");
            return Err(Trouble::at(FaultKind::Misaligned, lane as u32, detail));
        }
        let atomics = access.counters.global_atomics + 1;
        let moved = access.counters.atomic_sectors + u64::from(sectors(addresses, mask, whole));
        for (index, values) in values[..self.from.len()].iter().enumerate() {
            let at =
                addresses.map(|address| address.wrapping_add(u64::from(self.bytes) * index as u64));
            let mut change =
                |lane: usize, old: u64| (self.operation)(old, values[lane], 0, flushes[lane]);
            let old = access.atomic(self.space, &at, mask, self.bytes, &mut change)?;
            self.give(access, index, &old);
        }
        // One request, however many elements.
        access.counters.global_atomics = atomics;
        access.counters.atomic_sectors = moved;
        Ok(())
    }

    fn give(&self, access: &mut Access<'_>, index: usize, old: &[u64; LANES]) {
        let Some(&to) = self.to.get(index) else { return };
        match self.bytes {
            8 => access.registers.write(to, access.mask, old),
            _ => access.registers.write(to, access.mask, &old.map(|old| old as u32)),
        }
    }
}

fn read(registers: &Registers, plane: Plane, bytes: u32) -> [u64; LANES] {
    match bytes {
        8 => registers.read(plane),
        2 => registers.plane(plane).map(|value| u64::from(value & 0xffff)),
        _ => registers.plane(plane).map(u64::from),
    }
}
