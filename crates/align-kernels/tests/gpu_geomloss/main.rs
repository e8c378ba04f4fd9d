//! GeomLoss's schedule on a device against the twin, a plain f32 loop, and GeomLoss's own numbers.
//!
//! Run as the tests of `gpu`: on a GPU or on the interpreter, when `CONSONANCE_GPU_TESTS=1` is set.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

#[path = "../gpu/batch.rs"]
#[expect(dead_code, reason = "some helpers are for other programs")]
mod batch;
#[path = "../gpu_modes/case.rs"]
#[expect(dead_code, reason = "some helpers are for other programs")]
mod case;
#[path = "../gpu/device.rs"]
mod device;
mod edges;
mod golden;
mod looped;
#[path = "../gpu/plain.rs"]
#[expect(dead_code, reason = "some helpers are for other programs")]
mod plain;
#[path = "../sinkhorn_cases/mod.rs"]
mod sinkhorn_cases;
mod twin;
