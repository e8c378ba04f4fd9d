//! Devices and contexts answer as the driver's do.

mod common;

use std::ffi::{CStr, c_char};

use common::*;
use ptx_emu_cuda::context::*;
use ptx_emu_cuda::device::*;
use ptx_emu_cuda::errors::*;
use ptx_emu_cuda::memory::*;
use ptx_emu_cuda::procs::*;
use ptx_emu_cuda::tensor_map::*;
use ptx_emu_cuda::types::*;

#[test]
fn there_is_one_device_with_a_name_and_memory() {
    ok!(cuInit(0));
    let (mut version, mut count, mut bytes) = (0, 0, 0);
    ok!(cuDriverGetVersion((&mut version).into()));
    ok!(cuDeviceGetCount((&mut count).into()));
    ok!(cuDeviceTotalMem_v2((&mut bytes).into(), 0));
    assert_eq!((version, count), (13_000, 1));
    assert!(bytes > 100 << 30);
    let mut name = [0; 64];
    ok!(cuDeviceGetName(Out::at(name.as_mut_ptr()), 64, 0));
    let name = call!(CStr::from_ptr(name.as_ptr())).to_str().unwrap();
    assert!(name.contains("H200"), "{name}");
    let mut short = [7 as c_char; 4];
    ok!(cuDeviceGetName(Out::at(short.as_mut_ptr()), 4, 0));
    assert_eq!(short[3], 0);
}

#[test]
fn what_is_not_there_is_refused() {
    ok!(cuInit(0));
    let mut number = 0;
    assert_eq!(call!(cuDeviceGet((&mut number).into(), 1)), 101);
    assert_eq!(call!(cuDeviceGet((&mut number).into(), -1)), 101);
    assert_eq!(call!(cuDeviceGetAttribute((&mut number).into(), 0, 0)), 1);
    assert_eq!(call!(cuDeviceGetAttribute((&mut number).into(), 9999, 0)), 1);
    assert_eq!(call!(cuDeviceGetCount(Out::null())), 1);
    assert_eq!(call!(cuInit(1)), 1);
}

#[test]
fn statuses_have_names() {
    let mut text: *const c_char = std::ptr::null();
    ok!(cuGetErrorName(218, (&mut text).into()));
    assert_eq!(call!(CStr::from_ptr(text)), c"CUDA_ERROR_INVALID_PTX");
    assert_eq!(call!(cuGetErrorName(77, (&mut text).into())), 1);
    assert!(text.is_null());
}

#[test]
fn contexts_are_a_stack_of_the_thread() {
    let first = context();
    let second = context();
    let mut current = 0;
    ok!(cuCtxGetCurrent((&mut current).into()));
    assert_eq!(current, second);
    ok!(cuCtxPopCurrent_v2((&mut current).into()));
    assert_eq!(current, second);
    ok!(cuCtxPushCurrent_v2(second));
    ok!(cuCtxSetCurrent(0));
    ok!(cuCtxGetCurrent((&mut current).into()));
    assert_eq!(current, first);
    std::thread::spawn(|| {
        let mut current = 7;
        ok!(cuCtxGetCurrent((&mut current).into()));
        assert_eq!(current, 0);
        assert_eq!(call!(cuCtxSynchronize()), 201);
    })
    .join()
    .unwrap();
    ok!(cuCtxDestroy_v2(second));
    assert_eq!(call!(cuCtxSetCurrent(second)), 201);
    assert_eq!(call!(cuCtxDestroy_v2(second)), 201);
}

#[test]
fn a_context_takes_its_objects_along() {
    let context = context();
    let ptr = upload(&[1]);
    let mut event = 0;
    ok!(ptx_emu_cuda::event::cuEventCreate((&mut event).into(), 0));
    ok!(cuCtxPushCurrent_v2(context));
    ok!(cuCtxDestroy_v2(context));
    assert_eq!(call!(cuMemFree_v2(ptr)), 709);
    assert_eq!(call!(ptx_emu_cuda::event::cuEventQuery(event)), 400);
}

