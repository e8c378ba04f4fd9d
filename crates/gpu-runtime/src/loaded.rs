//! What the driver has loaded for a device: modules, and the functions in them.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUfunction_attribute as Attribute};

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::library::check;
use crate::ptx_text::{Entry, PtxText};

/// The modules of a device, by their text and by the address of text that is part of the program.
#[derive(Default)]
pub(crate) struct Modules {
    texts: HashMap<Box<str>, Arc<Loaded>>,
    addresses: HashMap<(usize, usize), Arc<Loaded>>,
}

/// A module of the driver, which lives as long as its device.
pub(crate) struct Loaded {
    raw: sys::CUmodule,
    name: String,
    text: PtxText,
    functions: Mutex<HashMap<Box<str>, Arc<Function>>>,
}

/// A kernel of the driver.
pub(crate) struct Function {
    pub(crate) raw: sys::CUfunction,
    pub(crate) name: Arc<str>,
    pub(crate) entry: Entry,
    pub(crate) attributes: KernelAttributes,
    /// Bytes of dynamic shared memory that a launch may ask for.
    pub(crate) shared_limit: AtomicU32,
}

// SAFETY: the handle is the driver's and may be used from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}
// SAFETY: as above.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// What the assembler made of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelAttributes {
    /// Registers a thread.
    pub registers: u32,
    /// Bytes of local memory a thread: spills and arrays.
    pub local_bytes: u32,
    /// Bytes of static shared memory a block.
    pub static_shared: u32,
    /// Threads of a block, at most, with these registers and `.maxntid`.
    pub max_threads: u32,
}

impl Modules {
    pub(crate) fn by_text(&self, text: &str) -> Option<Arc<Loaded>> {
        self.texts.get(text).map(Arc::clone)
    }

    /// Text that lives as long as the program is the same text when it is at the same place.
    pub(crate) fn by_address(&self, text: &'static str) -> Option<Arc<Loaded>> {
        self.addresses.get(&place(text)).map(Arc::clone)
    }

    pub(crate) fn keep(&mut self, text: &str, loaded: Loaded) -> Arc<Loaded> {
        let loaded = Arc::new(loaded);
        self.texts.insert(text.into(), Arc::clone(&loaded));
        loaded
    }

    pub(crate) fn keep_address(&mut self, text: &'static str, loaded: &Arc<Loaded>) {
        self.addresses.insert(place(text), Arc::clone(loaded));
    }

    /// Unloads all modules; called once, when their device closes.
    pub(crate) fn unload(&self) {
        for loaded in self.texts.values() {
            // SAFETY: loaded once, and the device that owns it has no user left.
            let _ = unsafe { sys::cuModuleUnload(loaded.raw) };
        }
    }
}

fn place(text: &'static str) -> (usize, usize) {
    (text.as_ptr().addr(), text.len())
}

impl Loaded {
    pub(crate) fn new(raw: sys::CUmodule, name: &str, text: PtxText) -> Loaded {
        Loaded { raw, name: name.to_owned(), text, functions: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &PtxText {
        &self.text
    }

    /// The kernel of that name, asked of the driver once. The context is current.
    pub(crate) fn function(&self, name: &str) -> Result<Arc<Function>> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(Arc::clone(function));
        }
        let Some(entry) = self.text.entry(name) else {
            let known: Vec<String> =
                self.text.entries.iter().map(|entry| format!("`{}`", entry.name)).collect();
            let detail = format!("no kernel `{name}`, the file has {}", known.join(", "));
            return Err(GpuError::new(ErrorKind::NotFound, self.name.as_str(), detail));
        };
        let symbol = CString::new(name).expect("the text has no NUL, so the name has none");
        let mut raw = ptr::null_mut();
        // SAFETY: the module is loaded, the name ends with a NUL; the driver writes one handle.
        let status = unsafe { sys::cuModuleGetFunction(&raw mut raw, self.raw, symbol.as_ptr()) };
        check(&format!("{}: `{name}`", self.name), status)?;
        let function = Arc::new(Function::new(raw, entry.clone())?);
        functions.insert(name.into(), Arc::clone(&function));
        Ok(function)
    }
}

impl Function {
    fn new(raw: sys::CUfunction, entry: Entry) -> Result<Function> {
        let get = |which| attribute(&entry.name, raw, which);
        let attributes = KernelAttributes {
            registers: get(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            local_bytes: get(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            static_shared: get(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
            max_threads: get(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
        };
        let limit = get(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)?;
        let name = entry.name.as_str().into();
        Ok(Function { raw, name, entry, attributes, shared_limit: AtomicU32::new(limit) })
    }

    /// What the driver says now.
    pub(crate) fn attribute(&self, which: Attribute) -> Result<u32> {
        attribute(&self.name, self.raw, which)
    }
}

fn attribute(kernel: &str, function: sys::CUfunction, which: Attribute) -> Result<u32> {
    let mut value = 0;
    // SAFETY: the function is loaded; the driver writes one int.
    check(kernel, unsafe { sys::cuFuncGetAttribute(&raw mut value, which, function) })?;
    Ok(u32::try_from(value).unwrap_or(0))
}
