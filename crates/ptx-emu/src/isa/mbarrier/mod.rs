//! `mbarrier`: barriers in shared memory that count arrivals and bytes.
//!
//! The state of an object lives beside shared memory, by offset. Its eight bytes hold a mark, so that
//! a store over the object is noticed, and so that its initialisation is ordered like any write.

mod after_copies;
mod wait;

pub(super) use after_copies::lower as lower_after_copies;

use super::Lowered;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Address, Form, Lower};
use crate::machine::access::Access;
use crate::machine::cta_memory::MARK;
use crate::machine::mbarrier::Mbarrier;
use crate::machine::registers::{LANES, Plane};
use crate::memory::address::from_generic;
use crate::memory::traffic::lanes;
use crate::program::{Action, Flow};
use crate::syntax::ast::{Operand, Space, Type};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    form.take("b64");
    let verbs =
        &["init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait", "pending_count"];
    // `.expect_tx` stands alone or modifies an arrival.
    match form.take_one(verbs) {
        Some("init") => init(lower, form),
        Some("inval") => inval(lower, form),
        Some(verb @ ("arrive" | "arrive_drop")) => arrive(lower, form, verb == "arrive_drop"),
        Some("pending_count") => pending_count(lower, form),
        Some(_) => wait::lower(lower, form),
        None => match form.take_one(&["expect_tx", "complete_tx"]) {
            Some(verb) => bytes(lower, form, verb == "expect_tx"),
            None => Err(form.unknown(lower)),
        },
    }
}

/// Where the object of an instruction lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    space: Space,
    address: Address,
    /// It may be another CTA's.
    cluster: bool,
}

/// Takes the space, and the address operand in it.
fn place(lower: &mut Lower<'_>, form: &mut Form<'_>, operand: &Operand) -> Result<Place, PtxError> {
    let space = form.take_one(&["shared", "shared::cta", "shared::cluster"]);
    let named = if space.is_some() { Space::Shared } else { Space::Generic };
    let (found, address) = lower.address(operand, named)?;
    Ok(Place { space: found, address, cluster: matches!(space, None | Some("shared::cluster")) })
}

impl Place {
    /// CTA and offset of each lane of the mask.
    fn read(&self, access: &Access<'_>) -> Result<[(usize, u32); LANES], Trouble> {
        let addresses = self.address.read(access.registers);
        let mut places = [(0, 0); LANES];
        for lane in lanes(access.mask) {
            let inside = match self.space {
                Space::Generic => match from_generic(addresses[lane]) {
                    (Space::Shared, inside) => inside,
                    _ => {
                        let text = format!(
                            "mbarrier at {:#x}, expected an address in shared memory",
                            addresses[lane]
                        );
                        return Err(Trouble::at(FaultKind::OutOfBounds, lane as u32, text));
                    }
                },
                _ => addresses[lane],
            };
            places[lane] = access.shared("mbarrier", inside, 8, 8, lane)?;
            if places[lane].0 != access.rank && !self.cluster {
                let text = "mbarrier in another CTA, expected .shared::cluster";
                return Err(Trouble::at(FaultKind::OutOfBounds, lane as u32, text));
            }
        }
        Ok(places)
    }
}

/// The valid object at a place.
fn object<'a>(
    access: &'a mut Access<'_>,
    (rank, offset): (usize, u32),
    lane: usize,
) -> Result<&'a mut Mbarrier, Trouble> {
    let party = access.party(lane);
    let cta = &mut access.cluster[rank];
    if !cta.mbarriers.contains_key(&offset) {
        return Err(Trouble::at(
            FaultKind::Uninitialised,
            lane as u32,
            format!("mbarrier at shared offset {offset:#x} was never initialised"),
        ));
    }
    let mut mark = [0; 8];
    match rank == access.rank {
        true => cta.shared.read(offset, &mut mark, party, &access.warp.clock)?,
        false => cta.shared.read_elsewhere(offset, &mut mark, party.lane)?,
    }
    cta.mbarrier(offset).map_err(|text| Trouble::at(FaultKind::Uninitialised, lane as u32, text))
}

/// Checks that a copy may complete on the object at a place.
pub(super) fn check(
    access: &mut Access<'_>,
    place: (usize, u32),
    lane: usize,
) -> Result<(), Trouble> {
    object(access, place, lane).map(|_| ())
}

fn misuse(offset: u32, lane: usize, text: &str) -> Trouble {
    let text = format!("mbarrier at shared offset {offset:#x}: {text}");
    Trouble::at(FaultKind::Unsupported, lane as u32, text)
}

fn init(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let [at, count] = form.operands(lower)?;
    let place = place(lower, form, at)?;
    let count = lower.src(count, Type::U32)?;
    let body = move |access: &mut Access<'_>| {
        let places = place.read(access)?;
        let counts = *access.registers.plane(count);
        for lane in lanes(access.mask) {
            let offset = own(access, places[lane], lane)?;
            mark(access, offset, &MARK, lane)?;
            let object = Mbarrier::new(counts[lane], access.line)
                .map_err(|text| misuse(offset, lane, &text))?;
            access.cta().mbarriers.insert(offset, object);
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Sync))
}

