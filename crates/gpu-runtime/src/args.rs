//! Arguments of a launch, and the check of them against the kernel's parameters.
//!
//! The driver takes an array of untyped addresses and copies as many bytes as each parameter
//! has. A missing argument or an f64 for an f32 is then a wrong result or worse, without a word.
//! [`Arg`] keeps size and kind of each value, so that a launch can compare them with the
//! parameter list of the PTX text first.

use std::ffi::c_void;

use bytemuck::Pod;
use half::{bf16, f16};

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::memory::buffer::DeviceBuffer;
use crate::memory::slice::{DeviceSlice, DeviceSliceMut};
use crate::ptx_text::{Entry, Param, ParamKind};

/// One argument of a launch. Make it with `From`, or many with [`args!`](crate::args!).
///
/// It borrows the buffer whose address it is, so the buffer outlives the call.
#[derive(Debug, Clone, Copy)]
pub struct Arg<'a> {
    value: Value<'a>,
    kind: ArgKind,
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    /// The low `.1` bytes of `.0`; hosts of CUDA devices are little-endian.
    Scalar(u64, usize),
    Bytes(&'a [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArgKind {
    Pointer,
    Integer,
    Float,
    Bytes,
}

impl<'a> Arg<'a> {
    /// A structure passed by value, such as a tensor map, for an array parameter.
    pub fn bytes(value: &'a [u8]) -> Arg<'a> {
        Arg { value: Value::Bytes(value), kind: ArgKind::Bytes }
    }

    /// An address of device memory that this crate did not allocate.
    pub fn address(address: u64) -> Arg<'static> {
        Arg { value: Value::Scalar(address, 8), kind: ArgKind::Pointer }
    }

    fn scalar(bits: u64, bytes: usize, kind: ArgKind) -> Arg<'a> {
        Arg { value: Value::Scalar(bits, bytes), kind }
    }

    /// Where the bytes of the argument are, as the driver wants it.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        match &self.value {
            Value::Scalar(bits, _) => std::ptr::from_ref(bits).cast_mut().cast(),
            Value::Bytes(bytes) => bytes.as_ptr().cast_mut().cast(),
        }
    }

    fn len(&self) -> usize {
        match self.value {
            Value::Scalar(_, len) => len,
            Value::Bytes(bytes) => bytes.len(),
        }
    }

    fn describe(&self) -> String {
        let len = self.len();
        match self.kind {
            ArgKind::Pointer => "an address (8 bytes)".into(),
            ArgKind::Integer => format!("an integer of {len} bytes"),
            ArgKind::Float => format!("a float of {len} bytes"),
            ArgKind::Bytes => format!("{len} bytes by value"),
        }
    }

    fn fits(&self, param: &Param) -> bool {
        let kind = match param.kind {
            ParamKind::Bits | ParamKind::Bytes => true,
            ParamKind::Float => self.kind == ArgKind::Float,
            ParamKind::Integer => matches!(self.kind, ArgKind::Integer | ArgKind::Pointer),
        };
        let address = !param.pointer || self.kind == ArgKind::Pointer;
        kind && address && self.len() == param.bytes
    }
}

macro_rules! from_number {
    ($($ty:ty => $kind:ident, $bits:expr;)*) => {$(
        impl From<$ty> for Arg<'_> {
            fn from(value: $ty) -> Self {
                let bits: fn($ty) -> u64 = $bits;
                Arg::scalar(bits(value), size_of::<$ty>(), ArgKind::$kind)
            }
        }
    )*};
}

from_number! {
    u8 => Integer, u64::from;
    u16 => Integer, u64::from;
    u32 => Integer, u64::from;
    u64 => Integer, |v| v;
    i8 => Integer, |v| u64::from(v.cast_unsigned());
    i16 => Integer, |v| u64::from(v.cast_unsigned());
    i32 => Integer, |v| u64::from(v.cast_unsigned());
    i64 => Integer, i64::cast_unsigned;
    f32 => Float, |v| u64::from(v.to_bits());
    f64 => Float, f64::to_bits;
    f16 => Float, |v| u64::from(v.to_bits());
    bf16 => Float, |v| u64::from(v.to_bits());
}

macro_rules! from_memory {
    ($($ty:ty),*) => {$(
        impl<'a, T: Pod> From<$ty> for Arg<'a> {
            fn from(memory: $ty) -> Self {
                Arg::address(memory.address())
            }
        }
    )*};
}

from_memory!(
    &'a DeviceBuffer<T>,
    &'a mut DeviceBuffer<T>,
    DeviceSlice<'a, T>,
    &'a DeviceSlice<'_, T>,
    DeviceSliceMut<'a, T>,
    &'a mut DeviceSliceMut<'_, T>
);

