//! Logic on bits and on predicates.

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::{lane_bits, map1, map2, signed_predicate};
use crate::isa::types::for_bits;
use crate::isa::vector::vectorised;
use crate::lower::{Form, Lower};
use crate::machine::registers::{LANES, Lanes, Mask, Registers};
use crate::program::Action;
use crate::syntax::ast::{Operand, Type};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    if ty == Type::Pred {
        return predicates(lower, form);
    }
    let opcode = form.opcode();
    let body = if matches!(opcode, "not" | "cnot") {
        let [to, a] = form.operands(lower)?;
        let (a, to) = (lower.src(a, ty)?, lower.dst(to, ty)?);
        for_bits!(ty, N => match opcode {
            "not" => map1(to, a, |a: N| !a),
            _ => map1(to, a, |a: N| N::from(a == 0)),
        }, else return Err(form.unknown(lower)))
    } else {
        let [to, a, b] = form.operands(lower)?;
        let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
        let to = lower.dst(to, ty)?;
        for_bits!(ty, N => match opcode {
            "and" => map2(to, a, b, |a: N, b: N| a & b),
            "or" => map2(to, a, b, |a: N, b: N| a | b),
            _ => map2(to, a, b, |a: N, b: N| a ^ b),
        }, else return Err(form.unknown(lower)))
    };
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

fn predicates(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let f: fn(Mask, Mask) -> Mask = match form.opcode() {
        "and" => |a, b| a & b,
        "or" => |a, b| a | b,
        "xor" => |a, b| a ^ b,
        "not" => |a, _| !a,
        _ => return Err(form.unknown(lower)),
    };
    let (to, a, b) = if form.opcode() == "not" {
        let [to, a] = form.operands(lower)?;
        (to, a, a)
    } else {
        let [to, a, b] = form.operands(lower)?;
        (to, a, b)
    };
    let (a, b) = (lower.src_predicate(a)?, lower.src_predicate(b)?);
    let to = lower.dst_predicate(to)?;
    let body = move |registers: &mut Registers, mask: Mask| {
        let value = f(signed_predicate(registers, a), signed_predicate(registers, b));
        registers.set_predicate(to, mask, value);
    };
    Ok(Lowered::new(Action::Lanes(Box::new(body)), Class::Integer))
}

/// `lop3`: any function of three bits, given by its table; with `.and` or `.or` also the predicate
/// whether anything is set, combined with another one.
pub(super) fn lop3(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let combine = form.take_one(&["and", "or"]);
    let ty = form.ty(lower)?;
    if ty != Type::B32 {
        return Err(form.unknown(lower));
    }
    let (to, sources, combine) = match (combine, form.instruction.operands.as_slice()) {
        (None, [to, sources @ ..]) => (to, sources, None),
        (Some(combine), [Operand::Pair(to, holds), sources @ .., other]) => {
            let other = lower.src_predicate(other)?;
            let holds = lower.dst_predicate(holds)?;
            (&**to, sources, Some((combine == "and", other, holds)))
        }
        _ => return Err(form.unknown(lower)),
    };
    let [a, b, c, table] = sources else { return Err(form.unknown(lower)) };
    let (a, b, c) = (lower.src(a, ty)?, lower.src(b, ty)?, lower.src(c, ty)?);
    let table = lower.immediate(table)?;
    let Ok(table) = u8::try_from(table) else {
        return Err(lower.fail(format!("the table of lop3 is {table}, expected 0 to 255")));
    };
    let to = lower.dst(to, ty)?;
    // Bit 4a + 2b + c of the table is the result for bits a, b and c.
    let entry: [u32; 8] = std::array::from_fn(|index| u32::from(table >> index & 1).wrapping_neg());
    let body = move |registers: &mut Registers, mask: Mask| {
        let (a, b, c) = (registers.plane(a), registers.plane(b), registers.plane(c));
        let mut out: Lanes = [0; LANES];
        for lane in 0..LANES {
            let (a, b, c) = (a[lane], b[lane], c[lane]);
            let of = |index: usize| (entry[index] & !c) | (entry[index + 1] & c);
            let (low, high) = ((of(0) & !b) | (of(2) & b), (of(4) & !b) | (of(6) & b));
            out[lane] = (low & !a) | (high & a);
        }
        if let Some((and, other, holds)) = combine {
            let set = lane_bits(|lane| out[lane] != 0);
            let other = signed_predicate(registers, other);
            registers.set_predicate(holds, mask, if and { set & other } else { set | other });
        }
        registers.set_plane(to, mask, &out);
    };
    Ok(Lowered::new(Action::Lanes(vectorised(body)), Class::Integer))
}
