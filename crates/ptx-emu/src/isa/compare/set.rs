//! `setp` and `set`: a comparison, combined with a predicate, as predicates or as a value.

use super::test::{Pair, Test, WORDS, class, test};
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::lanes::signed_predicate;
use crate::lower::{Form, Lower};
use crate::machine::registers::{LANES, Mask, Predicate, Registers};
use crate::program::Action;
use crate::syntax::ast::{Operand, Type};

/// How a comparison is combined with a predicate.
#[derive(Debug, Clone, Copy)]
enum Combine {
    Alone,
    And(Predicate, bool),
    Or(Predicate, bool),
    Xor(Predicate, bool),
}

impl Combine {
    #[inline(always)]
    fn with(self, registers: &Registers, holds: Mask) -> Mask {
        match self {
            Combine::Alone => holds,
            Combine::And(other, negated) => holds & signed_predicate(registers, (other, negated)),
            Combine::Or(other, negated) => holds | signed_predicate(registers, (other, negated)),
            Combine::Xor(other, negated) => holds ^ signed_predicate(registers, (other, negated)),
        }
    }
}

/// What `setp` and `set` have in common.
struct Comparison<'a> {
    /// One test, or one for each half.
    tests: Vec<Test>,
    combine: Combine,
    to: &'a Operand,
}

fn comparison<'a>(
    lower: &mut Lower<'_>,
    form: &mut Form<'a>,
    words: (&str, Option<&str>, bool),
    ty: Type,
) -> Result<Comparison<'a>, PtxError> {
    let (word, boolean, flush) = words;
    let [to, a, b, more @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let combine = match (boolean, more) {
        (None, []) => Combine::Alone,
        (Some(boolean), [other]) => {
            let (other, negated) = lower.src_predicate(other)?;
            match boolean {
                "and" => Combine::And(other, negated),
                "or" => Combine::Or(other, negated),
                _ => Combine::Xor(other, negated),
            }
        }
        _ => return Err(form.unknown(lower)),
    };
    let (element, shifts): (Type, &[u32]) = match ty {
        Type::F16x2 => (Type::F16, &[0, 16]),
        Type::Bf16x2 => (Type::Bf16, &[0, 16]),
        ty => (ty, &[0]),
    };
    let tests = shifts.iter().map(|&shift| test(word, element, flush, Pair { a, b, shift }));
    let Some(tests) = tests.collect() else { return Err(form.unknown(lower)) };
    Ok(Comparison { tests, combine, to })
}

/// The comparison's word, the boolean operation, and whether subnormal operands are zeros.
fn words<'a>(
    lower: &Lower<'_>,
    form: &mut Form<'a>,
) -> Result<(&'a str, Option<&'a str>, bool), PtxError> {
    let Some(word) = form.take_one(&WORDS) else { return Err(form.unknown(lower)) };
    Ok((word, form.take_one(&["and", "or", "xor"]), form.take("ftz")))
}

/// `setp`: into one predicate or two. The second takes the opposite comparison, or that of the upper
/// halves.
pub(super) fn predicates(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let words = words(lower, form)?;
    let ty = form.ty(lower)?;
    let Comparison { tests, combine, to } = comparison(lower, form, words, ty)?;
    let (first, second) = match to {
        Operand::Pair(first, second) => {
            (lower.dst_predicate(first)?, Some(lower.dst_predicate(second)?))
        }
        only => (lower.dst_predicate(only)?, None),
    };
    let body = move |registers: &mut Registers, mask: Mask| {
        let holds = tests[0](registers);
        let value = combine.with(registers, holds);
        if let Some(second) = second {
            let other = tests.get(1).map_or(!holds, |upper| upper(registers));
            let other = combine.with(registers, other);
            registers.set_predicate(first, mask, value);
            registers.set_predicate(second, mask, other);
        } else {
            registers.set_predicate(first, mask, value);
        }
    };
    Ok(Lowered::new(Action::Lanes(Box::new(body)), class(ty)))
}

/// `set`: one, or all ones, where the comparison holds.
pub(super) fn values(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let words = words(lower, form)?;
    let (to_type, ty) = (form.ty(lower)?, form.ty(lower)?);
    let packed = matches!(ty, Type::F16x2 | Type::Bf16x2);
    let half = matches!(ty, Type::F16 | Type::Bf16);
    let one: u32 = match to_type {
        Type::U32 | Type::S32 if packed => 0xffff,
        Type::U32 | Type::S32 => u32::MAX,
        Type::U16 | Type::S16 if half => 0xffff,
        Type::F32 if !half && !packed => 1f32.to_bits(),
        Type::F16 if !packed && ty != Type::Bf16 => half::f16::ONE.to_bits().into(),
        Type::Bf16 if !packed => half::bf16::ONE.to_bits().into(),
        Type::F16x2 if ty == Type::F16x2 => half::f16::ONE.to_bits().into(),
        Type::Bf16x2 if ty == Type::Bf16x2 => half::bf16::ONE.to_bits().into(),
        _ => return Err(form.unknown(lower)),
    };
    let Comparison { tests, combine, to } = comparison(lower, form, words, ty)?;
    let to = lower.dst(to, to_type)?;
    let body = move |registers: &mut Registers, mask: Mask| {
        let mut out = [0; LANES];
        for (half, test) in tests.iter().enumerate() {
            let holds = combine.with(registers, test(registers));
            let one = one << (16 * half);
            for (lane, out) in out.iter_mut().enumerate() {
                *out |= (holds >> lane & 1).wrapping_neg() & one;
            }
        }
        registers.set_plane(to, mask, &out);
    };
    Ok(Lowered::new(Action::Lanes(Box::new(body)), class(ty)))
}