/// Builds the argument list of a launch: `args![&x, &mut out, n as u32, 0.5f32]`.
///
/// Buffers and slices become addresses; numbers keep their type, so write the type that the
/// kernel declares.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        &[$($crate::Arg::from($value)),*] as &[$crate::Arg<'_>]
    };
}

/// Compares the arguments of a launch with the parameters of the kernel.
pub(crate) fn check_args(entry: &Entry, args: &[Arg<'_>]) -> Result<()> {
    let kernel = &entry.name;
    let fail = |detail| Err(GpuError::new(ErrorKind::Argument, kernel.as_str(), detail));
    if args.len() != entry.params.len() {
        let next = match entry.params.get(args.len()) {
            Some(param) => format!(", the first without a value is `{}` {}", param.name, param.ty),
            None => String::new(),
        };
        let (want, got) = (entry.params.len(), args.len());
        return fail(format!("expected {want} arguments, got {got}{next}"));
    }
    for (k, (param, arg)) in entry.params.iter().zip(args).enumerate() {
        if !arg.fits(param) {
            let Param { name, ty, .. } = param;
            let ty = if param.pointer { format!("{ty} .ptr") } else { ty.clone() };
            return fail(format!("argument {k} `{name}`: expected {ty}, got {}", arg.describe()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ptx_text::PtxText;

    fn entry(params: &str) -> Entry {
        let source = format!(".version 7.8\n.target sm_80\n.entry k({params}) {{ ret; }}");
        PtxText::parse("k.ptx", &source).unwrap().entries.remove(0)
    }

    fn address() -> Arg<'static> {
        Arg::address(0x1000)
    }

    #[test]
    fn matching_arguments_pass() {
        let entry = entry(
            ".param .u64 x, .param .u64 .ptr y, .param .u32 n, .param .s32 m, .param .f32 eps, \
             .param .b16 h, .param .align 2 .b8 s[2], .param .b64 raw, .param .align 8 .b8 map[24]",
        );
        let map = [0u8; 24];
        let half = f16::from_f32(1.0);
        let args = args![
            address(),
            address(),
            1u32,
            2u32,
            0.5f32,
            half,
            bf16::from_f32(2.0),
            address(),
            Arg::bytes(&map)
        ];
        check_args(&entry, args).unwrap();
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let bytes = [0u8; 3];
        let table: [(&str, Arg<'_>, &str); 9] = [
            (".param .u64 p", 1.0f64.into(), "`p`: expected .u64, got a float of 8 bytes"),
            (".param .u64 p", 1u32.into(), "`p`: expected .u64, got an integer of 4 bytes"),
            (".param .u64 .ptr p", 1u64.into(), "`p`: expected .u64 .ptr, got an integer of 8"),
            (".param .f32 p", 1.0f64.into(), "`p`: expected .f32, got a float of 8 bytes"),
            (".param .f32 p", 1u32.into(), "`p`: expected .f32, got an integer of 4 bytes"),
            (".param .f32 p", address(), "`p`: expected .f32, got an address"),
            (".param .u32 p", 1.0f32.into(), "`p`: expected .u32, got a float of 4 bytes"),
            (".param .b32 p", 1u8.into(), "`p`: expected .b32, got an integer of 1 bytes"),
            (".param .b8 p[4]", Arg::bytes(&bytes), "`p`: expected .b8[4], got 3 bytes by value"),
        ];
        for (params, arg, expected) in table {
            let error = check_args(&entry(params), &[arg]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Argument);
            assert!(error.to_string().starts_with("k: argument 0 "), "{error}");
            assert!(error.detail().contains(expected), "{params}: {error}");
        }
    }

    #[test]
    fn a_wrong_count_names_the_first_parameter_without_a_value() {
        let entry = entry(".param .u64 x, .param .u32 n");
        let error = check_args(&entry, args![address()]).unwrap_err();
        assert!(error.detail().ends_with("got 1, the first without a value is `n` .u32"));
        let error = check_args(&entry, args![address(), 1u32, 2u32]).unwrap_err();
        assert!(error.detail().ends_with("expected 2 arguments, got 3"), "{error}");
    }

    #[test]
    fn negative_numbers_keep_their_bits() {
        for (arg, expected) in [
            (Arg::from(-1i8), vec![0xff]),
            (Arg::from(-2i16), vec![0xfe, 0xff]),
            (Arg::from(-3i32), vec![0xfd, 0xff, 0xff, 0xff]),
            (Arg::from(1.5f32), 1.5f32.to_le_bytes().to_vec()),
            (Arg::from(-0.25f64), (-0.25f64).to_le_bytes().to_vec()),
        ] {
            // SAFETY: the argument holds `len` bytes at its address.
            let bytes: &[u8] =
                unsafe { std::slice::from_raw_parts(arg.as_ptr().cast(), arg.len()) };
            assert_eq!(bytes, expected);
        }
    }
}
