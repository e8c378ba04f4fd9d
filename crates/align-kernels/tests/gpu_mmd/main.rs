//! Maximum mean discrepancy on the device against the f64 references and the host path, on a GPU or on
//! the interpreter.
//!
//! These run when `CONSONANCE_GPU_TESTS=1` is set, and then fail where no device is found: a run that
//! was asked for cannot pass by skipping. Batches are ragged and odd, with NaN between rows and past the
//! last one.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod bandwidth;
#[path = "../gpu/batch.rs"]
#[allow(dead_code, reason = "weights are for transport")]
mod batch;
#[path = "../gpu/device.rs"]
mod device;
mod edges;
mod errors;
mod plain;
mod values;
