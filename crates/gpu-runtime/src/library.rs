//! The driver library: is it there, does it have every function that we call?
//!
//! cudarc opens `libcuda` at run time and looks each function up on its first call; it panics
//! when either is missing. So nothing here calls a function before [`Library::open`] has
//! found the library and [`Library::missing`] has asked for the name.
//! A test reads this crate's sources and compares the calls with the two lists below.

use std::ffi::CStr;

use cudarc::driver::sys;

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;

/// What the probe itself calls; every driver since CUDA 6 has them.
pub(crate) const BASE: &[&str] = &[
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDriverGetVersion",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuInit",
];

/// What a device, once opened, may call. Every driver at or above the floor has them.
pub(crate) const REST: &[&str] = &[
    "cuCtxGetStreamPriorityRange",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime_v2",
    "cuEventQuery",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphGetNodes",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuLaunchKernelEx",
    "cuMemAllocFromPoolAsync",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemPoolCreate",
    "cuMemPoolDestroy",
    "cuMemPoolGetAttribute",
    "cuMemPoolSetAttribute",
    "cuMemPoolTrimTo",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuOccupancyMaxActiveBlocksPerMultiprocessor",
    "cuOccupancyMaxActiveClusters",
    "cuStreamBeginCapture_v2",
    "cuStreamCreateWithPriority",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamIsCapturing",
    "cuStreamQuery",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuTensorMapEncodeTiled",
];

/// Proof that the driver library is open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library(());

impl Library {
    /// Opens the driver library, or says that there is none.
    pub(crate) fn open() -> Result<Library> {
        // SAFETY: opening runs the library's initialisers; it is the user's own driver.
        if unsafe { sys::is_culib_present() } {
            return Ok(Library(()));
        }
        let name = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
        let detail = format!("`{name}` is not on the loader's path");
        let hint = "install NVIDIA's driver; in a container pass --gpus all; without a GPU \
                    the CPU does the work, and cargo xtask test --emulate runs the kernels";
        Err(GpuError::new(ErrorKind::LibraryMissing, "cuda driver", detail).hint(hint))
    }

    /// The names in `list` that the library does not export.
    pub(crate) fn missing(self, list: &[&'static str]) -> Vec<&'static str> {
        // SAFETY: the library is present, so this does not panic; it is never closed.
        let library = unsafe { sys::culib() };
        let exported = |name: &str| {
            // SAFETY: the symbol is looked up as an address and not called here.
            unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_ok()
        };
        list.iter().copied().filter(|name| !exported(name)).collect()
    }

    /// An error that names the first few functions of `list` that are missing, if any are.
    pub(crate) fn require(self, list: &[&'static str]) -> Result<()> {
        let missing = self.missing(list);
        if missing.is_empty() {
            return Ok(());
        }
        Err(missing_error(&missing))
    }
}

/// The error for functions that a driver library lacks: the first three by name, then a count.
fn missing_error(missing: &[&str]) -> GpuError {
    let named: Vec<String> = missing.iter().take(3).map(|name| format!("`{name}`")).collect();
    let more = match missing.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let detail = format!("the library has no {}{more}", named.join(", "));
    GpuError::new(ErrorKind::SymbolMissing, "cuda driver", detail)
        .hint("update the driver; LD_LIBRARY_PATH may also lead to a stub or an older copy")
}

/// Turns a status into an error with the driver's words.
///
/// cudarc declares statuses as a Rust enum of those that its CUDA version has. Only the number is
/// looked at, since a newer driver may return one that is not among them.
/// The functions of [`BASE`] must have been found.
pub(crate) fn check(place: &str, status: sys::CUresult) -> Result<()> {
    match status as u32 {
        0 => Ok(()),
        code => Err(GpuError::from_status(place, code, &words(status))),
    }
}

/// The driver's name and sentence for a status.
fn words(status: sys::CUresult) -> String {
    let (mut name, mut text) = (std::ptr::null(), std::ptr::null());
    // SAFETY: both functions were found by the probe; they write a pointer to a static string,
    // or null for a status that they do not know.
    let (name, text) = unsafe {
        let _ = sys::cuGetErrorName(status, &raw mut name);
        let _ = sys::cuGetErrorString(status, &raw mut text);
        (text_at(name), text_at(text))
    };
    format!("{name}: {text}")
}

/// Copies a C string; `unknown` for null.
///
/// # Safety
///
/// `text` is null or ends with a NUL.
unsafe fn text_at(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return "unknown".into();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Collects the names that follow `prefix` in all sources under `folder`.
    fn calls(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                calls(&path, prefix, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices(prefix) {
                let rest = &text[at + "sys::".len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap();
                if rest[end..].starts_with('(') {
                    found.insert(rest[..end].to_owned());
                }
            }
        }
    }

    #[test]
    fn every_driver_function_that_is_called_is_looked_up_first() {
        let mut found = BTreeSet::new();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        calls(&sources, concat!("sys::", "cu"), &mut found);
        found.retain(|name| name != "culib" && !name.starts_with("cublas"));
        let listed: BTreeSet<String> = BASE.iter().chain(REST).map(|&name| name.into()).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn missing_functions_are_named_and_counted() {
        let error = missing_error(&["cuA"]);
        assert_eq!(error.kind(), ErrorKind::SymbolMissing);
        assert!(error.detail().ends_with("no `cuA`"), "{error}");
        let error = missing_error(&["cuA", "cuB", "cuC", "cuD", "cuE"]);
        assert!(error.detail().ends_with("`cuA`, `cuB`, `cuC` and 2 more"), "{error}");
        assert!(error.hint_text().is_some());
    }

    #[test]
    fn looking_for_the_library_never_panics() {
        match Library::open() {
            Ok(library) => assert_eq!(library.missing(&["cuNoSuchFunction"]), ["cuNoSuchFunction"]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::LibraryMissing),
        }
    }
}
