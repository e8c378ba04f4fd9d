//! Reciprocals, roots, exponentials, logarithms and the like.

mod approx;
mod functions;

use super::Lowered;
use super::float::double_nan;
use super::float::reciprocal_or_root;
use super::float::round::{F32, Format, Rounding, UPPER_F64};
use super::half::{Shape, both, part, widen};
use super::lanes::map1;
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::machine::registers::{LANES, Mask, Plane, Registers, Word};
use crate::options::Approx;
use crate::program::{Action, Flow};
use crate::syntax::ast::Type;
use approx::settle;
use functions::{Answer, Function};

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let opcode = form.opcode();
    if matches!(opcode, "rcp" | "sqrt")
        && let Some(rounding) = form.take_as(Rounding::named)
    {
        return reciprocal_or_root(lower, form, rounding);
    }
    if opcode == "div" {
        return divide(lower, form);
    }
    if !form.take("approx") {
        let text = form.text();
        let hint = if matches!(opcode, "rcp" | "sqrt") { " or a rounding" } else { "" };
        return Err(lower.fail(format!("`{text}` lacks .approx{hint}")));
    }
    let ftz = form.take("ftz");
    let has = |name| form.instruction.modifiers.iter().any(|word| word == name);
    if has("f64") {
        return double(lower, form, ftz);
    }
    if !has("f32") {
        return halves(lower, form, ftz);
    }
    let Some(function) = functions::single(opcode).filter(|_| !(ftz && opcode == "tanh")) else {
        return Err(form.unknown(lower));
    };
    let ty = form.ty(lower)?;
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, ty)?, lower.dst(to, ty)?);
    Ok(each(to, a, move |approx, a: f32| {
        f32::from_bits(one(F32, function, ftz, approx, a.to_bits().into()) as u32)
    }))
}

/// The result for one operand, as bits of a format.
#[inline]
fn one(format: Format, function: Function, ftz: bool, approx: Approx, bits: u64) -> u64 {
    let operand = if ftz { format.flush(bits) } else { bits };
    settle(format, ftz, approx, bits, function(format.widen(operand)))
}

/// `f` for the lanes that execute; it may be slow.
fn each<A: Word, R: Word>(
    to: Plane,
    a: Plane,
    f: impl Fn(Approx, A) -> R + Send + Sync + 'static,
) -> Lowered {
    let body = move |access: &mut Access<'_>| {
        let (approx, mask) = (access.device.options.approx, access.mask);
        let values: [A; LANES] = access.registers.read(a);
        let mut out = [R::default(); LANES];
        for lane in lanes(mask) {
            out[lane] = f(approx, values[lane]);
        }
        access.registers.write(to, mask, &out);
        Ok(Flow::Next)
    };
    Lowered::new(Action::Access(Box::new(body)), Class::Special)
}

fn lanes(mask: Mask) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

/// `div.approx` and `div.full`.
fn divide(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let full = form.take("full");
    if full == form.take("approx") {
        return Err(form.unknown(lower));
    }
    let ftz = form.take("ftz");
    let ty = form.ty(lower)?;
    if ty != Type::F32 {
        return Err(form.unknown(lower));
    }
    let [to, a, b] = form.operands(lower)?;
    let (a, b) = (lower.src(a, ty)?, lower.src(b, ty)?);
    let to = lower.dst(to, ty)?;
    let body = move |access: &mut Access<'_>| {
        let (approx, mask) = (access.device.options.approx, access.mask);
        let registers: &mut Registers = access.registers;
        let (a, b): ([u32; LANES], [u32; LANES]) = (registers.read(a), registers.read(b));
        let mut out = [0u32; LANES];
        for lane in lanes(mask) {
            let number = |bits: u32| {
                let bits = if ftz { F32.flush(bits.into()) } else { bits.into() };
                f64::from(f32::from_bits(bits as u32))
            };
            let answer: Answer = functions::quotient(full, number(a[lane]), number(b[lane]));
            let seed = u64::from(a[lane]) | u64::from(b[lane]) << 32;
            out[lane] = settle(F32, ftz, approx, seed, answer) as u32;
        }
        registers.write(to, mask, &out);
        Ok(Flow::Next)
    };
    Ok(Lowered::new(Action::Access(Box::new(body)), Class::Special))
}

/// `ex2` and `tanh` of 16-bit formats.
fn halves(lower: &mut Lower<'_>, form: &mut Form<'_>, ftz: bool) -> Result<Lowered, PtxError> {
    let Shape { format, pair, ty } = Shape::of(lower, form)?;
    let bfloat = matches!(ty, Type::Bf16 | Type::Bf16x2);
    // `ex2` of bf16 flushes, and says so; nothing else does.
    let Some(function) = functions::half(form.opcode(), bfloat)
        .filter(|_| ftz == (bfloat && form.opcode() == "ex2"))
    else {
        return Err(form.unknown(lower));
    };
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, ty)?, lower.dst(to, ty)?);
    let half = move |approx: Approx, bits: u16| {
        let operand = if ftz { format.flush(bits.into()) as u16 } else { bits };
        let answer = function(widen(format, operand));
        settle(format, ftz, approx, bits.into(), answer) as u16
    };
    Ok(match pair {
        false => each(to, a, half),
        true => each(to, a, move |approx, a: u32| both(|index| half(approx, part(a, index)))),
    })
}

/// `rcp.approx.ftz.f64`, `rsqrt.approx.ftz.f64` and `rsqrt.approx.f64`.
fn double(lower: &mut Lower<'_>, form: &mut Form<'_>, ftz: bool) -> Result<Lowered, PtxError> {
    let ty = form.ty(lower)?;
    let opcode = form.opcode();
    if !matches!((opcode, ftz), ("rcp", true) | ("rsqrt", _)) {
        return Err(form.unknown(lower));
    }
    let [to, a] = form.operands(lower)?;
    let (a, to) = (lower.src(a, ty)?, lower.dst(to, ty)?);
    if !ftz {
        // No bound is documented: this is within one unit in the last place.
        let body = map1(to, a, |a: f64| {
            // The root of a negative zero is one too.
            double_nan(1.0 / a.sqrt(), [a])
        });
        return Ok(Lowered::new(Action::Lanes(body), Class::Double));
    }
    let function = functions::upper(opcode);
    // The upper half of the operand gives the upper half of the result.
    Ok(each(to, a, move |approx, a: u64| one(UPPER_F64, function, true, approx, a >> 32) << 32))
}
