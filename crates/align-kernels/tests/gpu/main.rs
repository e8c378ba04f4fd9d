//! The device path against the f64 references and the host path, on a GPU or on the interpreter.
//!
//! These run when `CONSONANCE_GPU_TESTS=1` is set, and then fail where no device is found: a run that
//! was asked for cannot pass by skipping. Batches are ragged and odd, with NaN in all that may not be
//! read: between rows, past the last one, and in points of weight 0.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

#[expect(dead_code, reason = "some helpers are for other programs")]
mod batch;
mod device;
mod edges;
mod errors;
mod gradients;
mod half_gradients;
mod plain;
mod transport;
