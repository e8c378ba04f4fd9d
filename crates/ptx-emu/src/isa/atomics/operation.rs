//! What an atomic makes of the old value.

use half::{bf16, f16};

use crate::syntax::ast::Type;

/// The new value from the old one, the operands, and whether subnormal f32 numbers are flushed;
/// `None` leaves memory as it is.
pub(super) type Operation = fn(u64, u64, u64, bool) -> Option<u64>;

/// The operation of this name on this type, as a scalar or as an element of a vector.
pub(super) fn operation(name: &str, ty: Type, vector: bool) -> Option<Operation> {
    if vector {
        return match (name, ty) {
            ("add", Type::F32) => scalar(name, ty),
            ("add" | "min" | "max", Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2) => {
                small(name, ty)
            }
            _ => None,
        };
    }
    match ty {
        Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 if name == "add" => small(name, ty),
        _ => scalar(name, ty),
    }
}

fn scalar(name: &str, ty: Type) -> Option<Operation> {
    use Type::{B16, B32, B64, F32, F64, S32, S64, U32, U64};
    Some(match (name, ty) {
        ("add", U32 | S32) => |old, by, _, _| Some(u64::from((old as u32).wrapping_add(by as u32))),
        ("add", U64 | S64) => |old, by, _, _| Some(old.wrapping_add(by)),
        ("add", F32) => |old, by, _, flush| Some(u64::from(add_f32(old as u32, by as u32, flush))),
        ("add", F64) => |old, by, _, _| Some(add_f64(old, by)),
        ("min", U32 | U64) => |old, by, _, _| Some(old.min(by)),
        ("max", U32 | U64) => |old, by, _, _| Some(old.max(by)),
        ("min", S32) => |old, by, _, _| Some(u64::from((old as i32).min(by as i32) as u32)),
        ("max", S32) => |old, by, _, _| Some(u64::from((old as i32).max(by as i32) as u32)),
        ("min", S64) => |old, by, _, _| Some((old as i64).min(by as i64) as u64),
        ("max", S64) => |old, by, _, _| Some((old as i64).max(by as i64) as u64),
        ("and", B32 | B64) => |old, by, _, _| Some(old & by),
        ("or", B32 | B64) => |old, by, _, _| Some(old | by),
        ("xor", B32 | B64) => |old, by, _, _| Some(old ^ by),
        ("exch", B32 | B64) => |_, by, _, _| Some(by),
        ("cas", B16 | B32 | B64) => |old, expected, new, _| (old == expected).then_some(new),
        ("inc", U32) => |old, most, _, _| Some(if old >= most { 0 } else { old + 1 }),
        ("dec", U32) => |old, most, _, _| Some(if old == 0 || old > most { most } else { old - 1 }),
        _ => return None,
    })
}

fn small(name: &str, ty: Type) -> Option<Operation> {
    use Type::{Bf16, Bf16x2, F16, F16x2};
    Some(match (name, ty) {
        ("add", F16) => |old, by, _, _| Some(u64::from(f16_with(old, by, add))),
        ("min", F16) => |old, by, _, _| Some(u64::from(f16_with(old, by, min))),
        ("max", F16) => |old, by, _, _| Some(u64::from(f16_with(old, by, max))),
        ("add", Bf16) => |old, by, _, _| Some(u64::from(bf16_with(old, by, add))),
        ("min", Bf16) => |old, by, _, _| Some(u64::from(bf16_with(old, by, min))),
        ("max", Bf16) => |old, by, _, _| Some(u64::from(bf16_with(old, by, max))),
        ("add", F16x2) => |old, by, _, _| Some(halves(old, by, add, f16_with)),
        ("min", F16x2) => |old, by, _, _| Some(halves(old, by, min, f16_with)),
        ("max", F16x2) => |old, by, _, _| Some(halves(old, by, max, f16_with)),
        ("add", Bf16x2) => |old, by, _, _| Some(halves(old, by, add, bf16_with)),
        ("min", Bf16x2) => |old, by, _, _| Some(halves(old, by, min, bf16_with)),
        ("max", Bf16x2) => |old, by, _, _| Some(halves(old, by, max, bf16_with)),
        _ => return None,
    })
}

fn add_f32(old: u32, by: u32, flush: bool) -> u32 {
    let flushed = |value: f32| match flush && value.is_subnormal() {
        true => 0f32.copysign(value),
        false => value,
    };
    let sum = flushed(flushed(f32::from_bits(old)) + flushed(f32::from_bits(by)));
    if sum.is_nan() { 0x7fff_ffff } else { sum.to_bits() }
}

fn add_f64(old: u64, by: u64) -> u64 {
    let sum = f64::from_bits(old) + f64::from_bits(by);
    if sum.is_nan() { 0x7fff_ffff_ffff_ffff } else { sum.to_bits() }
}

/// The sum of two numbers of 11 bits or fewer; rounding it to 24 bits first does not change what it
/// is rounded to later, because 24 is at least twice 11 and two more.
fn add(old: f32, by: f32) -> f32 {
    old + by
}

/// The smaller one; a NaN gives way to a number, and -0 is below 0.
fn min(old: f32, by: f32) -> f32 {
    match (old.is_nan(), by.is_nan()) {
        (true, _) => by,
        (_, true) => old,
        _ if old.total_cmp(&by).is_le() => old,
        _ => by,
    }
}

/// The larger one, as [`min`] the smaller.
fn max(old: f32, by: f32) -> f32 {
    -min(-old, -by)
}

/// How two numbers make one.
type Combine = fn(f32, f32) -> f32;

fn f16_with(old: u64, by: u64, combine: Combine) -> u16 {
    let value = |bits: u64| f16::from_bits(bits as u16).to_f32();
    let result = combine(value(old), value(by));
    if result.is_nan() { 0x7fff } else { f16::from_f32(result).to_bits() }
}

fn bf16_with(old: u64, by: u64, combine: Combine) -> u16 {
    let value = |bits: u64| bf16::from_bits(bits as u16).to_f32();
    let result = combine(value(old), value(by));
    if result.is_nan() { 0x7fff } else { bf16::from_f32(result).to_bits() }
}

fn halves(old: u64, by: u64, combine: Combine, with: fn(u64, u64, Combine) -> u16) -> u64 {
    let (low, high) = (with(old, by, combine), with(old >> 16, by >> 16, combine));
    u64::from(low) | u64::from(high) << 16
}
