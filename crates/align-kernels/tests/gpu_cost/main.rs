//! `pairwise_cost` on a device.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

#[expect(dead_code, reason = "some helpers are for the other program")]
#[path = "../gpu/batch.rs"]
mod batch;
mod clouds;
#[path = "../gpu/device.rs"]
mod device;
#[expect(dead_code, reason = "some helpers are for the other program")]
#[path = "../gpu/plain.rs"]
mod plain;
mod tf32;
mod tiles;
