//! Products against the f64 reference and a plain loop, on a GPU or on the interpreter.
//!
//! These run when `CONSONANCE_GPU_TESTS=1` is set, and then fail where no device is found: a run that
//! was asked for cannot pass by skipping. Shapes are odd and lopsided, with NaN in all that may not be
//! read: between rows, between matrices and past the last one.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod batches;
mod case;
mod device;
mod errors;
mod hopper;
mod products;
