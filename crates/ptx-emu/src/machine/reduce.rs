//! What `cp.reduce.async.bulk` does to each element.

use half::{bf16, f16};

use crate::syntax::ast::Type;

/// An operation on elements of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reduce {
    pub(crate) operation: Operation,
    pub(crate) ty: Type,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Min,
    Max,
    Inc,
    Dec,
    And,
    Or,
    Xor,
}

impl Reduce {
    /// An operation on the elements of a tensor, if they have it.
    pub(crate) fn of_tensor(operation: Operation, ty: Type) -> Option<Reduce> {
        // Bits have no sign.
        let bits = matches!(operation, Operation::And | Operation::Or | Operation::Xor);
        let ty = match ty {
            Type::U32 | Type::S32 if bits => Type::B32,
            Type::U64 | Type::S64 if bits => Type::B64,
            ty => ty,
        };
        let reduce = Reduce { operation, ty };
        reduce.is_known(false).then_some(reduce)
    }

    /// Whether shared or global memory has it.
    pub(crate) fn is_known(self, to_shared: bool) -> bool {
        use Operation::{Add, And, Dec, Inc, Max, Min, Or, Xor};
        let narrow = matches!(
            (self.operation, self.ty),
            (Add, Type::U32 | Type::S32 | Type::U64)
                | (Min | Max, Type::U32 | Type::S32)
                | (Inc | Dec, Type::U32)
                | (And | Or | Xor, Type::B32)
        );
        let wide = matches!(
            (self.operation, self.ty),
            (Add, Type::F16 | Type::Bf16 | Type::F32 | Type::F64)
                | (Min | Max, Type::U64 | Type::S64 | Type::F16 | Type::Bf16)
                | (And | Or | Xor, Type::B64)
        );
        narrow || wide && !to_shared
    }

    pub(crate) fn element_bytes(self) -> usize {
        self.ty.bytes() as usize
    }

    /// Each element of `old` with that of `new`.
    pub(crate) fn bytes(self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let each = self.element_bytes();
        let mut out = Vec::with_capacity(new.len());
        for (old, new) in old.chunks_exact(each).zip(new.chunks_exact(each)) {
            let word = |bytes: &[u8]| {
                let mut raw = [0; 8];
                raw[..each].copy_from_slice(bytes);
                u64::from_le_bytes(raw)
            };
            out.extend_from_slice(&self.element(word(old), word(new)).to_le_bytes()[..each]);
        }
        out
    }

    /// One element.
    pub(crate) fn element(self, old: u64, new: u64) -> u64 {
        match self.operation {
            Operation::Add => self.add(old, new),
            Operation::Min => {
                if self.less(new, old) {
                    new
                } else {
                    old
                }
            }
            Operation::Max => {
                if self.less(old, new) {
                    new
                } else {
                    old
                }
            }
            Operation::Inc => {
                if old as u32 >= new as u32 {
                    0
                } else {
                    old + 1
                }
            }
            Operation::Dec => match old as u32 {
                0 => new,
                old if old > new as u32 => new,
                old => u64::from(old - 1),
            },
            Operation::And => old & new,
            Operation::Or => old | new,
            Operation::Xor => old ^ new,
        }
    }

    fn add(self, old: u64, new: u64) -> u64 {
        match self.ty {
            Type::F32 => {
                // Subnormal operands and results become zeros of their sign.
                let flush =
                    |value: f32| if value.is_subnormal() { 0f32.copysign(value) } else { value };
                let value = |bits: u64| flush(f32::from_bits(bits as u32));
                u64::from(canonical(flush(value(old) + value(new))).to_bits())
            }
            Type::F64 => (f64::from_bits(old) + f64::from_bits(new)).to_bits(),
            // 24 bits are enough that the second rounding of a sum of halves changes nothing.
            Type::F16 => {
                let sum = f16::from_bits(old as u16).to_f32() + f16::from_bits(new as u16).to_f32();
                if sum.is_nan() { 0x7fff } else { f16::from_f32(sum).to_bits().into() }
            }
            Type::Bf16 => {
                let sum =
                    bf16::from_bits(old as u16).to_f32() + bf16::from_bits(new as u16).to_f32();
                if sum.is_nan() { 0x7fff } else { bf16::from_f32(sum).to_bits().into() }
            }
            _ => old.wrapping_add(new),
        }
    }

    fn less(self, a: u64, b: u64) -> bool {
        match self.ty {
            Type::S32 => (a as i32) < b as i32,
            Type::S64 => (a as i64) < b as i64,
            // A number is taken rather than a NaN.
            Type::F16 => {
                lesser(f16::from_bits(a as u16).to_f32(), f16::from_bits(b as u16).to_f32())
            }
            Type::Bf16 => {
                lesser(bf16::from_bits(a as u16).to_f32(), bf16::from_bits(b as u16).to_f32())
            }
            _ => a < b,
        }
    }
}

fn lesser(a: f32, b: f32) -> bool {
    a < b || (a == b && a.is_sign_negative() && b.is_sign_positive())
}

fn canonical(value: f32) -> f32 {
    if value.is_nan() { f32::from_bits(0x7fff_ffff) } else { value }
}
