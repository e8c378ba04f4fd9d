//! Matrices in shared memory as a 64-bit descriptor gives them.
//!
//! They are made of units of 16 bytes. Where their elements run along K, a unit is a piece of a row
//! (of A) or column (of B); where they run along M or N, it is a piece of a step of K. Eight units
//! that follow each other across make the atom of the layout.

use crate::tensor_map::Swizzle;

/// Bytes of a unit.
pub(crate) const UNIT: u32 = 16;
/// Bits that mean something: address, leading and stride offset, base offset, swizzle.
const KNOWN: u64 = 0x3fff | 0x3fff << 16 | 0x3fff << 32 | 7 << 49 | 3 << 62;

/// A decoded descriptor, all in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matrix {
    start: u32,
    leading: u32,
    stride: u32,
    swizzle: Swizzle,
}

impl Matrix {
    pub(crate) fn decode(descriptor: u64) -> Result<Matrix, String> {
        let field = |shift: u32| (descriptor >> shift & 0x3fff) as u32 * UNIT;
        let swizzle = match descriptor >> 62 {
            0 => Swizzle::None,
            1 => Swizzle::Bytes128,
            2 => Swizzle::Bytes64,
            _ => Swizzle::Bytes32,
        };
        let matrix = Matrix { start: field(0), leading: field(16), stride: field(32), swizzle };
        if descriptor & !KNOWN != 0 {
            return Err(format!(
                "matrix descriptor {descriptor:#018x} has bits outside its fields (hint: address, \
                 leading and stride offset are 14 bits each, in units of 16 bytes)"
            ));
        }
        let span = swizzle.span();
        let repeat = 8 * span;
        if descriptor >> 49 & 7 != 0 || span != 0 && matrix.start % repeat >= span {
            return Err(format!(
                "matrix descriptor {descriptor:#018x}: start {:#x}, base offset {}; expected a \
                 swizzle of {span} bytes whose pattern begins at a multiple of {repeat}",
                matrix.start,
                descriptor >> 49 & 7
            ));
        }
        Ok(matrix)
    }

    /// Where unit `unit` of row or column `mn` lies, elements running along K.
    pub(crate) fn along_k(&self, mn: u32, unit: u32) -> u32 {
        let (across, step) = match self.swizzle.span() {
            0 => (UNIT, self.leading),
            span => (span, UNIT),
        };
        self.at(mn % 8 * across + mn / 8 * self.stride + unit * step)
    }

    /// Where unit `unit` of step `k` lies, elements running along M or N.
    pub(crate) fn along_mn(&self, unit: u32, k: u32) -> u32 {
        self.at(match self.swizzle.span() {
            0 => unit * self.stride + k % 8 * UNIT + k / 8 * self.leading,
            span => {
                let units = span / UNIT;
                unit % units * UNIT
                    + unit / units * self.leading
                    + k % 8 * span
                    + k / 8 * self.stride
            }
        })
    }

    fn at(&self, offset: u32) -> u32 {
        self.swizzle.apply(self.start + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(start: u64, leading: u64, stride: u64, mode: u64) -> u64 {
        start >> 4 | (leading >> 4) << 16 | (stride >> 4) << 32 | mode << 62
    }

    /// The manual's examples give layouts in elements.
    #[test]
    fn the_layouts_of_the_manual() {
        // K-major tf32 without swizzle: ((8,2),(4,4)):((4,32),(1,64)).
        let matrix = Matrix::decode(descriptor(0, 64 * 4, 32 * 4, 0)).unwrap();
        assert_eq!(matrix.along_k(9, 1), 4 * (4 + 32 + 64));
        // K-major tf32 under 32 bytes: ((8,2),(4,4)):((8,64),(1,4)), before the swizzle.
        let matrix = Matrix::decode(descriptor(0, 16, 64 * 4, 3)).unwrap();
        assert_eq!(matrix.along_k(9, 1), Swizzle::Bytes32.apply(4 * (8 + 64 + 4)));
        // MN-major bf16 without swizzle: ((8,1,2),(8,2)):((1,8,64),(8,128)).
        let matrix = Matrix::decode(descriptor(0, 128 * 2, 64 * 2, 0)).unwrap();
        assert_eq!(matrix.along_mn(1, 9), 2 * (64 + 8 + 128));
        // MN-major bf16 under 64 bytes: ((8,4,2),(8,2)):((1,8,256),(32,512)).
        let matrix = Matrix::decode(descriptor(0, 256 * 2, 512 * 2, 2)).unwrap();
        assert_eq!(matrix.along_mn(5, 9), Swizzle::Bytes64.apply(2 * (8 + 256 + 32 + 512)));
    }

    #[test]
    fn bits_between_the_fields_are_refused() {
        assert!(Matrix::decode(1 << 14).is_err());
        assert!(Matrix::decode(1 << 49 | 1 << 62).is_err());
        assert!(Matrix::decode(descriptor(128, 0, 1024, 1)).is_err());
        assert!(Matrix::decode(descriptor(1024 + 32, 0, 1024, 1)).is_ok());
    }
}
