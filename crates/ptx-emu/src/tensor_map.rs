//! Tensor maps: what `cp.async.bulk.tensor` must know of a tensor in global memory.
//!
//! The driver makes them and programs pass them on unread, so their 128 bytes are laid out here as is
//! convenient. Numbers of the driver's enumerations are those of `cuda.h`.

use crate::fault::{Fault, FaultKind};

/// What the bytes of a map begin with.
const MAGIC: &[u8; 8] = b"tile map";
/// Bytes of a map.
const BYTES: usize = 128;

macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$note])* $variant,)* }

        impl $name {
            /// The value of the driver's number, if it is one.
            pub fn from_number(number: u32) -> Option<$name> {
                const ALL: &[$name] = &[$($name::$variant),*];
                ALL.get(number as usize).copied()
            }
        }
    };
}

enumeration! {
    /// Type of an element, `CUtensorMapDataType`.
    TensorType {
        /// 1 byte.
        U8,
        /// 2 bytes.
        U16,
        /// 4 bytes.
        U32,
        /// 4 bytes.
        I32,
        /// 8 bytes.
        U64,
        /// 8 bytes.
        I64,
        /// 2 bytes.
        F16,
        /// 4 bytes.
        F32,
        /// 8 bytes.
        F64,
        /// 2 bytes.
        Bf16,
        /// f32 whose subnormals become zeros.
        F32Ftz,
        /// f32 that becomes tf32.
        Tf32,
        /// Both.
        Tf32Ftz,
    }
}

enumeration! {
    /// `CUtensorMapInterleave`.
    Interleave {
        /// Rows of elements.
        None,
        /// Slices of 16 bytes of channels.
        Bytes16,
        /// Slices of 32 bytes of channels.
        Bytes32,
    }
}

enumeration! {
    /// How 16-byte pieces are permuted in shared memory, `CUtensorMapSwizzle`.
    Swizzle {
        /// Not at all.
        None,
        /// Inside 32 bytes.
        Bytes32,
        /// Inside 64 bytes.
        Bytes64,
        /// Inside 128 bytes.
        Bytes128,
    }
}

enumeration! {
    /// A hint to the L2 cache, `CUtensorMapL2promotion`.
    L2Promotion {
        /// None.
        None,
        /// 64 bytes.
        Bytes64,
        /// 128 bytes.
        Bytes128,
        /// 256 bytes.
        Bytes256,
    }
}

enumeration! {
    /// What elements outside the tensor read as, `CUtensorMapFloatOOBfill`.
    OobFill {
        /// Zero.
        Zero,
        /// A NaN that products count as zero.
        Nan,
    }
}

impl TensorType {
    /// Bytes of an element.
    pub fn bytes(self) -> u32 {
        match self {
            TensorType::U8 => 1,
            TensorType::U16 | TensorType::F16 | TensorType::Bf16 => 2,
            TensorType::U64 | TensorType::I64 | TensorType::F64 => 8,
            _ => 4,
        }
    }

    fn is_float(self) -> bool {
        use TensorType::{Bf16, F16, F32, F32Ftz, F64, Tf32, Tf32Ftz};
        matches!(self, F16 | F32 | F64 | Bf16 | F32Ftz | Tf32 | Tf32Ftz)
    }
}

impl Swizzle {
    /// Bytes of the span inside which pieces are permuted; 0 for none.
    pub fn span(self) -> u32 {
        match self {
            Swizzle::None => 0,
            Swizzle::Bytes32 => 32,
            Swizzle::Bytes64 => 64,
            Swizzle::Bytes128 => 128,
        }
    }

    /// Where a byte at `address` of shared memory really lies: the number of its 128-byte line is
    /// added, without carry, to that of its 16-byte piece.
    pub(crate) fn apply(self, address: u32) -> u32 {
        let pieces = (self.span() / 16).saturating_sub(1);
        address ^ ((address >> 7 & pieces) << 4)
    }
}

/// A box of a tensor of up to five dimensions, as `cuTensorMapEncodeTiled` takes it.
///
/// Dimension 0 is the one whose elements are neighbours. Entries past the rank are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMap {
    /// Type of an element.
    pub data_type: TensorType,
    /// Number of dimensions, 1 to 5.
    pub rank: u32,
    /// Where the tensor begins.
    pub global_address: u64,
    /// Elements along each dimension.
    pub global_dim: [u64; 5],
    /// Bytes from one element to the next along dimensions 1 and up.
    pub global_strides: [u64; 4],
    /// Elements of the box along each dimension.
    pub box_dim: [u32; 5],
    /// Every how many elements of the box one is copied.
    pub element_strides: [u32; 5],
    /// Layout of channels.
    pub interleave: Interleave,
    /// Layout in shared memory.
    pub swizzle: Swizzle,
    /// A hint.
    pub l2_promotion: L2Promotion,
    /// What is read outside.
    pub oob_fill: OobFill,
}

