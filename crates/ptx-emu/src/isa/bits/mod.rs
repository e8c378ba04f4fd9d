//! Logic, shifts, fields of bits, and permutations of bytes.

mod count;
mod field;
mod logic;
mod permute;
mod shift;

use super::Lowered;
use crate::error::PtxError;
use crate::lower::{Form, Lower};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "and" | "or" | "xor" | "not" | "cnot" => logic::lower(lower, form),
        "lop3" => logic::lop3(lower, form),
        "shl" | "shr" => shift::lower(lower, form),
        "shf" => shift::funnel(lower, form),
        "bfe" => field::extract(lower, form),
        "bfi" => field::insert(lower, form),
        "bmsk" => field::mask(lower, form),
        "szext" => field::extend(lower, form),
        "bfind" => count::find(lower, form),
        "fns" => count::nth(lower, form),
        "clz" | "popc" | "brev" => count::lower(lower, form),
        "prmt" => permute::lower(lower, form),
        _ => Err(form.unknown(lower)),
    }
}
