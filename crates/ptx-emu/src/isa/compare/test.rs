//! A comparison of two operands, as a closure that gives the lanes where it holds.

use half::{bf16, f16};

use crate::class::Class;
use crate::isa::lanes::lane_bits;
use crate::isa::types::{for_bits, for_type};
use crate::machine::registers::{LANES, Mask, Plane, Registers, Word};
use crate::syntax::ast::Type;

/// The lanes where a comparison holds.
pub(super) type Test = Box<dyn Fn(&Registers) -> Mask + Send + Sync>;

/// The words for comparisons.
pub(super) const WORDS: [&str; 18] = [
    "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu",
    "geu", "num", "nan",
];

/// What two numbers can be to each other; all are false where either is a NaN.
#[derive(Debug, Clone, Copy)]
enum Relation {
    Equal,
    /// Less or greater.
    Apart,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Neither is a NaN.
    Ordered,
}

/// Two operands of a comparison; `shift` says where their bits lie, for packed halves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) a: Plane,
    pub(super) b: Plane,
    pub(super) shift: u32,
}

/// The test that `word` names on operands of `ty`, the element of packed types; `None` where the type
/// does not have it. With `flush`, subnormal operands count as zeros.
pub(super) fn test(word: &str, ty: Type, flush: bool, pair: Pair) -> Option<Test> {
    use Relation::{Apart, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Ordered};
    let float = matches!(ty, Type::F16 | Type::Bf16 | Type::F32 | Type::F64);
    let unsigned = matches!(ty, Type::U16 | Type::U32 | Type::U64);
    let bits = matches!(ty, Type::B16 | Type::B32 | Type::B64);
    if flush && !matches!(ty, Type::F16 | Type::F32) {
        return None;
    }
    // The relation, and whether the test is that it does not hold.
    let (relation, negate) = match word {
        "eq" => (Equal, false),
        // Two numbers that are not equal are apart, but a NaN is not apart from anything.
        "ne" if float => (Apart, false),
        "ne" => (Equal, true),
        _ if bits => return None,
        "lt" => (Less, false),
        "le" => (LessOrEqual, false),
        "gt" => (Greater, false),
        "ge" => (GreaterOrEqual, false),
        "lo" if unsigned => (Less, false),
        "ls" if unsigned => (LessOrEqual, false),
        "hi" if unsigned => (Greater, false),
        "hs" if unsigned => (GreaterOrEqual, false),
        _ if !float => return None,
        "equ" => (Apart, true),
        "neu" => (Equal, true),
        "ltu" => (GreaterOrEqual, true),
        "leu" => (Greater, true),
        "gtu" => (LessOrEqual, true),
        "geu" => (Less, true),
        "num" => (Ordered, false),
        "nan" => (Ordered, true),
        _ => return None,
    };
    Some(for_bits!(ty, N => of::<N>(relation, negate, false, pair), else for_type!(
        ty,
        N in [
            U16 = u16, U32 = u32, U64 = u64, S16 = i16, S32 = i32, S64 = i64,
            F16 = f16, Bf16 = bf16, F32 = f32, F64 = f64
        ] => of::<N>(relation, negate, flush, pair),
        else return None
    )))
}

/// What comparing this type counts as.
pub(super) fn class(ty: Type) -> Class {
    match ty {
        Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 => Class::Half,
        Type::F32 => Class::Float,
        Type::F64 => Class::Double,
        _ => Class::Integer,
    }
}

fn of<T: Operand>(relation: Relation, negate: bool, flush: bool, pair: Pair) -> Test {
    match relation {
        Relation::Equal => holds(negate, flush, pair, |a: T, b| a == b),
        Relation::Apart => holds(negate, flush, pair, |a: T, b| (a < b) | (a > b)),
        Relation::Less => holds(negate, flush, pair, |a: T, b| a < b),
        Relation::LessOrEqual => holds(negate, flush, pair, |a: T, b| a <= b),
        Relation::Greater => holds(negate, flush, pair, |a: T, b| a > b),
        Relation::GreaterOrEqual => holds(negate, flush, pair, |a: T, b| a >= b),
        Relation::Ordered => holds(negate, flush, pair, |a: T, b| a.partial_cmp(&b).is_some()),
    }
}

#[inline(always)]
fn holds<T: Operand>(
    negate: bool,
    flush: bool,
    Pair { a, b, shift }: Pair,
    f: impl Fn(T, T) -> bool + Send + Sync + 'static,
) -> Test {
    Box::new(move |registers| {
        let (mut a, mut b) = (T::lanes(registers, a, shift), T::lanes(registers, b, shift));
        if flush {
            a = a.map(T::flushed);
            b = b.map(T::flushed);
        }
        let holds = lane_bits(|lane| f(a[lane], b[lane]));
        if negate { !holds } else { holds }
    })
}

/// A number that can be compared.
pub(super) trait Operand: Word + PartialOrd + 'static {
    /// The values of a plane, from this bit on.
    #[inline(always)]
    fn lanes(registers: &Registers, plane: Plane, _shift: u32) -> [Self; LANES] {
        registers.read(plane)
    }

    /// Zero in place of a subnormal number. Its sign does not matter: both zeros compare equal.
    fn flushed(self) -> Self {
        self
    }
}

impl Operand for u16 {}
impl Operand for u32 {}
impl Operand for u64 {}
impl Operand for i16 {}
impl Operand for i32 {}
impl Operand for i64 {}
impl Operand for f64 {}

impl Operand for f32 {
    #[inline(always)]
    fn flushed(self) -> f32 {
        if self.abs() < f32::MIN_POSITIVE { 0.0 } else { self }
    }
}

impl Operand for f16 {
    #[inline(always)]
    fn lanes(registers: &Registers, plane: Plane, shift: u32) -> [f16; LANES] {
        registers.plane(plane).map(|bits| f16::from_bits((bits >> shift) as u16))
    }

    #[inline(always)]
    fn flushed(self) -> f16 {
        let subnormal = self.to_bits() & 0x7c00 == 0;
        if subnormal { f16::ZERO } else { self }
    }
}

impl Operand for bf16 {
    #[inline(always)]
    fn lanes(registers: &Registers, plane: Plane, shift: u32) -> [bf16; LANES] {
        registers.plane(plane).map(|bits| bf16::from_bits((bits >> shift) as u16))
    }
}
