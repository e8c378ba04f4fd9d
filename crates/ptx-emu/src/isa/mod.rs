//! The instructions, a file for each family: what a form means, as a closure over planes.
//!
//! A family looks at the opcode and the modifiers through [`Form`], turns operands into planes
//! through [`Lower`], and returns the work. What it does not know it refuses, with the line.

mod atomics;
mod bits;
mod bulk;
mod compare;
mod control;
mod convert;
mod copies;
mod float;
mod half;
mod integer;
mod lanes;
mod lowered;
mod matrix;
mod mbarrier;
mod memory;
mod moves;
mod shuffle;
mod special;
mod types;
mod vector;
mod wgmma;

pub(crate) use lowered::Lowered;

use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::syntax::ast::Type;

/// Lowers one instruction other than `call`.
pub(crate) fn lower_instruction(
    lower: &mut Lower<'_>,
    form: &mut Form<'_>,
) -> Result<Lowered, PtxError> {
    let word = |word: &str| form.instruction.modifiers.iter().any(|modifier| modifier == word);
    let ty = form.instruction.modifiers.iter().rev().find_map(|word| Type::named(word));
    match form.opcode() {
        "bra" | "brx" | "ret" | "exit" | "trap" | "bar" | "barrier" | "brkpt" | "nanosleep" => {
            control::lower(lower, form)
        }
        "mov" | "cvta" | "isspacep" | "mapa" | "getctarank" => moves::lower(lower, form),
        "ld" | "ldu" | "st" | "prefetch" | "prefetchu" | "discard" | "fence" | "membar"
        | "applypriority" => memory::lower(lower, form),
        "atom" | "red" => atomics::lower(lower, form),
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => shuffle::lower(lower, form),
        "cp" if word("bulk") => bulk::lower(lower, form),
        "cp" if word("mbarrier") => mbarrier::lower_after_copies(lower, form),
        "cp" => copies::lower(lower, form),
        "ldmatrix" | "stmatrix" | "movmatrix" | "mma" => matrix::lower(lower, form),
        "mbarrier" => mbarrier::lower(lower, form),
        "wgmma" | "setmaxnreg" | "griddepcontrol" => wgmma::lower(lower, form),
        "setp" | "set" | "selp" | "slct" => compare::lower(lower, form),
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" | "shl" | "shr" | "shf" | "bfe" | "bfi"
        | "bfind" | "clz" | "popc" | "brev" | "prmt" | "fns" | "bmsk" | "szext" => {
            bits::lower(lower, form)
        }
        "cvt" => convert::lower(lower, form),
        "ex2" | "lg2" | "sin" | "cos" | "tanh" | "rcp" | "sqrt" | "rsqrt" => {
            special::lower(lower, form)
        }
        "div" if word("approx") || word("full") => special::lower(lower, form),
        "copysign" | "testp" => float::lower(lower, form),
        // The rest means a different thing for each kind of number.
        _ => match ty {
            Some(Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2) => half::lower(lower, form),
            Some(Type::F32 | Type::F64) => float::lower(lower, form),
            Some(_) => integer::lower(lower, form),
            None if word("u16x2") || word("s16x2") => integer::lower(lower, form),
            None => Err(form.unknown(lower)),
        },
    }
}