impl TensorMap {
    /// The bytes that a kernel is given.
    ///
    /// # Errors
    /// What the driver refuses: addresses and strides that are not aligned, extents out of range, a
    /// box whose rows do not fit the swizzle.
    pub fn encode(&self) -> Result<[u8; BYTES], Fault> {
        self.check().map_err(|detail| {
            Fault::host(FaultKind::Unsupported, format!("tensor map: {detail}"))
        })?;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        let small = [self.data_type as u8, self.rank as u8, self.interleave as u8];
        bytes.extend_from_slice(&small);
        bytes.extend_from_slice(&[
            self.swizzle as u8,
            self.l2_promotion as u8,
            self.oob_fill as u8,
        ]);
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.global_address.to_le_bytes());
        self.global_dim.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.global_strides.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.box_dim.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()[..2]));
        self.element_strides.iter().for_each(|value| bytes.push(*value as u8));
        let mut out = [0; BYTES];
        out[..bytes.len()].copy_from_slice(&bytes);
        Ok(out)
    }

    /// The map that these bytes hold; `None` where they hold none.
    pub fn decode(bytes: &[u8; BYTES]) -> Option<TensorMap> {
        if bytes[..8] != MAGIC[..] {
            return None;
        }
        let word = |at: usize| {
            let mut raw = [0; 8];
            raw.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(raw)
        };
        let number = |at: usize| u32::from(bytes[at]);
        let pair = |at: usize| u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        Some(TensorMap {
            data_type: TensorType::from_number(number(8))?,
            rank: number(9),
            interleave: Interleave::from_number(number(10))?,
            swizzle: Swizzle::from_number(number(11))?,
            l2_promotion: L2Promotion::from_number(number(12))?,
            oob_fill: OobFill::from_number(number(13))?,
            global_address: word(16),
            global_dim: std::array::from_fn(|axis| word(24 + 8 * axis)),
            global_strides: std::array::from_fn(|axis| word(64 + 8 * axis)),
            box_dim: std::array::from_fn(|axis| pair(96 + 2 * axis)),
            element_strides: std::array::from_fn(|axis| number(106 + axis)),
        })
    }

    fn check(&self) -> Result<(), String> {
        let interleaved = self.interleave != Interleave::None;
        let align = if self.interleave == Interleave::Bytes32 { 32 } else { 16 };
        let least = if interleaved { 3 } else { 1 };
        expect(
            "rank",
            self.rank,
            (least..=5).contains(&self.rank),
            "1 to 5, 3 at least interleaved",
        )?;
        let rank = self.rank as usize;
        let address = self.global_address;
        expect(
            "address",
            address,
            address.is_multiple_of(align),
            "a multiple of 16, 32 interleaved",
        )?;
        for axis in 0..rank {
            let dim = self.global_dim[axis];
            expect("global_dim", dim, (1..=1 << 32).contains(&dim), "1 to 2^32")?;
            let extent = self.box_dim[axis];
            expect("box_dim", extent, (1..=256).contains(&extent), "1 to 256")?;
            let step = self.element_strides[axis];
            expect("element_strides", step, (1..=8).contains(&step), "1 to 8")?;
        }
        for &stride in &self.global_strides[..rank - 1] {
            let fits = stride.is_multiple_of(align) && stride < 1 << 40;
            expect("global_strides", stride, fits, "a multiple of 16 (32 interleaved) below 2^40")?;
        }
        let row = self.box_dim[0] * self.data_type.bytes();
        if !interleaved {
            expect("bytes of a row of the box", row, row.is_multiple_of(16), "a multiple of 16")?;
            let span = self.swizzle.span();
            let fits = span == 0 || row <= span;
            expect("bytes of a row of the box", row, fits, "at most the span of the swizzle")?;
        }
        if self.interleave == Interleave::Bytes32 && self.swizzle != Swizzle::Bytes32 {
            return Err("interleaving by 32 bytes, expected the swizzle of 32 bytes".to_owned());
        }
        if self.oob_fill == OobFill::Nan && !self.data_type.is_float() {
            return Err(format!("NaN outside, expected a float type, got {:?}", self.data_type));
        }
        Ok(())
    }
}

fn expect(what: &str, got: impl std::fmt::Display, holds: bool, text: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what}: expected {text}, got {got}")) }
}
