//! Pairs whose iterations run in registers, of every size and beside pairs that do not fit: against the
//! twin, a plain loop, the host, and themselves alone.
//!
//! Run as the tests of `gpu`: on a GPU or on the interpreter, when `CONSONANCE_GPU_TESTS=1` is set.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod alone;
#[path = "../gpu/batch.rs"]
#[expect(dead_code, reason = "some helpers are for the other program")]
mod batch;
#[path = "../gpu/device.rs"]
mod device;
#[path = "../gpu/plain.rs"]
#[expect(dead_code, reason = "some helpers are for the other program")]
mod plain;
mod range;
mod relaxed;
mod shapes;
#[path = "../gpu/transport.rs"]
mod transport;
