//! Copies of boxes of tensors, in tiled mode.

use super::tile::{Run, places, runs, sectors};
use super::{ToShared, begin, from_global, global, issued, policy, store};
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::isa::Lowered;
use crate::lower::{Address, Form, Lower};
use crate::machine::access::Access;
use crate::machine::bulk_queue::{Signal, Target};
use crate::machine::reduce::Reduce;
use crate::machine::registers::Plane;
use crate::memory::address::from_generic;
use crate::memory::traffic::lanes;
use crate::program::{Action, Flow};
use crate::syntax::ast::{Operand, Space, Type};
use crate::tensor_map::{Interleave, OobFill, TensorMap, TensorType};

/// Boxes begin at multiples of this in shared memory.
const ALIGN: u32 = 128;

/// A map and the box's place in the tensor.
struct Corner {
    space: Space,
    map: Address,
    coordinates: Vec<Plane>,
}

pub(super) fn lower(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    reduces: bool,
) -> Result<Lowered, PtxError> {
    let rank = rank(lower, form)?;
    form.take("tile");
    let spaces = &["global", "shared::cta", "shared::cluster"];
    let (to, from) = (form.take_one(spaces), form.take_one(spaces));
    match (to, from) {
        (Some("shared::cluster" | "shared::cta"), Some("global")) if !reduces => {
            load(lower, form, rank, to == Some("shared::cluster"))
        }
        (Some("global"), Some("shared::cta")) => unload(lower, form, rank, reduces),
        _ => Err(form.unknown(lower)),
    }
}

