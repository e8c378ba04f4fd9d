//! Pairs too large for one CTA on a device: against the twin, a plain loop and the host.
//!
//! As `tests/gpu`, and with its batches; these pairs take the kernel that groups of CTAs share.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

#[path = "../gpu/batch.rs"]
#[expect(dead_code, reason = "some helpers are for the other program")]
mod batch;
mod case;
#[path = "../gpu/device.rs"]
mod device;
mod direct;
#[path = "../gpu/plain.rs"]
#[expect(dead_code, reason = "some helpers are for the other program")]
mod plain;
mod solve;
