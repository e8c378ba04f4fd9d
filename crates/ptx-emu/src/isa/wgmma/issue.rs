//! What a warp does with products: it issues them, and waits for them in groups.

use crate::fault::{FaultKind, Trouble};
use crate::isa::lanes::signed_predicate;
use crate::machine::access::Access;
use crate::machine::matrix_descriptor::Matrix;
use crate::machine::products::{Element, Product, Rows};
use crate::machine::registers::{FULL, Plane, Predicate, Registers};
use crate::machine::warpgroups::Entry;
use crate::program::Flow;

/// What a product is made of, before it is issued.
pub(super) struct Recipe {
    pub(super) element: Element,
    pub(super) to: Vec<Plane>,
    pub(super) a: Source,
    pub(super) b: Plane,
    pub(super) a_transposed: bool,
    pub(super) b_transposed: bool,
    pub(super) accumulates: Scale,
    pub(super) negated: bool,
}

pub(super) enum Source {
    Descriptor(Plane),
    Registers([Plane; 4]),
}

pub(super) enum Scale {
    Predicate(Predicate, bool),
    Constant(bool),
}

/// The value that all lanes must have.
fn uniform(registers: &Registers, plane: Plane, what: &str) -> Result<u64, Trouble> {
    let values = registers.read::<u64>(plane);
    match values.iter().position(|value| *value != values[0]) {
        None => Ok(values[0]),
        Some(lane) => Err(Trouble::at(
            FaultKind::BarrierDivergence,
            lane as u32,
            format!("{what} {:#x} differs from lane 0's {:#x}", values[lane], values[0]),
        )),
    }
}

/// Issues a product: its results are held back until its group is waited for.
pub(super) fn issue(access: &mut Access<'_>, recipe: &Recipe) -> Result<Flow, Trouble> {
    let fail = |kind, text: String| Err(Trouble::at(kind, 0, text));
    let accumulates = match recipe.accumulates {
        Scale::Constant(value) => value,
        Scale::Predicate(predicate, negated) => {
            match signed_predicate(access.registers, (predicate, negated)) {
                0 => false,
                FULL => true,
                lanes => {
                    let text =
                        format!("scale-d holds for lanes {lanes:#010x}, expected all or none");
                    return fail(FaultKind::BarrierDivergence, text);
                }
            }
        }
    };
    let decode = |descriptor: u64| {
        Matrix::decode(descriptor).map_err(|text| Trouble::at(FaultKind::Unsupported, 0, text))
    };
    let b = uniform(access.registers, recipe.b, "descriptor of B")?;
    let (a, a_descriptor) = match recipe.a {
        Source::Descriptor(plane) => {
            let descriptor = uniform(access.registers, plane, "descriptor of A")?;
            let matrix = decode(descriptor)?;
            (Rows::Shared { matrix, transposed: recipe.a_transposed }, Some(descriptor))
        }
        Source::Registers(planes) => {
            let held = planes.map(|plane| (plane, *access.registers.plane(plane)));
            (Rows::Registers(Box::new(held)), None)
        }
    };
    let (line, warp) = (access.line, access.warp.index);
    access.cta().warpgroups.issue(warp, Entry { line, a: a_descriptor, b })?;
    let b = decode(b)?;
    check_registers(access, recipe, accumulates)?;
    let product = Product {
        element: recipe.element,
        to: recipe.to.as_slice().into(),
        a,
        b,
        b_transposed: recipe.b_transposed,
        accumulates,
        negated: recipe.negated,
        issued: access.warp.clock,
        line,
    };
    // What the warp writes from here on is later than what the product may see.
    access.warp.clock.advance(warp);
    access.counters.mma_flop += 2 * 16 * (product.columns() * recipe.element.depth()) as u64;
    recipe.to.iter().for_each(|&plane| access.registers.hold(plane));
    access.warp.products.open.push(product);
    Ok(Flow::Next)
}

/// Registers of a product must be as the last fence found them, and the accumulator not be part of
/// that of another shape.
fn check_registers(access: &Access<'_>, recipe: &Recipe, accumulates: bool) -> Result<(), Trouble> {
    let products = &access.warp.products;
    let pending = products.groups.iter().flatten().chain(&products.open);
    let chained = pending.filter(|other| other.to.iter().any(|plane| recipe.to.contains(plane)));
    let fail = |kind, text: &str| Err(Trouble::at(kind, 0, text));
    for other in chained {
        if *other.to != *recipe.to {
            let text = "shares part of its accumulator with a product that is not waited for";
            return fail(FaultKind::Unsupported, text);
        }
    }
    let held = |plane: &Plane| access.registers.is_held(*plane);
    let fresh: Vec<Plane> = recipe.to.iter().copied().filter(|plane| !held(plane)).collect();
    if accumulates && let Some((_, lane)) = access.registers.undefined(&fresh, FULL) {
        let text = "adds to an accumulator that nothing has written";
        return Err(Trouble::at(FaultKind::Uninitialised, lane, text));
    }
    let sources = match &recipe.a {
        Source::Registers(planes) => planes.as_slice(),
        Source::Descriptor(_) => &[],
    };
    let changed = fresh
        .iter()
        .chain(sources)
        .any(|&plane| products.fenced.get(plane as usize) != Some(access.registers.plane(plane)));
    match changed {
        true => fail(
            FaultKind::Unsupported,
            "uses registers that were written since the last wgmma.fence (hint: wgmma.fence between \
             the writes and the first product)",
        ),
        false => Ok(()),
    }
}

/// Delivers all groups but the `latest`.
pub(super) fn wait(access: &mut Access<'_>, latest: usize) -> Result<Flow, Trouble> {
    while access.warp.products.groups.len() > latest {
        let Some(group) = access.warp.products.groups.pop_front() else { break };
        for product in group {
            let values = product.compute(access)?;
            for (&plane, value) in product.to.iter().zip(&values) {
                access.registers.set_plane(plane, FULL, value);
                access.warp.products.fenced[plane as usize] = *value;
            }
            deliver(access, &product.to);
        }
    }
    // What the warp does from here on is later than what the products read.
    access.warp.clock.advance(access.warp.index);
    Ok(Flow::Next)
}

/// Gives planes back unless a later product waits for them.
fn deliver(access: &mut Access<'_>, planes: &[Plane]) {
    let products = &access.warp.products;
    let mut pending = products.groups.iter().flatten().chain(&products.open);
    if !pending.any(|other| *other.to == *planes) {
        for &plane in planes {
            access.registers.release(plane);
        }
    }
}
