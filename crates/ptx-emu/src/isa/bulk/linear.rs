//! Copies of a run of bytes.

use super::{ToShared, begin, from_global, from_shared, global, issued, policy, store};
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::isa::Lowered;
use crate::lower::{Address, Form, Lower};
use crate::machine::access::Access;
use crate::machine::bulk_queue::{Signal, Target};
use crate::machine::reduce::Reduce;
use crate::machine::registers::Plane;
use crate::memory::traffic::lanes;
use crate::program::{Action, Flow};
use crate::syntax::ast::{Space, Type};

/// Addresses and sizes are multiples of this.
const ALIGN: u32 = 16;

const SPACES: &[&str] = &["global", "shared::cta", "shared::cluster"];

pub(super) fn lower(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    reduces: bool,
) -> Result<Lowered, PtxError> {
    let (to, from) = (form.take_one(SPACES), form.take_one(SPACES));
    let to_shared = to != Some("global");
    let reduce = match reduces {
        true => Some(super::reduce::reduction(lower, form, to_shared)?),
        false => None,
    };
    match (to, from) {
        (Some("shared::cluster" | "shared::cta"), Some("global")) if !reduces => {
            load(lower, form, to == Some("shared::cluster"))
        }
        (Some("shared::cluster"), Some("shared::cta")) => across(lower, form, reduce),
        (Some("global"), Some("shared::cta")) => unload(lower, form, reduce),
        _ => Err(form.unknown(lower)),
    }
}

/// The size of a lane's copy.
fn size(access: &Access<'_>, plane: Plane, lane: usize) -> Result<u32, Trouble> {
    let bytes = access.registers.plane(plane)[lane];
    aligned("bulk copy of a size of", u64::from(bytes), lane)?;
    Ok(bytes)
}

fn aligned(what: &str, value: u64, lane: usize) -> Result<u64, Trouble> {
    match value.is_multiple_of(ALIGN.into()) {
        true => Ok(value),
        false => Err(Trouble::at(
            FaultKind::Misaligned,
            lane as u32,
            format!("{what} {value:#x}, expected a multiple of {ALIGN}"),
        )),
    }
}

fn global_address(access: &Access<'_>, address: &Address, lane: usize) -> Result<u64, Trouble> {
    aligned("bulk copy with global address", address.read(access.registers)[lane], lane)
}

/// A place in the thread's own CTA.
fn own_place(
    access: &Access<'_>,
    address: &Address,
    bytes: u32,
    lane: usize,
) -> Result<u32, Trouble> {
    let address = address.read(access.registers)[lane];
    match access.shared("bulk copy", address, bytes, ALIGN, lane)? {
        (rank, offset) if rank == access.rank => Ok(offset),
        (rank, _) => Err(Trouble::at(
            FaultKind::OutOfBounds,
            lane as u32,
            format!("bulk copy from shared memory of CTA {rank}, expected one's own"),
        )),
    }
}

/// From global to shared memory.
fn load(lower: &mut Lower<'_>, form: &mut Form<'_>, cluster: bool) -> Result<Lowered, PtxError> {
    let [to, from, bytes, signal, rest @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let to = ToShared::take(lower, form, to, signal, rest, cluster)?;
    let (_, from) = lower.address(from, Space::Global)?;
    let bytes = lower.src(bytes, Type::U32)?;
    let body = move |access: &mut Access<'_>| {
        for lane in lanes(access.mask) {
            let bytes = size(access, bytes, lane)?;
            let address = global_address(access, &from, lane)?;
            let (ranks, offset, object) = to.place(access, bytes, ALIGN, lane)?;
            let mut data = vec![0; bytes as usize];
            if bytes > 0 {
                global::read(access, address, &mut data, lane)?;
            }
            access.counters.global_loads += 1;
            access.counters.load_sectors += global::sectors(address, bytes);
            access.counters.load_bytes += u64::from(bytes);
            let pieces = vec![(offset, bytes)];
            begin(access, &ranks, &pieces, lane, false)?;
            let signal = Signal::Bytes(bytes);
            let to = Target::Shared { ranks, pieces, object, signal, reduce: None };
            let copy = from_global(access, lane, data, to);
            access.cta().bulk.push(copy);
        }
        Ok(issued(access))
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

/// From shared memory to that of a CTA of the cluster.
fn across(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    reduce: Option<Reduce>,
) -> Result<Lowered, PtxError> {
    let [to, from, bytes, signal] = form.operands(lower)?;
    let to = ToShared::take(lower, form, to, signal, &[], true)?;
    if to.mask.is_some() {
        return Err(form.unknown(lower));
    }
    let (_, from) = lower.address(from, Space::Shared)?;
    let bytes = lower.src(bytes, Type::U32)?;
    let body = move |access: &mut Access<'_>| {
        for lane in lanes(access.mask) {
            let bytes = size(access, bytes, lane)?;
            let source = own_place(access, &from, bytes, lane)?;
            let (ranks, offset, object) = to.place(access, bytes, ALIGN, lane)?;
            let pieces = vec![(offset, bytes)];
            begin(access, &ranks, &pieces, lane, reduce.is_some())?;
            let signal = Signal::Bytes(bytes);
            let to = Target::Shared { ranks, pieces, object, signal, reduce };
            let copy = from_shared(access, lane, vec![(source, bytes)], to);
            access.cta().bulk.push(copy);
        }
        Ok(issued(access))
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

/// From shared to global memory.
fn unload(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    reduce: Option<Reduce>,
) -> Result<Lowered, PtxError> {
    let [to, from, bytes, rest @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    if !form.take("bulk_group") {
        return Err(form.unknown(lower));
    }
    policy(lower, form, rest)?;
    let (_, to) = lower.address(to, Space::Global)?;
    let (_, from) = lower.address(from, Space::Shared)?;
    let bytes = lower.src(bytes, Type::U32)?;
    let body = move |access: &mut Access<'_>| {
        for lane in lanes(access.mask) {
            let bytes = size(access, bytes, lane)?;
            let address = global_address(access, &to, lane)?;
            let source = own_place(access, &from, bytes, lane)?;
            store(access, lane, vec![(source, bytes)], vec![(address, bytes)], reduce)?;
        }
        Ok(issued(access))
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

/// To the L2 cache, which changes nothing but must make sense.
pub(super) fn prefetch(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let [from, bytes, rest @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    if !(form.take("L2") && form.take("global")) {
        return Err(form.unknown(lower));
    }
    policy(lower, form, rest)?;
    let (_, from) = lower.address(from, Space::Global)?;
    let bytes = lower.src(bytes, Type::U32)?;
    let body = move |access: &mut Access<'_>| {
        for lane in lanes(access.mask) {
            size(access, bytes, lane)?;
            global_address(access, &from, lane)?;
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}
