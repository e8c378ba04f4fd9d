//! The driver's side of a device, on a GPU or on the interpreter.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod common;
mod device;
mod doctor;
mod graph;
mod launch;
mod launch_times;
mod memory;
mod simulated;
mod tensor_map;
