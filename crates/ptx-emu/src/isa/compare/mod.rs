//! Comparisons and selections.

mod select;
mod set;
mod test;

use super::Lowered;
use crate::error::PtxError;
use crate::lower::{Form, Lower};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    match form.opcode() {
        "setp" => set::predicates(lower, form),
        "set" => set::values(lower, form),
        "selp" => select::by_predicate(lower, form),
        _ => select::by_sign(lower, form),
    }
}
