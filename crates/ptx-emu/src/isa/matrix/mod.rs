//! Matrices that lie spread over the lanes of a warp: their loads, stores, transposes and products.

mod extents;
mod multiply;
mod product;
mod tiles;

use super::Lowered;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::machine::registers::FULL;
use crate::program::{Action, Flow, Members};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    if !form.take("sync") || !form.take("aligned") {
        return Err(form.unknown(lower));
    }
    match form.opcode() {
        "ldmatrix" => tiles::load(lower, form),
        "stmatrix" => tiles::store(lower, form),
        "movmatrix" => tiles::transpose(lower, form),
        _ => multiply::lower(lower, form),
    }
}

/// An instruction that all 32 lanes execute together.
fn together(
    class: Class,
    body: impl Fn(&mut Access<'_>) -> Result<(), Trouble> + Send + Sync + 'static,
) -> Lowered {
    let body = move |access: &mut Access<'_>| {
        if access.mask != FULL {
            return Err(Trouble::at(
                FaultKind::BarrierDivergence,
                (!access.mask).trailing_zeros(),
                "does not take part in an instruction on matrices, expected all 32 lanes of the warp",
            ));
        }
        body(access)?;
        Ok(Flow::Next)
    };
    Lowered::new(Action::Together(Members::All, Box::new(body)), class)
}
