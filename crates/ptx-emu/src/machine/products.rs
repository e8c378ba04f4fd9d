//! The products of `wgmma` that a warp has issued and not waited for.

use std::collections::VecDeque;

use super::matrix_descriptor::{Matrix, UNIT};
use super::registers::{Lanes, Plane};
use crate::fault::{FaultKind, Trouble};
use crate::memory::clock::Clock;

/// The products of a warp that nothing has waited for.
#[derive(Debug, Default)]
pub(crate) struct Products {
    pub(crate) open: Vec<Product>,
    pub(crate) groups: VecDeque<Vec<Product>>,
    /// All registers as they were at the last `wgmma.fence`, results of products brought up to date.
    pub(crate) fenced: Vec<Lanes>,
}

/// What the elements of A and B are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F16,
    Bf16,
    Tf32,
}

impl Element {
    pub(crate) fn bytes(self) -> u32 {
        if self == Element::Tf32 { 4 } else { 2 }
    }

    /// Steps of K in one instruction: 32 bytes.
    pub(crate) fn depth(self) -> usize {
        32 / self.bytes() as usize
    }

    /// The number that these bits are.
    pub(crate) fn value(self, bits: u32) -> f64 {
        match self {
            Element::F16 => half::f16::from_bits(bits as u16).to_f64(),
            Element::Bf16 => half::bf16::from_bits(bits as u16).to_f64(),
            // The low 13 bits are not part of the number.
            Element::Tf32 => f64::from(f32::from_bits(bits & !0x1fff)),
        }
    }

    /// The elements of a unit.
    pub(crate) fn values(self, unit: &[u8; UNIT as usize]) -> impl Iterator<Item = f64> {
        let each = self.bytes() as usize;
        unit.chunks_exact(each).map(move |bytes| {
            let mut raw = [0; 4];
            raw[..each].copy_from_slice(bytes);
            self.value(u32::from_le_bytes(raw))
        })
    }
}

/// The operand A of a product.
#[derive(Debug)]
pub(crate) enum Rows {
    Shared {
        matrix: Matrix,
        transposed: bool,
    },
    /// The planes, and what they held.
    Registers(Box<[(Plane, Lanes); 4]>),
}

/// A product that was issued.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) element: Element,
    /// Planes of the accumulator.
    pub(crate) to: Box<[Plane]>,
    pub(crate) a: Rows,
    pub(crate) b: Matrix,
    pub(crate) b_transposed: bool,
    pub(crate) accumulates: bool,
    /// Whether one of the operands is negated.
    pub(crate) negated: bool,
    pub(crate) issued: Clock,
    pub(crate) line: u32,
}

impl Product {
    /// Columns of the accumulator.
    pub(crate) fn columns(&self) -> usize {
        2 * self.to.len()
    }
}

/// A register is read whose product is not waited for.
#[cold]
pub(crate) fn held(name: &str, lane: u32) -> Trouble {
    Trouble::at(
        FaultKind::Uninitialised,
        lane,
        format!(
            "reads register {name} before its matrix product is there (hint: wgmma.wait_group)"
        ),
    )
}
