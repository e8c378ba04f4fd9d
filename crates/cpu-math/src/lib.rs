//! Deterministic building blocks for numeric code on CPUs.
//!
//! | module | what it has |
//! |---|---|
//! | [`dispatch`] | [`simd_dispatch!`]: one function body, compiled for several instruction sets |
//! | [`math`] | branch-free `exp`, `ln`, `tanh`, `erf` of `f32` that vectorise |
//! | [`number`], [`real`] | the scalar types and the two precisions of computation |
//! | [`gemm`], [`gemm_bf16`], [`tile_gemm`] | matrix products, in parallel or on one thread |
//! | [`linear`] | products of f32 with weights in the form they are stored in |
//! | [`parallel`] | loops over chunks whose borders depend on the shape alone |
//! | [`scratch`] | work memory kept by each thread |
//!
//! Results have the same bits on any number of threads: work is cut by shape alone and partial
//! sums are combined in order. The crate knows no tensors; errors of its callers are panics with
//! a message, because shapes are checked above it.

pub mod dispatch;
pub mod gemm;
pub mod gemm_bf16;
pub mod linear;
mod lines;
mod mat_ref;
pub mod math;
pub mod number;
mod operand;
pub mod parallel;
pub mod real;
pub mod scratch;
mod stored;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tile_gemm;
