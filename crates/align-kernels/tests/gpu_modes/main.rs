//! Everything that the device path of transport does beyond plain values: every cost, debiasing,
//! GeomLoss's schedule, projections and clouds compared by InfoNCE, against the twins and the host.
//!
//! Run as the tests of `gpu`: on a GPU or on the interpreter, when `CONSONANCE_GPU_TESTS=1` is set.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

#[path = "../gpu/batch.rs"]
#[expect(dead_code, reason = "some helpers are for the other program")]
mod batch;
mod case;
#[path = "../gpu/device.rs"]
mod device;
mod divergence;
mod given;
mod host;
#[path = "../gpu_geomloss/looped.rs"]
#[expect(dead_code, reason = "the loop itself is for the other program")]
mod looped;
#[path = "../gpu/plain.rs"]
#[expect(dead_code, reason = "some helpers are for the other program")]
mod plain;
mod projections;
mod wasserstein;
