//! `min` and `max`.

use super::super::Lowered;
use super::super::lanes::map2;
use super::round::{F32, F64, Format};
use super::{canonical, double_nan, flush, is_double};
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::registers::Plane;
use crate::program::{Action, LaneBody};
use crate::syntax::ast::Type;

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let ftz = form.take("ftz");
    let extreme = Extreme::of(lower, form)?;
    let double = is_double(lower, form)?;
    if double && (ftz || extreme.nan || extreme.xorsign) {
        return Err(form.unknown(lower));
    }
    let ty = if double { Type::F64 } else { Type::F32 };
    // Three operands are of sm_100.
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let to = lower.dst(to, ty)?;
    let body = match double {
        false if !extreme.nan && !extreme.xorsign => plain(extreme.max, ftz, to, a, b),
        true => map2(to, a, b, move |a: f64, b: f64| {
            double_nan(f64::from_bits(extreme.pick(F64, a.to_bits(), b.to_bits())), [a, b])
        }),
        false => map2(to, a, b, move |a: u32, b: u32| {
            let flush = |bits: u32| if ftz { F32.flush(bits.into()) } else { bits.into() };
            extreme.pick(F32, flush(a), flush(b)) as u32
        }),
    };
    Ok(Lowered::new(Action::Lanes(body), if double { Class::Double } else { Class::Float }))
}

/// `min` and `max` of f32 without more words, which inner loops are full of.
fn plain(max: bool, ftz: bool, to: Plane, a: Plane, b: Plane) -> LaneBody {
    // Equal numbers differ in the sign of zero at most: the larger has it only if both have.
    let larger = |a: f32, b: f32| match a == b {
        true => f32::from_bits(a.to_bits() & b.to_bits()),
        false => {
            if a > b || b.is_nan() {
                a
            } else {
                b
            }
        }
    };
    let smaller = |a: f32, b: f32| match a == b {
        true => f32::from_bits(a.to_bits() | b.to_bits()),
        false => {
            if a < b || b.is_nan() {
                a
            } else {
                b
            }
        }
    };
    match (max, ftz) {
        (true, false) => map2(to, a, b, move |a, b| canonical(larger(a, b))),
        (false, false) => map2(to, a, b, move |a, b| canonical(smaller(a, b))),
        (true, true) => {
            map2(to, a, b, move |a, b| canonical(larger(flush(true, a), flush(true, b))))
        }
        (false, true) => {
            map2(to, a, b, move |a, b| canonical(smaller(flush(true, a), flush(true, b))))
        }
    }
}

/// Which of two numbers to take.
#[derive(Debug, Clone, Copy)]
pub(in crate::isa) struct Extreme {
    max: bool,
    /// A NaN operand makes the result NaN.
    nan: bool,
    /// The larger or smaller size, with the product's sign.
    xorsign: bool,
}

impl Extreme {
    pub(in crate::isa) fn of(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<Extreme, PtxError> {
        let (nan, xorsign) = (form.take("NaN"), form.take("xorsign"));
        if form.take("abs") != xorsign {
            return Err(lower.fail(format!("`{}`: .xorsign and .abs go together", form.text())));
        }
        Ok(Extreme { max: form.opcode() == "max", nan, xorsign })
    }

    /// The result for the bits of two numbers of a format.
    #[inline(always)]
    pub(in crate::isa) fn pick(self, format: Format, a: u64, b: u64) -> u64 {
        let negative = format.is_negative(a) != format.is_negative(b);
        let size = |bits: u64| if self.xorsign { bits & !format.sign(true) } else { bits };
        let picked = match (format.is_nan(a), format.is_nan(b)) {
            (true, true) => return format.nan(),
            (true, _) | (_, true) if self.nan => return format.nan(),
            (true, false) => size(b),
            (false, true) => size(a),
            (false, false) => {
                // As integers that grow with the number; so -0 lies below +0.
                let order = |bits: u64| match format.is_negative(bits) {
                    true => format.sign(true) - 1 - (bits & !format.sign(true)),
                    false => bits | format.sign(true),
                };
                let (a, b) = (size(a), size(b));
                if (order(a) > order(b)) == self.max { a } else { b }
            }
        };
        if self.xorsign { picked | format.sign(negative) } else { picked }
    }
}
