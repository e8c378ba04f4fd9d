//! PTX files in the driver: assembled at load time, kept per device.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUjit_option as Option_};

use crate::device::Device;
use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::loaded::Loaded;
use crate::ptx_text::PtxText;

/// Room for the assembler's complaints; more is cut off by the driver.
const LOG_BYTES: usize = 8192;

/// A PTX file that the driver has assembled for a device. Clones share it.
#[derive(Clone)]
pub struct Module {
    device: Device,
    pub(crate) loaded: Arc<Loaded>,
}

impl Module {
    /// Assembles PTX text for a device. `name` stands for it in errors.
    ///
    /// The device keeps the result: the same text is assembled once, and stays loaded until the
    /// device closes. The driver also keeps a cache on disk, over runs.
    ///
    /// # Errors
    ///
    /// `PtxTooNew` when the driver is too old for the file's `.version`, `WrongTarget` when the
    /// file is for other hardware, `Jit` with the assembler's log when it refuses the text.
    pub fn load_ptx(device: &Device, name: &str, source: &str) -> Result<Module> {
        let mut modules = device.modules();
        let loaded = match modules.by_text(source) {
            Some(loaded) => loaded,
            None => modules.keep(source, Module::assemble(device, name, source)?),
        };
        Ok(Module { device: device.clone(), loaded })
    }

    /// As [`Module::load_ptx`], for text that is part of the program: it is found again by its
    /// address, without a look at the text.
    ///
    /// # Errors
    ///
    /// As [`Module::load_ptx`].
    pub fn load_static(device: &Device, name: &str, source: &'static str) -> Result<Module> {
        if let Some(loaded) = device.modules().by_address(source) {
            return Ok(Module { device: device.clone(), loaded });
        }
        let module = Module::load_ptx(device, name, source)?;
        device.modules().keep_address(source, &module.loaded);
        Ok(module)
    }

    fn assemble(device: &Device, name: &str, source: &str) -> Result<Loaded> {
        let text = PtxText::parse(name, source)?;
        let facts = device.facts();
        text.check_version(name, facts.driver)?;
        text.check_target(name, facts.compute_capability)?;
        device.bind()?;
        let raw = assemble(device, name, source)?;
        Ok(Loaded::new(raw, name, text))
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        self.loaded.name()
    }

    /// Header and parameter lists of the text.
    pub fn text(&self) -> &PtxText {
        self.loaded.text()
    }

    /// The device it was assembled for.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Module({}, {:?})", self.name(), self.device)
    }
}

/// Has the driver assemble the text; on failure the error holds the assembler's log.
fn assemble(device: &Device, name: &str, source: &str) -> Result<sys::CUmodule> {
    let image = CString::new(source).expect("PtxText::parse refuses a NUL");
    let mut log = vec![0u8; LOG_BYTES];
    let mut options =
        [Option_::CU_JIT_ERROR_LOG_BUFFER, Option_::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // The driver takes numbers in the bits of the pointer.
    let size: *mut c_void = ptr::without_provenance_mut(log.len());
    let mut values = [log.as_mut_ptr().cast(), size];
    let mut module = ptr::null_mut();
    // SAFETY: the image ends with a NUL; both arrays have two entries; the driver writes at
    // most `log.len()` bytes to the log, and one handle.
    let status = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut module,
            image.as_ptr().cast(),
            2,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    match device.check(name, status) {
        Ok(()) => Ok(module),
        Err(error) => Err(with_log(error.or_kind(ErrorKind::Jit), &log)),
    }
}

/// Adds the assembler's log, if it wrote one.
fn with_log(error: GpuError, log: &[u8]) -> GpuError {
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]);
    match text.trim() {
        "" => error,
        text => error.more(&format!("; assembler: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_ends_at_its_nul() {
        let refused = || GpuError::from_status("a.ptx", 218, "CUDA_ERROR_INVALID_PTX: bad");
        let error = with_log(refused(), b"a.ptx:3: unknown opcode\n\0rubbish");
        assert_eq!(error.kind(), ErrorKind::Jit);
        assert!(error.detail().ends_with("; assembler: a.ptx:3: unknown opcode"), "{error}");
        assert_eq!(with_log(refused(), &[0; 8]).detail(), refused().detail());
    }
}