#[test]
fn the_primary_context_lives_while_it_is_retained() {
    ok!(cuInit(0));
    let (mut first, mut again, mut flags, mut on) = (0, 0, 0, 0);
    ok!(cuDevicePrimaryCtxRetain((&mut first).into(), 0));
    ok!(cuDevicePrimaryCtxRetain((&mut again).into(), 0));
    assert_eq!(first, again);
    assert_eq!(call!(cuCtxDestroy_v2(first)), 201);
    ok!(cuDevicePrimaryCtxRelease_v2(0));
    ok!(cuCtxSetCurrent(first));
    ok!(cuCtxSynchronize());
    ok!(cuDevicePrimaryCtxRelease_v2(0));
    assert_eq!(call!(cuCtxSynchronize()), 709);
    ok!(cuDevicePrimaryCtxGetState(0, (&mut flags).into(), (&mut on).into()));
    assert_eq!((flags, on), (0, 0));
    assert_eq!(call!(cuDevicePrimaryCtxRelease_v2(0)), 201);
    ok!(cuDevicePrimaryCtxRetain((&mut again).into(), 0));
    assert_ne!(first, again);
    ok!(cuDevicePrimaryCtxReset_v2(0));
    assert_eq!(call!(cuCtxSetCurrent(again)), 201);
}

#[test]
fn limits_and_peers_answer() {
    let own = context();
    let mut value = 0;
    ok!(cuCtxSetLimit(0, 4096));
    ok!(cuCtxGetLimit((&mut value).into(), 0));
    assert_eq!(value, 4096);
    assert_eq!(call!(cuCtxGetLimit((&mut value).into(), 99)), 215);
    assert_eq!(call!(cuCtxEnablePeerAccess(own, 0)), 217);
    assert_eq!(call!(cuCtxDisablePeerAccess(own)), 705);
    let (mut least, mut greatest) = (1, 1);
    ok!(cuCtxGetStreamPriorityRange((&mut least).into(), (&mut greatest).into()));
    assert!(greatest < least);
}

#[test]
fn functions_are_found_by_name() {
    let (mut address, mut answer) = (0, 7);
    ok!(cuGetProcAddress_v2(
        c"cuMemAlloc".into(),
        (&mut address).into(),
        13_000,
        0,
        (&mut answer).into()
    ));
    assert_eq!((address, answer), (cuMemAlloc_v2 as *const () as u64, 0));
    ok!(cuGetProcAddress_v2(
        c"cuNothing".into(),
        (&mut address).into(),
        13_000,
        0,
        (&mut answer).into()
    ));
    assert_eq!((address, answer), (0, 1));
    assert_eq!(call!(cuGetProcAddress(c"cuNothing".into(), (&mut address).into(), 13_000, 0)), 500);
}

#[test]
fn a_tensor_map_is_encoded_or_refused() {
    context();
    let mut map = [0u8; 128];
    let (dim, stride, tile, step) = ([64u64, 32], [128u64], [16u32, 8], [1u32, 1]);
    let mut encode = |kind: u32, rank: u32| {
        // SAFETY: each array has `rank` entries, the strides one less.
        unsafe {
            cuTensorMapEncodeTiled(
                (&mut map).into(),
                kind,
                rank,
                In::at(0x7f00_0000_0000 as *const _),
                In::at(dim.as_ptr()),
                In::at(stride.as_ptr()),
                In::at(tile.as_ptr()),
                In::at(step.as_ptr()),
                0,
                0,
                0,
                0,
            )
        }
    };
    assert_eq!(encode(6, 2), 0);
    assert_eq!(encode(6, 0), 1);
    assert_eq!(encode(99, 2), 1);
    assert!(sentence(1).contains("data type 99"));
    assert_ne!(map, [0; 128]);
    assert_eq!(call!(cuTensorMapReplaceAddress((&mut map).into(), In::at(3 as *const _))), 1);
    ok!(cuTensorMapReplaceAddress((&mut map).into(), In::at(0x7f00_0000_1000 as *const _)));
}
