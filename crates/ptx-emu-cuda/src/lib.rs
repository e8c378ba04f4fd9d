//! A drop-in `libcuda.so` on the PTX interpreter: programs for NVIDIA GPUs run without one.
//!
//! Each exported function is one of the CUDA driver API, under its own name. Work runs at once, in
//! the order of the calls, on the thread that asks for it; a launch has ended when the call
//! returns. What a kernel does wrong becomes the status that a GPU gives, and a sentence with the
//! kernel's name, line, CTA, warp and lane; README.md says where to find it.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("handles and device addresses are 64 bits wide");

#[macro_use]
mod api;

mod capture;
mod code;
pub mod context;
pub mod device;
mod error;
pub mod errors;
pub mod event;
pub mod function;
pub mod graph;
mod handles;
mod host;
pub mod host_memory;
mod image;
pub mod launch;
pub mod memory;
pub mod memset;
pub mod module;
mod object;
pub mod occupancy;
pub mod pointer;
pub mod pool;
pub mod procs;
mod settings;
mod state;
pub mod stream;
pub mod tensor_map;
pub mod transfer;
pub mod types;
