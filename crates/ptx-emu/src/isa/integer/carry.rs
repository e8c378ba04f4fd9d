//! Sums and differences in several words: the carry goes from one instruction to the next.
//!
//! PTX has one carry flag, `CC.CF`, which no operand names. After `sub.cc` and `subc.cc` it holds
//! the borrow.

use super::product::Product;
use crate::class::Class;
use crate::error::PtxError;
use crate::isa::Lowered;
use crate::isa::types::for_type;
use crate::lower::{Form, Lower};
use crate::machine::registers::{LANES, Mask, Plane, Predicate, Registers, Word};
use crate::program::{Action, LaneBody};
use crate::syntax::ast::Type;

/// Where the carry comes from and goes to.
#[derive(Debug, Clone, Copy)]
struct Carry {
    from: Option<Predicate>,
    to: Option<Predicate>,
}

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let (opcode, takes_carry) = match form.opcode() {
        "addc" => ("add", true),
        "subc" => ("sub", true),
        "madc" => ("mad", true),
        opcode => (opcode, false),
    };
    let part = form.take_one(&["lo", "hi"]);
    let gives_carry = form.take("cc");
    let ty = form.ty(lower)?;
    let signed = matches!(ty, Type::S32 | Type::S64);
    let [to, sources @ ..] = form.instruction.operands.as_slice() else {
        return Err(form.unknown(lower));
    };
    let sources = sources.iter().map(|operand| lower.src(operand, ty));
    let sources = sources.collect::<Result<Vec<Plane>, _>>()?;
    let carry = Carry {
        from: takes_carry.then(|| lower.src_carry()),
        to: gives_carry.then(|| lower.dst_carry()),
    };
    let to = lower.dst(to, ty)?;
    let body = for_type!(
        ty,
        N in [U32 = u32, S32 = u32, U64 = u64, S64 = u64] => {
            match (opcode, part, sources.as_slice()) {
                ("add", None, &[a, b]) => chain(to, [a, b, b], carry, |a: N, b, _, carry| {
                    a.plus(b, carry)
                }),
                ("sub", None, &[a, b]) => chain(to, [a, b, b], carry, |a: N, b, _, borrow| {
                    a.minus(b, borrow)
                }),
                ("mad", Some("lo"), &[a, b, c]) => {
                    chain(to, [a, b, c], carry, |a: N, b, c, carry| {
                        a.wrapping_mul(b).plus(c, carry)
                    })
                }
                ("mad", Some("hi"), &[a, b, c]) => {
                    chain(to, [a, b, c], carry, move |a: N, b, c, carry| {
                        a.high_half(b, signed).plus(c, carry)
                    })
                }
                _ => return Err(form.unknown(lower)),
            }
        },
        else return Err(form.unknown(lower))
    );
    Ok(Lowered::new(Action::Lanes(body), Class::Integer))
}

/// `to = f(a, b, c, carry)`, lane by lane, and the new carry.
#[inline(always)]
fn chain<T: Word>(
    to: Plane,
    [a, b, c]: [Plane; 3],
    carry: Carry,
    f: impl Fn(T, T, T, bool) -> (T, bool) + Send + Sync + 'static,
) -> LaneBody {
    Box::new(move |registers: &mut Registers, mask: Mask| {
        let (a, b): ([T; LANES], [T; LANES]) = (registers.read(a), registers.read(b));
        let c: [T; LANES] = registers.read(c);
        let before = carry.from.map_or(0, |flag| registers.predicate(flag));
        let (mut out, mut after) = ([T::default(); LANES], 0);
        for lane in 0..LANES {
            let (value, carried) = f(a[lane], b[lane], c[lane], before >> lane & 1 == 1);
            out[lane] = value;
            after |= Mask::from(carried) << lane;
        }
        registers.write(to, mask, &out);
        if let Some(flag) = carry.to {
            registers.set_predicate(flag, mask, after);
        }
    })
}

/// A word of a longer number.
trait Limb: Sized {
    /// The sum with a carry, and the carry out of it.
    fn plus(self, other: Self, carry: bool) -> (Self, bool);
    /// The difference with a borrow, and the borrow out of it.
    fn minus(self, other: Self, borrow: bool) -> (Self, bool);
    /// The upper half of the product.
    fn high_half(self, other: Self, signed: bool) -> Self;
}

macro_rules! limb {
    ($($unsigned:ty, $signed:ty;)*) => {$(
        impl Limb for $unsigned {
            #[inline(always)]
            fn plus(self, other: Self, carry: bool) -> (Self, bool) {
                let (sum, first) = self.overflowing_add(other);
                let (sum, second) = sum.overflowing_add(Self::from(carry));
                (sum, first | second)
            }
            #[inline(always)]
            fn minus(self, other: Self, borrow: bool) -> (Self, bool) {
                let (difference, first) = self.overflowing_sub(other);
                let (difference, second) = difference.overflowing_sub(Self::from(borrow));
                (difference, first | second)
            }
            #[inline(always)]
            fn high_half(self, other: Self, signed: bool) -> Self {
                match signed {
                    true => (self as $signed).high(other as $signed) as Self,
                    false => self.high(other),
                }
            }
        }
    )*};
}

limb!(u32, i32; u64, i64;);
