//! One body for several number types.

/// Picks the arm of `$ty` with `$number` as the name of its Rust type; other types take the `else`.
macro_rules! for_type {
    ($ty:expr, $number:ident in [$($case:ident = $rust:ty),*] => $body:expr, else $other:expr) => {
        match $ty {
            $($crate::syntax::ast::Type::$case => {
                type $number = $rust;
                $body
            })*
            _ => $other,
        }
    };
}

/// As [`for_type`], for the integers of 16 to 64 bits.
macro_rules! for_integer {
    ($ty:expr, $number:ident => $body:expr, else $other:expr) => {
        $crate::isa::types::for_type!(
            $ty,
            $number in [U16 = u16, U32 = u32, U64 = u64, S16 = i16, S32 = i32, S64 = i64] => $body,
            else $other
        )
    };
}

/// As [`for_type`], for bits of 16 to 64.
macro_rules! for_bits {
    ($ty:expr, $number:ident => $body:expr, else $other:expr) => {
        $crate::isa::types::for_type!($ty, $number in [B16 = u16, B32 = u32, B64 = u64] => $body,
            else $other)
    };
}

pub(super) use {for_bits, for_integer, for_type};
