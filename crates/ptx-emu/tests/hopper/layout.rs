//! Operands in shared memory as the manual's figures lay them out.

use half::{bf16, f16};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    F16,
    Bf16,
    Tf32,
}

/// How an operand lies in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Elements run along M or N rather than K.
    pub transposed: bool,
    /// Span of the swizzle: 0, 32, 64 or 128.
    pub span: usize,
}

impl Kind {
    pub fn bytes(self) -> usize {
        if self == Kind::Tf32 { 4 } else { 2 }
    }

    pub fn depth(self) -> usize {
        32 / self.bytes()
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::F16 => "f16",
            Kind::Bf16 => "bf16",
            Kind::Tf32 => "tf32",
        }
    }

    /// The bytes of an element, and the value that they have.
    pub fn encode(self, value: f32) -> (Vec<u8>, f64) {
        match self {
            Kind::F16 => {
                let value = f16::from_f32(value);
                (value.to_le_bytes().to_vec(), value.to_f64())
            }
            Kind::Bf16 => {
                let value = bf16::from_f32(value);
                (value.to_le_bytes().to_vec(), value.to_f64())
            }
            // The low 13 bits are noise that must not count.
            Kind::Tf32 => {
                let bits = value.to_bits() & !0x1fff;
                ((bits | 0x0a5a).to_le_bytes().to_vec(), f64::from(f32::from_bits(bits)))
            }
        }
    }
}

/// Matrices of `rows` by K in shared memory: where element (row, k) lies, and the offsets that the
/// descriptor must give. The numbers follow the figures of the manual: rows of `span` bytes, eight to
/// an atom, 16-byte pieces exchanged by the number of the 128-byte line.
pub struct Place {
    layout: Layout,
    each: usize,
    leading: usize,
    stride: usize,
}

impl Place {
    pub fn new(kind: Kind, layout: Layout, rows: usize) -> Place {
        let per_unit = 16 / kind.bytes();
        // Whole atoms, some bytes apart where there is room, so that a wrong stride shows.
        let gap = if rows > 64 { 0 } else { 1024 };
        let (leading, stride) = match (layout.transposed, layout.span) {
            (false, 0) => (rows / 8 * 128 + 64, 128),
            (false, span) => (16, 8 * span + gap),
            (true, 0) => (rows / per_unit * 128 + 128, 128),
            (true, span) => {
                let atoms = rows.div_ceil(span / kind.bytes());
                (2 * 8 * span, atoms * 2 * 8 * span + 1024)
            }
        };
        Place { layout, each: kind.bytes(), leading, stride }
    }

    fn at(&self, row: usize, k: usize) -> usize {
        let (Layout { transposed, span }, each) = (self.layout, self.each);
        // The index along which elements are neighbours, and the other one.
        let (near, far) = if transposed { (row, k) } else { (k, row) };
        let (piece, rest) = (near * each / 16, near * each % 16);
        let (atom, line) = (far / 8, far % 8);
        if span == 0 {
            let (of_piece, of_atom) = match transposed {
                false => (self.leading, self.stride),
                true => (self.stride, self.leading),
            };
            return piece * of_piece + atom * of_atom + line * 16 + rest;
        }
        let pieces = span / 16;
        let inside = (piece % pieces) ^ (line * span / 128 % pieces);
        atom * self.stride + piece / pieces * self.leading + line * span + inside * 16 + rest
    }

    pub fn descriptor(&self, start: usize) -> u64 {
        let mode = match self.layout.span {
            0 => 0,
            128 => 1,
            64 => 2,
            _ => 3,
        };
        let field = |bytes: usize| (bytes / 16) as u64;
        field(start) | field(self.leading) << 16 | field(self.stride) << 32 | mode << 62
    }

    /// The matrix in bytes.
    pub fn image(&self, kind: Kind, rows: usize, value: &dyn Fn(usize, usize) -> f32) -> Vec<u8> {
        let mut image = vec![0u8; 32 * 1024];
        for row in 0..rows {
            for k in 0..kind.depth() {
                let (bytes, _) = kind.encode(value(row, k));
                image[self.at(row, k)..][..self.each].copy_from_slice(&bytes);
            }
        }
        image
    }
}
