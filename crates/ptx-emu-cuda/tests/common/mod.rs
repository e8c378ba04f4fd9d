//! What the tests share.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "these are helpers of tests")]

use std::ffi::{CStr, CString, c_char, c_void};

use ptx_emu_cuda::context::*;
use ptx_emu_cuda::device::*;
use ptx_emu_cuda::errors::*;
use ptx_emu_cuda::memory::*;
use ptx_emu_cuda::module::*;
use ptx_emu_cuda::transfer::*;
use ptx_emu_cuda::types::*;

pub const ADD_ONE: &str = include_str!("../kernels/add_one.ptx");
pub const STORE_SEVEN: &str = include_str!("../kernels/store_seven.ptx");

/// Calls a function of the driver and gives its status.
#[macro_export]
macro_rules! call {
    ($call:expr) => {{
        #[allow(
            clippy::macro_metavars_in_unsafe,
            reason = "every call of the driver is unsafe; the tests are about nothing else"
        )]
        // SAFETY: pointers come from references that live over the call, or are null.
        let result = unsafe { $call };
        result
    }};
}

/// Calls a function of the driver, which must succeed.
#[macro_export]
macro_rules! ok {
    ($call:expr) => {{
        let status = $crate::call!($call);
        assert_eq!(status, 0, "{}: {}", stringify!($call), $crate::common::sentence(status));
    }};
}

/// The driver's words for a status.
pub fn sentence(status: CUresult) -> String {
    let mut text: *const c_char = std::ptr::null();
    assert_eq!(call!(cuGetErrorString(status, (&mut text).into())), 0);
    call!(CStr::from_ptr(text)).to_str().unwrap().to_owned()
}

/// A new context, current on this thread, so that no test meets another's faults.
pub fn context() -> CUcontext {
    ok!(cuInit(0));
    let mut context = 0;
    ok!(cuCtxCreate_v2((&mut context).into(), 0, 0));
    context
}

/// Device memory with these values.
pub fn upload(values: &[u32]) -> CUdeviceptr {
    let mut ptr = 0;
    let bytes = size_of_val(values);
    ok!(cuMemAlloc_v2((&mut ptr).into(), bytes));
    ok!(cuMemcpyHtoD_v2(ptr, host(values), bytes));
    ptr
}

/// The values there.
pub fn download(ptr: CUdeviceptr, count: usize) -> Vec<u32> {
    let mut values = vec![0u32; count];
    ok!(cuMemcpyDtoH_v2(host_mut(&mut values), ptr, 4 * count));
    values
}

/// The address of host values, for a copy of all of them.
pub fn host<T>(values: &[T]) -> In<'_, c_void> {
    call!(In::at(values.as_ptr().cast()))
}

/// The address of host values, for a copy over all of them.
pub fn host_mut<T>(values: &mut [T]) -> Out<'_, c_void> {
    call!(Out::at(values.as_mut_ptr().cast()))
}

/// A module from PTX.
pub fn module(source: &str) -> CUmodule {
    let source = CString::new(source).unwrap();
    let mut module = 0;
    ok!(cuModuleLoadData((&mut module).into(), source.as_c_str().into()));
    module
}

/// A kernel of it.
pub fn kernel(module: CUmodule, name: &CStr) -> CUfunction {
    let mut function = 0;
    ok!(cuModuleGetFunction((&mut function).into(), module, name.into()));
    function
}

/// Arguments as a launch takes them: a pointer to each value.
pub struct Args(Vec<u64>, Vec<*const u8>);

impl Args {
    /// Values of at most 8 bytes, little-endian.
    pub fn new(values: &[u64]) -> Args {
        let values = values.to_vec();
        let pointers = values.iter().map(|value| (&raw const *value).cast()).collect();
        Args(values, pointers)
    }

    pub fn list(&self) -> In<'_, *const u8> {
        call!(In::at(self.1.as_ptr()))
    }
}

/// The line of a source, from 1, that holds a text.
pub fn line_of(source: &str, text: &str) -> usize {
    source.lines().position(|line| line.contains(text)).unwrap() + 1
}
