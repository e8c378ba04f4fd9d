//! Integer arithmetic.

mod arithmetic;
mod carry;
mod dot;
mod packed;
mod product;

use super::Lowered;
use crate::error::PtxError;
use crate::lower::{Form, Lower};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let word = |word: &str| form.instruction.modifiers.iter().any(|modifier| modifier == word);
    let packed = word("u16x2") || word("s16x2");
    match form.opcode() {
        "add" | "min" | "max" if packed => packed::lower(lower, form),
        _ if packed => Err(form.unknown(lower)),
        "addc" | "subc" | "madc" => carry::lower(lower, form),
        "add" | "sub" | "mad" if word("cc") => carry::lower(lower, form),
        "add" | "sub" | "div" | "rem" | "min" | "max" | "sad" | "abs" | "neg" => {
            arithmetic::lower(lower, form)
        }
        "mul" | "mad" => product::lower(lower, form),
        "mul24" | "mad24" => product::lower24(lower, form),
        "dp4a" | "dp2a" => dot::lower(lower, form),
        _ => Err(form.unknown(lower)),
    }
}
