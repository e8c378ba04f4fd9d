//! Functions: kernels of a module, with what can be set about them.

use std::ffi::{CString, c_char, c_int, c_uint};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed};

use ptx_emu::{Kernel, Program, Spec};

use crate::context::Context;
use crate::errors::{Result, code};
use crate::state::state;
use crate::types::{CUfunction, CUmodule, Out};

/// Most threads of a CTA.
pub(crate) const MAX_THREADS: u32 = 1024;

/// A kernel.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) context: Arc<Context>,
    pub(crate) module: CUmodule,
    pub(crate) program: Arc<Program>,
    pub(crate) name: String,
    c_name: CString,
    /// Bytes of dynamic shared memory that a launch may ask for.
    pub(crate) dynamic_shared: AtomicU32,
    /// Whether clusters of more than 8 CTAs are allowed.
    pub(crate) large_clusters: AtomicBool,
    carveout: AtomicI32,
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

    /// Sets how much dynamic shared memory launches may ask for.
    fn allow_dynamic_shared(&self, bytes: c_int) -> Result {
        let bytes = u32::try_from(bytes).map_err(|_| code::INVALID_VALUE)?;
        if bytes + self.kernel()?.shared_bytes() > self.spec().shared_per_block {
            return Err(code::INVALID_VALUE.into());
        }
        self.dynamic_shared.store(bytes, Relaxed);
        Ok(())
    }

    fn attribute(&self, number: c_uint) -> Result<u32> {
        let module = self.program.module();
        let kernel = self.kernel()?;
        let cluster = |axis: usize| kernel.cluster().map_or(0, |shape| shape[axis]);
        Ok(match number {
            0 => self.max_threads()?,
            1 => kernel.shared_bytes(),
            // Constant memory of its own, and the cache mode of loads.
            2 | 7 => 0,
            3 => kernel.local_bytes(),
            4 => self.registers()?,
            5 => 10 * module.version().0 + module.version().1,
            6 => {
                let (major, minor) = self.spec().compute_capability;
                10 * major + minor
            }
            8 => self.dynamic_shared.load(Relaxed),
            9 => self.carveout.load(Relaxed).cast_unsigned(),
            10 => u32::from(kernel.cluster().is_some()),
            11..=13 => cluster(number as usize - 11),
            14 => u32::from(self.large_clusters.load(Relaxed)),
            15 => 0,
            _ => return Err(code::INVALID_VALUE.into()),
        })
    }
}

/// The function of a handle; its context is not lost.
pub(crate) fn function(handle: CUfunction) -> Result<Arc<Function>> {
    let function = Arc::clone(state()?.functions.get(handle)?);
    function.context.check()?;
    Ok(function)
}

exports! {
    fn cuFuncGetAttribute(out: Out<'_, c_int>, number: c_uint, handle: CUfunction) {
        out.set(function(handle)?.attribute(number)?.cast_signed())
    }

    /// The shared-memory carveout is kept without effect.
    fn cuFuncSetAttribute(handle: CUfunction, number: c_uint, value: c_int) {
        let function = function(handle)?;
        match number {
            8 => function.allow_dynamic_shared(value),
            9 if (-1..=100).contains(&value) => {
                function.carveout.store(value, Relaxed);
                Ok(())
            }
            14 => {
                function.large_clusters.store(value != 0, Relaxed);
                Ok(())
            }
            15 => Ok(()),
            _ => Err(code::INVALID_VALUE.into()),
        }
    }

    /// Without effect.
    fn cuFuncSetCacheConfig(handle: CUfunction, config: c_uint) {
        function(handle)?;
        if config > 3 { Err(code::INVALID_VALUE.into()) } else { Ok(()) }
    }

    fn cuFuncGetModule(out: Out<'_, CUmodule>, handle: CUfunction) {
        out.set(function(handle)?.module)
    }

    /// The name is good as long as the module is loaded.
    fn cuFuncGetName(out: Out<'_, *const c_char>, handle: CUfunction) {
        out.set(function(handle)?.c_name.as_ptr())
    }

    fn cuFuncGetParamInfo(
        handle: CUfunction,
        index: usize,
        offset: Out<'_, usize>,
        bytes: Out<'_, usize>,
    ) {
        let function = function(handle)?;
        let param = function.kernel()?.params().get(index).ok_or(code::INVALID_VALUE)?;
        offset.set(param.offset as usize)?;
        bytes.offer(param.bytes as usize);
        Ok(())
    }
}
