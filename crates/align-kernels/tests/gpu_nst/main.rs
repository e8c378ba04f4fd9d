//! Neuron selectivity transfer on the device against the f64 references and the host path, on a GPU or
//! on the interpreter.
//!
//! These run when `CONSONANCE_GPU_TESTS=1` is set, and then fail where no device is found: a run that
//! was asked for cannot pass by skipping.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

#[path = "../gpu/batch.rs"]
#[allow(dead_code, reason = "weights are for transport")]
mod batch;
#[path = "../gpu/device.rs"]
mod device;
mod rows;
mod tokens;
