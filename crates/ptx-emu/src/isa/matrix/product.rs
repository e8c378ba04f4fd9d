//! The arithmetic of tensor cores.
//!
//! NVIDIA documents the products of 16-bit and tf32 numbers as exact and their sum as of at least
//! f32 precision, in no given order. [`Approx::Nearest`] adds all products in f64, the element of C
//! last, and rounds once. [`Approx::Worst`] follows what has been measured on hardware: the products
//! of a block of K are added to the sum so far, and each time the bits below f32 are cut off.

use half::{bf16, f16};

use super::extents::{MatrixA, MatrixB, MatrixC, N};
use crate::options::Approx;
use crate::syntax::ast::Type;

/// The elements of A or B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    Bf16,
    Tf32,
    F64,
    S8,
    U8,
}

/// What C and D hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accumulate {
    F16,
    F32,
    F64,
    /// s32, modulo 2^32.
    Wrap,
    /// s32, held at its ends.
    Saturate,
}

impl Kind {
    pub(super) fn of(ty: Type) -> Option<Kind> {
        Some(match ty {
            Type::F16 => Kind::F16,
            Type::Bf16 => Kind::Bf16,
            Type::Tf32 => Kind::Tf32,
            Type::F64 => Kind::F64,
            Type::S8 => Kind::S8,
            Type::U8 => Kind::U8,
            _ => return None,
        })
    }

    /// Elements in a register.
    pub(super) fn per_register(self) -> usize {
        match self {
            Kind::F16 | Kind::Bf16 => 2,
            Kind::Tf32 | Kind::F64 => 1,
            Kind::S8 | Kind::U8 => 4,
        }
    }

    /// Products that hardware adds before it cuts off bits.
    fn block(self) -> usize {
        if self == Kind::Tf32 { 4 } else { 8 }
    }

    /// An element of a register of floating-point numbers.
    #[inline(always)]
    pub(super) fn float(self, bits: u32, element: usize) -> f64 {
        let half = (bits >> (16 * element)) as u16;
        match self {
            Kind::F16 => f16::from_bits(half).to_f64(),
            Kind::Bf16 => f64::from(bf16::from_bits(half).to_f32()),
            // tf32 has the upper 19 bits of f32; what stands below is not read.
            _ => f64::from(f32::from_bits(bits & !0x1fff)),
        }
    }

    /// An element of a register of integers.
    #[inline(always)]
    pub(super) fn integer(self, bits: u32, element: usize) -> i32 {
        let byte = (bits >> (8 * element)) as u8;
        if self == Kind::S8 { i32::from(byte as i8) } else { i32::from(byte) }
    }
}

/// D for elements of up to 11 bits, before it is rounded to its type.
pub(super) fn product_float(
    a: &MatrixA<f64>,
    b: &MatrixB<f64>,
    c: &MatrixC<f64>,
    m: usize,
    k: usize,
    kind: Kind,
    approx: Approx,
) -> MatrixC<f64> {
    let mut d = *c;
    for row in 0..m {
        match approx {
            Approx::Nearest => {
                let sums = add_products(&a[row][..k], &b[..k]);
                for column in 0..N {
                    d[row][column] += sums[column];
                }
            }
            Approx::Worst => {
                for (a, b) in a[row][..k].chunks(kind.block()).zip(b[..k].chunks(kind.block())) {
                    let sums = add_products(a, b);
                    for column in 0..N {
                        d[row][column] = cut_to_f32(d[row][column] + sums[column]);
                    }
                }
            }
        }
    }
    d
}

/// The sum over a row of A and some rows of B.
#[inline(always)]
fn add_products(a: &[f64], b: &[[f64; N]]) -> [f64; N] {
    let mut sums = [0.0; N];
    for (&a, b) in a.iter().zip(b) {
        for column in 0..N {
            sums[column] += a * b[column];
        }
    }
    sums
}

/// The f32 next to `value`, towards zero; what is too large becomes infinite.
fn cut_to_f32(value: f64) -> f64 {
    let rounded = value as f32;
    if rounded.is_finite() && f64::from(rounded).abs() > value.abs() {
        return f64::from(f32::from_bits(rounded.to_bits() - 1));
    }
    f64::from(rounded)
}

/// f64: a fused multiply-add after the other, in the order of K.
pub(super) fn product_f64(
    a: &MatrixA<f64>,
    b: &MatrixB<f64>,
    c: &mut MatrixC<f64>,
    m: usize,
    k: usize,
) {
    for row in 0..m {
        for column in 0..N {
            let sum = (0..k).fold(c[row][column], |sum, at| a[row][at].mul_add(b[at][column], sum));
            c[row][column] = if sum.is_nan() { f64::from_bits(0x7fff_ffff_ffff_ffff) } else { sum };
        }
    }
}

/// Integers: exact, then wrapped or held at the ends.
pub(super) fn product_integer(
    a: &MatrixA<i32>,
    b: &MatrixB<i32>,
    c: &mut MatrixC<i32>,
    accumulate: Accumulate,
    m: usize,
    k: usize,
) {
    for row in 0..m {
        for column in 0..N {
            let products = (0..k).map(|at| i64::from(a[row][at] * b[at][column]));
            let sum = i64::from(c[row][column]) + products.sum::<i64>();
            c[row][column] = match accumulate {
                Accumulate::Saturate => sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
                _ => sum as i32,
            };
        }
    }
}
