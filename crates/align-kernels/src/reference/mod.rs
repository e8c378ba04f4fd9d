//! References in f64: one item at a time, plain loops, written to be read.
//!
//! Every fast path agrees with the file of its name here.

pub mod crd;
pub mod info_nce;
pub mod mmd;
pub mod nst;
pub mod sinkhorn;