fn rank(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<usize, PtxError> {
    let names = ["1d", "2d", "3d", "4d", "5d"];
    let taken = form.take_one(&names);
    let rank = names.iter().position(|name| Some(*name) == taken);
    rank.map(|index| index + 1).ok_or_else(|| form.unknown(lower))
}

/// `[map, {x, y}]`
fn corner(
    lower: &mut Lower<'_>,
    form: &Form<'_>,
    operand: &Operand,
    rank: usize,
) -> Result<Corner, PtxError> {
    let Operand::Address { base, offset, more } = operand else { return Err(form.unknown(lower)) };
    let [coordinates] = more.as_slice() else { return Err(form.unknown(lower)) };
    let list = lower.list(coordinates);
    if list.len() != rank {
        let text = format!("`{}` has {} coordinates, expected {rank}", form.text(), list.len());
        return Err(lower.fail(text));
    }
    let coordinates =
        list.iter().map(|one| lower.src(one, Type::S32)).collect::<Result<Vec<_>, _>>()?;
    let (space, map) = lower.address_parts(base, *offset, Space::Generic)?;
    Ok(Corner { space, map, coordinates })
}

impl Corner {
    /// The map that a lane names, where this interpreter has all that it asks for.
    fn map(&self, access: &Access<'_>, lane: usize) -> Result<TensorMap, Trouble> {
        let address = self.map.read(access.registers)[lane];
        let (space, address) = match self.space {
            Space::Generic => from_generic(address),
            space => (space, address),
        };
        let fail = |kind, text: String| Trouble::at(kind, lane as u32, text);
        if !address.is_multiple_of(64) {
            let text = format!("tensor map at {address:#x}, expected a multiple of 64");
            return Err(fail(FaultKind::Misaligned, text));
        }
        let mut bytes = [0; 128];
        match space {
            Space::Param => {
                let at = address as usize;
                let Some(part) = access.device.params.get(at..at + bytes.len()) else {
                    let text = format!("tensor map at parameter offset {at}, past the last one");
                    return Err(fail(FaultKind::OutOfBounds, text));
                };
                bytes.copy_from_slice(part);
            }
            Space::Global | Space::Const => global::read(access, address, &mut bytes, lane)?,
            _ => {
                let text = "tensor map, expected a parameter or global or constant memory";
                return Err(fail(FaultKind::OutOfBounds, text.to_owned()));
            }
        }
        let refuse = |text: String| Err(fail(FaultKind::Unsupported, text));
        let Some(map) = TensorMap::decode(&bytes) else {
            return refuse(format!("no tensor map at {address:#x} (hint: cuTensorMapEncodeTiled)"));
        };
        if map.rank as usize != self.coordinates.len() {
            return refuse(format!(
                "tensor map of rank {}, expected {}",
                map.rank,
                self.coordinates.len()
            ));
        }
        let row = map.box_dim[0] * map.data_type.bytes();
        let span = map.swizzle.span();
        if map.interleave != Interleave::None
            || map.oob_fill != OobFill::Zero
            || matches!(map.data_type, TensorType::F32Ftz | TensorType::Tf32 | TensorType::Tf32Ftz)
            || (span != 0 && row != span)
        {
            return refuse(format!(
                "tensor map with {:?} elements, interleave {:?}, fill {:?} and rows of {row} bytes \
                 under swizzle {:?}: this interpreter has plain elements, no interleave, zeros \
                 outside and rows as long as the swizzle's span",
                map.data_type, map.interleave, map.oob_fill, map.swizzle
            ));
        }
        Ok(map)
    }

    /// The map, the box's runs in order, and its bytes.
    fn runs(
        &self,
        access: &Access<'_>,
        lane: usize,
    ) -> Result<(TensorMap, Vec<Run>, u32), Trouble> {
        let map = self.map(access, lane)?;
        let at = |plane: Plane| i64::from(access.registers.plane(plane)[lane] as i32);
        let corner: Vec<i64> = self.coordinates.iter().map(|&plane| at(plane)).collect();
        let (runs, bytes) = runs(&map, &corner);
        Ok((map, runs, bytes))
    }
}

fn load(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    rank: usize,
    cluster: bool,
) -> Result<Lowered, PtxError> {
    let [to, from, signal, rest @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let to = ToShared::take(lower, form, to, signal, rest, cluster)?;
    let corner = corner(lower, form, from, rank)?;
    let body = move |access: &mut Access<'_>| {
        for lane in lanes(access.mask) {
            let (map, runs, bytes) = corner.runs(access, lane)?;
            let (ranks, offset, object) = to.place(access, bytes, ALIGN, lane)?;
            let mut data = vec![0; bytes as usize];
            for run in &runs {
                if let Some(address) = run.global {
                    let part = &mut data[run.at as usize..][..run.bytes as usize];
                    global::read(access, address, part, lane)?;
                    access.counters.load_bytes += u64::from(run.bytes);
                }
            }
            access.counters.global_loads += 1;
            access.counters.load_sectors += sectors(&runs);
            let pieces = places(&map, &runs, offset);
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

fn unload(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
    rank: usize,
    reduces: bool,
) -> Result<Lowered, PtxError> {
    let [to, from, rest @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let reduce = if reduces { super::reduce::operation(form) } else { None };
    if reduces != reduce.is_some() || !form.take("bulk_group") {
        return Err(form.unknown(lower));
    }
    policy(lower, form, rest)?;
    let corner = corner(lower, form, to, rank)?;
    let (_, from) = lower.address(from, Space::Shared)?;
    let body = move |access: &mut Access<'_>| {
        for lane in lanes(access.mask) {
            let (map, mut runs, bytes) = corner.runs(access, lane)?;
            let address = from.read(access.registers)[lane];
            let (owner, offset) = access.shared("bulk copy", address, bytes, ALIGN, lane)?;
            let fail = |text: &str| Trouble::at(FaultKind::Unsupported, lane as u32, text);
            if owner != access.rank {
                return Err(fail("bulk copy from another CTA's memory, expected one's own"));
            }
            let reduce = match reduce {
                None => None,
                Some(operation) => match Reduce::of_tensor(operation, element(map.data_type)) {
                    Some(reduce) => Some(reduce),
                    None => return Err(fail("reduction that the tensor's type does not have")),
                },
            };
            // Elements outside the tensor are not written.
            runs.retain(|run| run.global.is_some());
            let sources = places(&map, &runs, offset);
            let pieces =
                runs.iter().filter_map(|run| Some((run.global?, run.bytes))).collect::<Vec<_>>();
            store(access, lane, sources, pieces, reduce)?;
        }
        Ok(issued(access))
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}

fn element(ty: TensorType) -> Type {
    match ty {
        TensorType::U8 => Type::U8,
        TensorType::U16 => Type::U16,
        TensorType::U32 => Type::U32,
        TensorType::I32 => Type::S32,
        TensorType::U64 => Type::U64,
        TensorType::I64 => Type::S64,
        TensorType::F16 => Type::F16,
        TensorType::Bf16 => Type::Bf16,
        TensorType::F64 => Type::F64,
        TensorType::F32 | TensorType::F32Ftz | TensorType::Tf32 | TensorType::Tf32Ftz => Type::F32,
    }
}

/// To the L2 cache: the map must be one.
pub(super) fn prefetch(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let [from, rest @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let rank = rank(lower, form)?;
    form.take("tile");
    if !(form.take("L2") && form.take("global")) {
        return Err(form.unknown(lower));
    }
    policy(lower, form, rest)?;
    let corner = corner(lower, form, from, rank)?;
    let body = move |access: &mut Access<'_>| {
        for lane in lanes(access.mask) {
            corner.map(access, lane)?;
        }
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Memory))
}
