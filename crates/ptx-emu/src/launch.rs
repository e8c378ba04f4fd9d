//! How a kernel is launched.

/// Sizes of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchConfig {
    /// CTAs along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a CTA along x, y and z.
    pub block: [u32; 3],
    /// Bytes of `.extern .shared` memory.
    pub dynamic_shared: u32,
    /// All CTAs run at the same time and may wait for each other.
    pub cooperative: bool,
    /// CTAs of a cluster along x, y and z; `None` takes the kernel's own, or single CTAs.
    pub cluster: Option<[u32; 3]>,
}

impl LaunchConfig {
    /// `grid` CTAs of `block` threads in a line.
    pub fn linear(grid: u32, block: u32) -> LaunchConfig {
        LaunchConfig::new([grid, 1, 1], [block, 1, 1])
    }

    /// A grid and blocks of these extents, with no dynamic shared memory.
    pub fn new(grid: [u32; 3], block: [u32; 3]) -> LaunchConfig {
        LaunchConfig { grid, block, dynamic_shared: 0, cooperative: false, cluster: None }
    }

    /// The same with `bytes` of dynamic shared memory.
    pub fn with_shared(self, bytes: u32) -> LaunchConfig {
        LaunchConfig { dynamic_shared: bytes, ..self }
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each name is its type's")]
pub enum Arg {
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    /// A structure by value.
    Bytes(Vec<u8>),
}

impl Arg {
    /// Its bytes as they lie in the parameter block.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Arg::U8(value) => vec![*value],
            Arg::U16(value) => value.to_le_bytes().to_vec(),
            Arg::U32(value) => value.to_le_bytes().to_vec(),
            Arg::U64(value) => value.to_le_bytes().to_vec(),
            Arg::I32(value) => value.to_le_bytes().to_vec(),
            Arg::I64(value) => value.to_le_bytes().to_vec(),
            Arg::F32(value) => value.to_le_bytes().to_vec(),
            Arg::F64(value) => value.to_le_bytes().to_vec(),
            Arg::Bytes(bytes) => bytes.clone(),
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Arg {
            fn from(value: $type) -> Arg {
                Arg::$variant(value)
            }
        }
    )*};
}

from!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i32 => I32, i64 => I64, f32 => F32, f64 => F64);

/// A type whose bytes mean a value, for copies to and from the device.
///
/// Implemented for the number types alone.
pub trait Plain: Copy {
    /// Appends its bytes.
    fn put(self, bytes: &mut Vec<u8>);
    /// Takes it from its bytes.
    fn take(bytes: &[u8]) -> Self;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Plain for $type {
            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn take(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$type>()];
                own.copy_from_slice(bytes);
                <$type>::from_le_bytes(own)
            }
        }
    )*};
}

plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, half::f16, half::bf16);
