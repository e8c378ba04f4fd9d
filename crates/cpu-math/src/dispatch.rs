//! Compiles one function body for several instruction sets and picks at run time.
//!
//! The body is ordinary Rust that the compiler vectorises; nothing in it names a vector width.
//! Lane-wise sums must therefore use accumulator arrays of a fixed size, which also makes the
//! result the same on every instruction set.

#[cfg(target_arch = "x86_64")]
use std::sync::atomic::{AtomicU8, Ordering};

/// The instruction set a dispatched function runs on.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Isa {
    /// What every machine of the target architecture has.
    Portable = 1,
    /// AVX2 with FMA.
    Avx2 = 2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512 = 3,
}

/// The best instruction set of this machine, detected once.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn isa() -> Isa {
    static DETECTED: AtomicU8 = AtomicU8::new(0);
    match DETECTED.load(Ordering::Relaxed) {
        1 => Isa::Portable,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        _ => {
            let isa = detect();
            DETECTED.store(isa as u8, Ordering::Relaxed);
            isa
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[cold]
fn detect() -> Isa {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = avx2
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx512, avx2) {
        (true, _) => Isa::Avx512,
        (false, true) => Isa::Avx2,
        (false, false) => Isa::Portable,
    }
}

/// Wraps functions so that their bodies are compiled for AVX-512, for AVX2 with FMA and for the
/// portable baseline; the call picks the best one that the machine has.
///
/// Takes plain functions, generic over types with one bound each or none:
///
/// ```text
/// simd_dispatch! {
///     /// Doc comment.
///     pub fn scale<T: Real>(x: &mut [T], by: T) { ... }
/// }
/// ```
///
/// Arguments are plain names. Helpers that the body calls must be `#[inline(always)]`, or they
/// are compiled for the baseline alone.
#[macro_export]
macro_rules! simd_dispatch {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$($t:ident : $bound:path),+>)? (
            $($arg:ident : $arg_type:ty),* $(,)?
        ) $(-> $ret:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        $vis fn $name $(<$($t: $bound),+>)? ($($arg: $arg_type),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$($t: $bound),+>)? ($($arg: $arg_type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
                fn avx512 $(<$($t: $bound),+>)? ($($arg: $arg_type),*) $(-> $ret)? {
                    body $(::<$($t),+>)? ($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$($t: $bound),+>)? ($($arg: $arg_type),*) $(-> $ret)? {
                    body $(::<$($t),+>)? ($($arg),*)
                }
                match $crate::dispatch::isa() {
                    $crate::dispatch::Isa::Avx512 => {
                        // SAFETY: `isa` says so only after detecting every feature enabled.
                        return unsafe { avx512 $(::<$($t),+>)? ($($arg),*) };
                    }
                    $crate::dispatch::Isa::Avx2 => {
                        // SAFETY: as above.
                        return unsafe { avx2 $(::<$($t),+>)? ($($arg),*) };
                    }
                    $crate::dispatch::Isa::Portable => {}
                }
            }
            body $(::<$($t),+>)? ($($arg),*)
        }
    )*};
}
