//! How `cp.reduce.async.bulk` names what it does to each element.

use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::reduce::{Operation, Reduce};
use crate::syntax::ast::Type;

/// Takes the name of an operation.
pub(super) fn operation(form: &mut Form<'_>) -> Option<Operation> {
    form.take_as(|word| {
        Some(match word {
            "add" => Operation::Add,
            "min" => Operation::Min,
            "max" => Operation::Max,
            "inc" => Operation::Inc,
            "dec" => Operation::Dec,
            "and" => Operation::And,
            "or" => Operation::Or,
            "xor" => Operation::Xor,
            _ => return None,
        })
    })
}

/// Takes the operation and the type of `cp.reduce.async.bulk` to shared or global memory.
pub(super) fn reduction(
    lower: &Lower<'_>,
    form: &mut Form<'_>,
    to_shared: bool,
) -> Result<Reduce, PtxError> {
    let Some(operation) = operation(form) else { return Err(form.unknown(lower)) };
    let flush_free = form.take("noftz");
    let ty = form.ty(lower)?;
    let half = matches!(ty, Type::F16 | Type::Bf16);
    if flush_free != (half && operation == Operation::Add) {
        return Err(form.unknown(lower));
    }
    let reduce = Reduce { operation, ty };
    match reduce.is_known(to_shared) {
        true => Ok(reduce),
        false => Err(form.unknown(lower)),
    }
}
