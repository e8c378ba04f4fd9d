//! CRD on a device against the f64 reference, a plain f32 loop and the host path.
//!
//! These run when `CONSONANCE_GPU_TESTS=1` is set, and then fail where no device is found. What may not
//! be read holds NaN: between the rows of clouds, and in rows of a bank that nobody draws.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod bank;
#[path = "../gpu/batch.rs"]
#[expect(dead_code, reason = "shared with other programs")]
mod batch;
#[path = "../gpu/device.rs"]
mod device;
mod errors;
mod in_batch;
mod plain;
mod update;