fn inval(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let [at] = form.operands(lower)?;
    let place = place(lower, form, at)?;
    let body = move |access: &mut Access<'_>| {
        let places = place.read(access)?;
        for lane in lanes(access.mask) {
            let offset = own(access, places[lane], lane)?;
            object(access, places[lane], lane)?;
            mark(access, offset, &[0; 8], lane)?;
            access.cta().mbarriers.remove(&offset);
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Sync))
}

/// The offset of a place that must be in one's own CTA.
fn own(access: &Access<'_>, (rank, offset): (usize, u32), lane: usize) -> Result<u32, Trouble> {
    match rank == access.rank {
        true => Ok(offset),
        false => Err(misuse(offset, lane, "in another CTA, expected one's own")),
    }
}

fn mark(access: &mut Access<'_>, offset: u32, mark: &[u8], lane: usize) -> Result<(), Trouble> {
    let party = access.party(lane);
    access.cluster[access.rank].shared.write(offset, mark, party, &access.warp.clock)
}

/// How an instruction orders memory: whether it releases or acquires, and how far.
#[derive(Debug, Clone, Copy)]
struct Order {
    orders: bool,
    wide: bool,
}

fn order(form: &mut Form<'_>) -> Order {
    let word = form.take_one(&["release", "acquire", "relaxed"]);
    let wide = form.take_one(&["cta", "cluster"]) == Some("cluster");
    Order { orders: word != Some("relaxed"), wide }
}

fn arrive(lower: &mut Lower<'_>, form: &mut Form<'_>, drops: bool) -> Result<Lowered, PtxError> {
    let (expects, within) = (form.take("expect_tx"), form.take("noComplete"));
    let order = order(form);
    let (to, at, last) = match form.instruction.operands.as_slice() {
        [to, at] if !expects => (to, at, None),
        [to, at, last] => (to, at, Some(last)),
        _ => return Err(form.unknown(lower)),
    };
    let remote = form.instruction.modifiers.iter().any(|word| word == "shared::cluster");
    if remote && !matches!(to, Operand::Sink) {
        return Err(lower.fail("an arrival in .shared::cluster returns nothing: expected `_`"));
    }
    let place = place(lower, form, at)?;
    let last = last.map(|last| lower.src(last, Type::U32)).transpose()?;
    let to = lower.dst(to, Type::B64)?;
    let body = move |access: &mut Access<'_>| {
        let places = place.read(access)?;
        let ones = [1; LANES];
        let last = last.map_or(ones, |plane: Plane| *access.registers.plane(plane));
        let (counts, bytes) = if expects { (ones, Some(last)) } else { (last, None) };
        let mut tokens = [0u64; LANES];
        for lane in lanes(access.mask) {
            // Clocks of different CTAs are not compared.
            let clock = access.warp.clock;
            let clock = (order.orders && places[lane].0 == access.rank).then_some(&clock);
            let object = object(access, places[lane], lane)?;
            tokens[lane] = object.token();
            let count = counts[lane];
            bytes
                .map_or(Ok(()), |bytes| object.expect_bytes(bytes[lane]))
                .and_then(|()| if drops { object.drop_expected(count) } else { Ok(()) })
                .and_then(|()| match within {
                    true => object.arrive_within(count, clock),
                    false => object.arrive(count, clock),
                })
                .map_err(|text| misuse(places[lane].1, lane, &text))?;
        }
        if order.orders {
            access.warp.clock.advance(access.warp.index);
            if order.wide {
                access.device.fences.pass(access.warp.cta_index);
            }
        }
        access.registers.write(to, access.mask, &tokens);
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Sync))
}

/// `mbarrier.expect_tx` and `mbarrier.complete_tx`, which order nothing.
fn bytes(lower: &mut Lower<'_>, form: &mut Form<'_>, expects: bool) -> Result<Lowered, PtxError> {
    order(form);
    let [at, bytes] = form.operands(lower)?;
    let place = place(lower, form, at)?;
    let bytes = lower.src(bytes, Type::U32)?;
    let body = move |access: &mut Access<'_>| {
        let places = place.read(access)?;
        let bytes = *access.registers.plane(bytes);
        for lane in lanes(access.mask) {
            let object = object(access, places[lane], lane)?;
            match expects {
                true => object.expect_bytes(bytes[lane]),
                false => object.complete_bytes(bytes[lane], None),
            }
            .map_err(|text| misuse(places[lane].1, lane, &text))?;
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Sync))
}

fn pending_count(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let [to, state] = form.operands(lower)?;
    let (state, to) = (lower.src(state, Type::B64)?, lower.dst(to, Type::U32)?);
    let body = super::lanes::map1(to, state, Mbarrier::pending_of);
    Ok(Lowered::new(Action::Lanes(body), Class::Sync))
}
