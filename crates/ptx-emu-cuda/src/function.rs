//! Functions: kernels of a module, with what can be set about them.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Result, code};
use crate::object::function::Function;
use crate::state::state;
use crate::types::{CUfunction, CUmodule, Out};

impl Function {
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
