//! `mma.sync`: D = A B + C, with the fragments of the PTX manual.
//!
//! With E elements to a register, lane T in group G = T / 4 and place P = T % 4: register R of A
//! (M by K) holds row G + 8 (R % (M / 8)), columns 4 E (R / (M / 8)) + E P and on; register R of B
//! (K by 8) holds rows 4 E R + E P and on of column G; element J of C and D (M by 8) is row
//! G + 8 (J / 2), column 2 P + J % 2.

use super::super::Lowered;
use super::extents::{MOST_K, MOST_M, MatrixA, MatrixB, MatrixC, N};
use super::product::{Accumulate, Kind, product_f64, product_float, product_integer};
use super::together;
use crate::class::Class;
use crate::error::PtxError;
use crate::lower::{Form, Lower};
use crate::machine::access::Access;
use crate::machine::registers::{LANES, Plane, Registers};
use crate::syntax::ast::{Operand, Type};

/// A form of `mma` that is known.
#[derive(Debug, Clone, Copy)]
struct Shape {
    m: usize,
    k: usize,
    a: Kind,
    b: Kind,
    accumulate: Accumulate,
}

/// The registers of an instruction.
struct Operands {
    d: Vec<Plane>,
    a: Vec<Plane>,
    b: Vec<Plane>,
    c: Vec<Plane>,
}

pub(super) fn lower(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Some((m, n, k)) = form.take_as(extents) else { return Err(form.unknown(lower)) };
    let laid_out = form.take("row") && form.take("col");
    let saturates = form.take("satfinite");
    let rounds = form.take("rn");
    let types = [form.ty(lower)?, form.ty(lower)?, form.ty(lower)?, form.ty(lower)?];
    let shape = shape(m, k, types, saturates)
        .filter(|shape| laid_out && n == N && (!rounds || shape.accumulate == Accumulate::F64));
    let Some(shape) = shape else { return Err(form.unknown(lower)) };
    let [d, a, b, c] = form.operands(lower)?;
    let (of_a, of_b) =
        (m * k / LANES / shape.a.per_register(), k * N / LANES / shape.b.per_register());
    let (ty, of_c) = match shape.accumulate {
        Accumulate::F16 => (Type::B32, m * N / LANES / 2),
        Accumulate::F32 => (Type::F32, m * N / LANES),
        Accumulate::F64 => (Type::F64, m * N / LANES),
        Accumulate::Wrap | Accumulate::Saturate => (Type::S32, m * N / LANES),
    };
    let source = if ty == Type::F64 { Type::F64 } else { Type::B32 };
    let operands = Operands {
        a: sources(lower, a, of_a, source)?,
        b: sources(lower, b, of_b, source)?,
        c: sources(lower, c, of_c, ty)?,
        d: lower
            .list_of(d, of_c)?
            .iter()
            .map(|to| lower.dst(to, ty))
            .collect::<Result<Vec<_>, _>>()?,
    };
    Ok(together(Class::Matrix, move |access| {
        run(access, shape, &operands);
        Ok(())
    }))
}

fn sources(
    lower: &mut Lower<'_>,
    operand: &Operand,
    count: usize,
    ty: Type,
) -> Result<Vec<Plane>, PtxError> {
    lower.list_of(operand, count)?.iter().map(|from| lower.src(from, ty)).collect()
}

/// `m16n8k16` as three numbers.
fn extents(word: &str) -> Option<(usize, usize, usize)> {
    let (m, rest) = word.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some((m.parse().ok()?, n.parse().ok()?, k.parse().ok()?))
}

fn shape(m: usize, k: usize, types: [Type; 4], saturates: bool) -> Option<Shape> {
    let [d, a, b, c] = types;
    if d != c {
        return None;
    }
    let accumulate = match (d, saturates) {
        (Type::F16, false) => Accumulate::F16,
        (Type::F32, false) => Accumulate::F32,
        (Type::F64, false) => Accumulate::F64,
        (Type::S32, false) => Accumulate::Wrap,
        (Type::S32, true) => Accumulate::Saturate,
        _ => return None,
    };
    let (a, b) = (Kind::of(a)?, Kind::of(b)?);
    let known = match (a, b, accumulate) {
        (Kind::F16, Kind::F16, Accumulate::F16 | Accumulate::F32)
        | (Kind::Bf16, Kind::Bf16, Accumulate::F32) => matches!((m, k), (16, 8 | 16)),
        (Kind::Tf32, Kind::Tf32, Accumulate::F32) => matches!((m, k), (16, 4 | 8)),
        (Kind::F64, Kind::F64, Accumulate::F64) => matches!((m, k), (8, 4) | (16, 4 | 8 | 16)),
        (Kind::S8 | Kind::U8, Kind::S8 | Kind::U8, Accumulate::Wrap | Accumulate::Saturate) => {
            matches!((m, k), (8, 16) | (16, 16 | 32))
        }
        _ => false,
    };
    known.then_some(Shape { m, k, a, b, accumulate })
}

