//! The same operations in plain f64, written to be read.

pub mod matmul;
