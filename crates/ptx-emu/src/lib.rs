//! Runs PTX without a GPU, and says what is wrong with it.
//!
//! A kernel runs here as on the hardware: warps of 32 lanes that diverge and meet again, CTAs with
//! shared memory and barriers, clusters, asynchronous copies, tensor cores. What the hardware lets
//! pass in silence is an error that names file, line, CTA, warp and lane ([`FaultKind`] lists them):
//! addresses out of bounds, misaligned or freed, reads of memory or registers that nothing wrote,
//! races in shared and global memory, lanes that wait for each other at different barriers,
//! deadlocks. What the kernel asks of the memory system is counted ([`Counters`]).
//!
//! ```
//! use ptx_emu::{Gpu, LaunchConfig, Module};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = "
//!     .version 7.8
//!     .target sm_80
//!     .address_size 64
//!     .visible .entry double_u32(.param .u64 param_x)
//!     {
//!         .reg .u32 %i, %x;
//!         .reg .u64 %at;
//!         ld.param.u64 %at, [param_x];
//!         mov.u32 %i, %tid.x;
//!         mad.wide.u32 %at, %i, 4, %at;
//!         ld.global.u32 %x, [%at];
//!         shl.b32 %x, %x, 1;
//!         st.global.u32 [%at], %x;
//!         ret;
//!     }";
//! let gpu = Gpu::default();
//! let program = gpu.load(&Module::parse("double_u32.ptx", source)?)?;
//! let x = gpu.upload(&[1u32, 2, 3])?;
//! let counters = gpu.launch(&program, "double_u32", &LaunchConfig::linear(1, 3), &[x.into()])?;
//! assert_eq!(gpu.download::<u32>(x, 3)?, [2, 4, 6]);
//! assert_eq!(counters.load_sectors, 1);
//!
//! // A fourth thread reads past the end.
//! let fault = gpu.launch(&program, "double_u32", &LaunchConfig::linear(1, 4), &[x.into()]);
//! assert!(fault.unwrap_err().to_string().contains("lane 3: load of 4 bytes"));
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not tell
//!
//! - Time. Counts are of PTX instructions; the assembler unrolls and fuses. Sectors, wavefronts and
//!   matrix operations do not depend on that.
//! - Bits of `.approx` instructions and of tensor-core sums, which the hardware's manual bounds but
//!   does not define. [`Approx`] chooses between the exact value and the worst that is allowed.
//! - Weak memory order as such. Warps are interleaved at instructions, by a seed
//!   ([`Options::seed`]); missing fences and barriers show as races, not as stale values.
//!
//! # How it is built
//!
//! `syntax` reads the text into a tree. `compile` walks it: `lower` gives each name a place, `isa` turns
//! each instruction into a closure over 32-lane planes. `exec` runs warps, CTAs, clusters and the grid;
//! `machine` is the state that they share, `memory` holds the bytes and watches them.

mod class;
mod compile;
mod counters;
mod error;
mod exec;
mod fault;
mod gpu;
mod isa;
mod launch;
mod lower;
mod machine;
mod memory;
mod module;
mod options;
mod param;
mod program;
mod random;
mod syntax;
mod tensor_map;

pub use counters::Counters;
pub use error::PtxError;
pub use fault::{Fault, FaultKind};
pub use gpu::{Gpu, Program};
pub use launch::{Arg, LaunchConfig, Plain};
pub use module::{Kernel, Module};
pub use options::{Approx, Options, Spec};
pub use param::Param;
pub use tensor_map::{Interleave, L2Promotion, OobFill, Swizzle, TensorMap, TensorType};