fn run(access: &mut Access<'_>, shape: Shape, operands: &Operands) {
    let Shape { m, k, .. } = shape;
    let approx = access.device.options.approx;
    let mask = access.mask;
    let registers = &mut *access.registers;
    match shape.accumulate {
        Accumulate::Wrap | Accumulate::Saturate => {
            let (a, b) = fragments(registers, shape, operands, Kind::integer);
            let mut c: MatrixC<i32> = take_c(registers, m, &operands.c);
            product_integer(&a, &b, &mut c, shape.accumulate, m, k);
            give_d(registers, mask, m, &operands.d, &c);
            return;
        }
        Accumulate::F64 => {
            let (a, b) = fragments_f64(registers, shape, operands);
            let mut c: MatrixC<f64> = take_c(registers, m, &operands.c);
            product_f64(&a, &b, &mut c, m, k);
            give_d(registers, mask, m, &operands.d, &c);
        }
        Accumulate::F32 => {
            let (a, b) = fragments(registers, shape, operands, Kind::float);
            let c: MatrixC<f32> = take_c(registers, m, &operands.c);
            let c = c.map(|row| row.map(f64::from));
            let d = product_float(&a, &b, &c, m, k, shape.a, approx);
            give_d(registers, mask, m, &operands.d, &d.map(|row| row.map(to_f32)));
        }
        Accumulate::F16 => {
            let (a, b) = fragments(registers, shape, operands, Kind::float);
            let c = take_c_f16(registers, m, &operands.c);
            let d = product_float(&a, &b, &c, m, k, shape.a, approx);
            give_d_f16(registers, mask, m, &operands.d, &d);
        }
    }
    access.counters.mma_flop += 2 * (m * N * k) as u64;
}

fn to_f32(value: f64) -> f32 {
    if value.is_nan() { f32::from_bits(0x7fff_ffff) } else { value as f32 }
}

/// A and B from registers of 32 bits.
fn fragments<T: Copy + Default>(
    registers: &Registers,
    shape: Shape,
    operands: &Operands,
    value: impl Fn(Kind, u32, usize) -> T,
) -> (MatrixA<T>, MatrixB<T>) {
    let mut a = [[T::default(); MOST_K]; MOST_M];
    let mut b = [[T::default(); N]; MOST_K];
    let (bands, each) = (shape.m / 8, shape.a.per_register());
    for (index, &plane) in operands.a.iter().enumerate() {
        for (lane, &bits) in registers.plane(plane).iter().enumerate() {
            let row = lane / 4 + 8 * (index % bands);
            let column = 4 * each * (index / bands) + each * (lane % 4);
            for element in 0..each {
                a[row][column + element] = value(shape.a, bits, element);
            }
        }
    }
    for (index, &plane) in operands.b.iter().enumerate() {
        for (lane, &bits) in registers.plane(plane).iter().enumerate() {
            let row = 4 * each * index + each * (lane % 4);
            for element in 0..each {
                b[row + element][lane / 4] = value(shape.b, bits, element);
            }
        }
    }
    (a, b)
}

fn fragments_f64(
    registers: &Registers,
    shape: Shape,
    operands: &Operands,
) -> (MatrixA<f64>, MatrixB<f64>) {
    let mut a = [[0.0; MOST_K]; MOST_M];
    let mut b = [[0.0; N]; MOST_K];
    let bands = shape.m / 8;
    for (index, &plane) in operands.a.iter().enumerate() {
        for (lane, value) in registers.read::<f64>(plane).into_iter().enumerate() {
            a[lane / 4 + 8 * (index % bands)][4 * (index / bands) + lane % 4] = value;
        }
    }
    for (index, &plane) in operands.b.iter().enumerate() {
        for (lane, value) in registers.read::<f64>(plane).into_iter().enumerate() {
            b[4 * index + lane % 4][lane / 4] = value;
        }
    }
    (a, b)
}

/// Row and column of element `index` of C and D in a lane.
fn place(lane: usize, index: usize) -> (usize, usize) {
    (lane / 4 + 8 * (index / 2), 2 * (lane % 4) + index % 2)
}

fn take_c<T: crate::machine::registers::Word>(
    registers: &Registers,
    m: usize,
    planes: &[Plane],
) -> MatrixC<T> {
    let mut c = [[T::default(); N]; MOST_M];
    for (index, &plane) in planes.iter().enumerate() {
        for (lane, value) in registers.read::<T>(plane).into_iter().enumerate() {
            let (row, column) = place(lane, index);
            debug_assert!(row < m);
            c[row][column] = value;
        }
    }
    c
}

fn take_c_f16(registers: &Registers, m: usize, planes: &[Plane]) -> MatrixC<f64> {
    let mut c = [[0.0; N]; MOST_M];
    for (index, &plane) in planes.iter().enumerate() {
        for (lane, &bits) in registers.plane(plane).iter().enumerate() {
            for half in 0..2 {
                let (row, column) = place(lane, 2 * index + half);
                debug_assert!(row < m);
                c[row][column] = Kind::F16.float(bits, half);
            }
        }
    }
    c
}

fn give_d<T: crate::machine::registers::Word>(
    registers: &mut Registers,
    mask: u32,
    m: usize,
    planes: &[Plane],
    d: &MatrixC<T>,
) {
    debug_assert_eq!(planes.len(), m * N / LANES);
    for (index, &plane) in planes.iter().enumerate() {
        let values: [T; LANES] = std::array::from_fn(|lane| {
            let (row, column) = place(lane, index);
            d[row][column]
        });
        registers.write(plane, mask, &values);
    }
}

fn give_d_f16(registers: &mut Registers, mask: u32, m: usize, planes: &[Plane], d: &MatrixC<f64>) {
    debug_assert_eq!(planes.len(), m * N / LANES / 2);
    let bits = |value: f64| match value.is_nan() {
        true => 0x7fff,
        false => u32::from(half::f16::from_f64(value).to_bits()),
    };
    for (index, &plane) in planes.iter().enumerate() {
        let values: [u32; LANES] = std::array::from_fn(|lane| {
            let [low, high] = [0, 1].map(|half| {
                let (row, column) = place(lane, 2 * index + half);
                bits(d[row][column])
            });
            low | high << 16
        });
        registers.write(plane, mask, &values);
    }
}
