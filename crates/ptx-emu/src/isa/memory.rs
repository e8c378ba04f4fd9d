//! Loads, stores, prefetches and fences.

use super::Lowered;
use super::moves::space;
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::access::{Access, Manner};
use crate::machine::registers::{LANES, Mask, Plane, Registers};
use crate::memory::{NO_WORDS, Words};
use crate::program::{Action, Flow};
use crate::syntax::ast::{Space, Type};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "ld" | "ldu" => load(lower, form),
        "st" => store(lower, form),
        "fence" | "membar" => fence(lower, form),
        _ => hint(lower, form),
    }
}

/// What `ld` and `st` have in common: space, ordering, cache hints, vector, type.
struct Shape {
    space: Space,
    /// Acquires or releases at device scope.
    orders: bool,
    /// Volatile, relaxed or ordered, so that it does not race with others of its kind.
    strong: bool,
    count: usize,
    ty: Type,
}

fn shape(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<Shape, PtxError> {
    let orders = form.take_one(&["acquire", "release"]).is_some();
    let volatile = form.take_one(&["weak", "volatile", "relaxed", "mmio"]);
    let scope = form.take_one(&["cta", "cluster", "gpu", "sys"]);
    let space = space(form).unwrap_or(Space::Generic);
    let wide = scope != Some("cta");
    // Shared memory is the CTA's own, so that any scope is wide enough there.
    let strong =
        (orders || !matches!(volatile, None | Some("weak"))) && (wide || space == Space::Shared);
    form.take("unified");
    form.take("nc");
    // Cache hints change no value.
    form.take_one(&["ca", "cg", "cs", "lu", "cv", "wb", "wt"]);
    while form
        .take_as(|word| (word.starts_with("L1::") || word.starts_with("L2::")).then_some(()))
        .is_some()
    {}
    let count = match form.take_one(&["v2", "v4"]) {
        Some("v2") => 2,
        Some(_) => 4,
        None => 1,
    };
    let ty = form.ty(lower)?;
    if ty == Type::Pred || ty.bytes() as usize * count > 16 {
        return Err(form.unknown(lower));
    }
    Ok(Shape { space, orders: orders && wide, strong, count, ty })
}

fn load(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Shape { space, orders, strong, count, ty } = shape(lower, form)?;
    let [to, from] = form.operands(lower)?;
    let (space, address) = lower.address(from, space)?;
    let manner = Manner { strong, used: lower.used_bytes.take().unwrap_or(u16::MAX) };
    let to = lower
        .list_of(to, count)?
        .iter()
        .map(|to| lower.dst_wide(to, ty))
        .collect::<Result<Vec<_>, _>>()?;
    let each = ty.bytes();
    let body = move |access: &mut Access<'_>| {
        let addresses = address.read(access.registers);
        let mask = access.mask;
        let words = access.load(space, &addresses, mask, each * count as u32, manner)?;
        if orders {
            // What it sees was published before this moment.
            access.device.fences.pass(access.warp.cta_index);
        }
        for (index, &(plane, register)) in to.iter().enumerate() {
            put_element(access.registers, mask, plane, register, ty, &words, index);
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

/// Writes element `index` of what was loaded, extended to the register's width.
fn put_element(
    registers: &mut Registers,
    mask: Mask,
    plane: Plane,
    register: Type,
    ty: Type,
    words: &Words,
    index: usize,
) {
    let at = index * ty.bytes() as usize;
    let (word, shift) = (at / 4, 8 * (at % 4) as u32);
    if ty.bytes() == 8 {
        registers.set_plane(plane, mask, &words[word]);
        registers.set_plane(plane + 1, mask, &words[word + 1]);
        return;
    }
    let mut low = words[word];
    if ty.bytes() < 4 {
        let spare = 32 - 8 * ty.bytes();
        for value in &mut low {
            let raw = (*value >> shift) << spare;
            *value = match is_signed(ty) {
                true => ((raw as i32) >> spare) as u32,
                false => raw >> spare,
            };
        }
    }
    if register.bytes() == 8 {
        let high = match is_signed(ty) {
            true => low.map(|value| ((value as i32) >> 31) as u32),
            false => [0; LANES],
        };
        registers.set_plane(plane + 1, mask, &high);
    } else if register.bytes() == 2 {
        low = low.map(|value| value & 0xffff);
    }
    registers.set_plane(plane, mask, &low);
}

fn is_signed(ty: Type) -> bool {
    matches!(ty, Type::S8 | Type::S16 | Type::S32 | Type::S64)
}

fn store(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Shape { space, orders, strong, count, ty } = shape(lower, form)?;
    let [to, from] = form.operands(lower)?;
    let (space, address) = lower.address(to, space)?;
    let from = lower
        .list_of(from, count)?
        .iter()
        .map(|from| lower.src_wide(from, ty).map(|(plane, _)| plane))
        .collect::<Result<Vec<_>, _>>()?;
    let each = ty.bytes();
    let body = move |access: &mut Access<'_>| {
        let addresses = address.read(access.registers);
        let mut words = NO_WORDS;
        for (index, &plane) in from.iter().enumerate() {
            take_element(access.registers, plane, each, &mut words, index);
        }
        if orders {
            access.device.fences.pass(access.warp.cta_index);
        }
        access.store(space, &addresses, access.mask, each * count as u32, &words, strong)?;
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

fn take_element(registers: &Registers, plane: Plane, each: u32, words: &mut Words, index: usize) {
    let at = index * each as usize;
    let (word, shift) = (at / 4, 8 * (at % 4) as u32);
    match each {
        8 => {
            words[word] = *registers.plane(plane);
            words[word + 1] = *registers.plane(plane + 1);
        }
        4 => words[word] = *registers.plane(plane),
        _ => {
            let keep = (1u32 << (8 * each)) - 1;
            let from = registers.plane(plane);
            for lane in 0..LANES {
                words[word][lane] |= (from[lane] & keep) << shift;
            }
        }
    }
}

/// `fence` and `membar`: a moment in the order of the CTA's accesses.
fn fence(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    form.take_one(&["sc", "acq_rel", "acquire", "release", "proxy"]);
    form.take_as(|word| {
        (word.starts_with("async")
            || word.starts_with("tensormap")
            || word.starts_with("alias")
            || word.starts_with("mbarrier_init")
            || word.starts_with("sync_restrict")
            || word == "generic")
            .then_some(())
    });
    let kept = space(form);
    // Past this fence, copies and matrix units see what was stored to shared memory.
    let words = &form.instruction.modifiers;
    let async_proxy = words.iter().any(|word| word == "async") && kept != Some(Space::Global);
    let scope = form.take_one(&["cta", "cluster", "gpu", "sys", "gl"]);
    form.take_one(&["release", "acquire"]);
    // `fence.proxy.tensormap` names an address and a size.
    for operand in &form.instruction.operands {
        if let crate::syntax::ast::Operand::Address { base, offset, .. } = operand {
            lower.address_parts(base, *offset, Space::Generic)?;
        }
    }
    let wide = !matches!(scope, Some("cta"));
    let body = move |access: &mut Access<'_>| {
        if wide {
            access.device.fences.pass(access.warp.cta_index);
        }
        if async_proxy {
            access.warp.clock.fence_proxy(access.warp.index);
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Sync))
}

/// Prefetches and the like: they change no value, but their addresses must make sense.
fn hint(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let space = space(form).unwrap_or(Space::Generic);
    form.take("tensormap");
    while form
        .take_as(|word| (word.starts_with("L1") || word.starts_with("L2")).then_some(()))
        .is_some()
    {}
    if let Some(operand) = form.instruction.operands.first() {
        lower.address(operand, space)?;
    }
    Ok(Lowered::new(Action::Access(Box::new(|_| Ok(Flow::Next))), Class::Memory))
}
