//! InfoNCE on a device against the f64 reference, a plain f32 loop and the host path.
//!
//! These run when `CONSONANCE_GPU_TESTS=1` is set, and then fail where no device is found. Shapes are odd
//! and lopsided; what may not be read holds NaN: between rows, past the last one, and in masked points.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod blocks;
mod case;
mod counts;
#[path = "../gpu/device.rs"]
mod device;
mod edges;
mod errors;
mod layers;
mod plain;
mod values;
