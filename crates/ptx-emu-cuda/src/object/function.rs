//! Functions: kernels of a module, with what can be set about them.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32};

use ptx_emu::{Kernel, Program, Spec};

use super::context::Context;
use crate::error::{Result, code};
use crate::types::CUmodule;

/// Most threads of a CTA.
pub(crate) const MAX_THREADS: u32 = 1024;

/// A kernel.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) context: Arc<Context>,
    pub(crate) module: CUmodule,
    pub(crate) program: Arc<Program>,
    pub(crate) name: String,
    pub(crate) c_name: CString,
    /// Bytes of dynamic shared memory that a launch may ask for.
    pub(crate) dynamic_shared: AtomicU32,
    /// Whether clusters of more than 8 CTAs are allowed.
    pub(crate) large_clusters: AtomicBool,
    pub(crate) carveout: AtomicI32,
}

impl Function {
    /// The kernel `name` of a program that has it.
    pub(crate) fn new(
        context: Arc<Context>,
        module: CUmodule,
        program: Arc<Program>,
        name: &str,
    ) -> Function {
        let fixed = program.module().kernel(name).map_or(0, Kernel::shared_bytes);
        let dynamic = context.gpu.options().spec.shared_without_opt_in.saturating_sub(fixed);
        Function {
            context,
            module,
            program,
            name: name.to_owned(),
            c_name: CString::new(name).unwrap_or_default(),
            dynamic_shared: AtomicU32::new(dynamic),
            large_clusters: AtomicBool::new(false),
            carveout: AtomicI32::new(-1),
        }
    }

    pub(crate) fn kernel(&self) -> Result<&Kernel> {
        self.program.module().kernel(&self.name).ok_or(code::INVALID_HANDLE.into())
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.context.gpu.options().spec
    }

    /// Most threads of a CTA of it.
    pub(crate) fn max_threads(&self) -> Result<u32> {
        Ok(self.kernel()?.max_threads().unwrap_or(MAX_THREADS).min(MAX_THREADS))
    }

    /// Registers of a thread: an estimate.
    ///
    /// The interpreter does not assign registers. It takes those that the file declares, in steps
    /// of 8 as the hardware does, and no more than let the largest CTA run: the assembler keeps
    /// that bound where `.maxntid` states it, and a launch must not fail for an estimate.
    pub(crate) fn registers(&self) -> Result<u32> {
        let declared = u32::try_from(self.kernel()?.planes()).unwrap_or(u32::MAX);
        let warps = self.max_threads()?.div_ceil(32);
        let bound = self.spec().registers_per_sm / (32 * warps) / 8 * 8;
        Ok(declared.clamp(16, 248).next_multiple_of(8).min(bound.max(16)))
    }
}
