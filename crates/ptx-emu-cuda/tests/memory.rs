//! Memory: copies, fills, pools, and the host's own.

mod common;

use common::*;
use ptx_emu_cuda::context::*;
use ptx_emu_cuda::host_memory::*;
use ptx_emu_cuda::launch::*;
use ptx_emu_cuda::memory::*;
use ptx_emu_cuda::memset::*;
use ptx_emu_cuda::pointer::*;
use ptx_emu_cuda::pool::*;
use ptx_emu_cuda::stream::*;
use ptx_emu_cuda::transfer::*;
use ptx_emu_cuda::types::*;

fn stream() -> CUstream {
    let mut stream = 0;
    ok!(cuStreamCreate((&mut stream).into(), 1));
    stream
}

#[test]
fn copies_and_fills_arrive() {
    context();
    let (a, b) = (upload(&[1, 2, 3, 4]), upload(&[0; 4]));
    ok!(cuMemcpyDtoD_v2(b + 4, a, 8));
    assert_eq!(download(b, 4), [0, 1, 2, 0]);
    ok!(cuMemsetD32_v2(b, 0xdead_beef, 2));
    ok!(cuMemsetD16_v2(b + 8, 0x1234, 2));
    ok!(cuMemsetD8_v2(b + 12, 9, 3));
    assert_eq!(download(b, 4), [0xdead_beef, 0xdead_beef, 0x1234_1234, 0x0009_0909]);
    let stream = stream();
    ok!(cuMemcpyHtoDAsync_v2(a, host(&[7u32, 8]), 8, stream));
    let mut values = [0u32; 2];
    ok!(cuMemcpyDtoHAsync_v2(host_mut(&mut values), a, 8, stream));
    assert_eq!(values, [7, 8]);
    ok!(cuMemFree_v2(a));
    ok!(cuMemFree_v2(0));
}

#[test]
fn a_copy_of_nothing_needs_no_memory() {
    context();
    ok!(cuMemcpyHtoD_v2(0, In::null(), 0));
    ok!(cuMemcpyDtoH_v2(Out::null(), 0, 0));
    ok!(cuMemcpyDtoD_v2(0, 0, 0));
    ok!(cuMemsetD8_v2(0, 1, 0));
}

#[test]
fn what_reaches_past_an_allocation_is_refused_and_harms_nothing() {
    context();
    let ptr = upload(&[1, 2]);
    let mut values = [0u32; 4];
    assert_eq!(call!(cuMemcpyDtoH_v2(host_mut(&mut values), ptr, 12)), 1);
    assert!(sentence(1).contains("4 past the end of") || sentence(1).contains("past"));
    assert_eq!(call!(cuMemcpyHtoD_v2(ptr, In::null(), 4)), 1);
    assert_eq!(call!(cuMemsetD32_v2(ptr + 2, 0, 1)), 1);
    assert_eq!(call!(cuMemsetD8_v2(ptr + 8, 0, 1)), 1);
    ok!(cuMemFree_v2(ptr));
    assert_eq!(call!(cuMemFree_v2(ptr)), 1);
    assert!(sentence(1).contains("freed before"), "{}", sentence(1));
    let mut out = 0;
    assert_eq!(call!(cuMemAlloc_v2((&mut out).into(), 0)), 1);
    assert_eq!(call!(cuMemAlloc_v2((&mut out).into(), usize::MAX)), 2);
    ok!(cuCtxSynchronize());
}

#[test]
fn free_memory_is_what_is_not_in_use() {
    context();
    let (mut before, mut after, mut total) = (0, 0, 0);
    ok!(cuMemGetInfo_v2((&mut before).into(), (&mut total).into()));
    let mut ptr = 0;
    ok!(cuMemAlloc_v2((&mut ptr).into(), 1 << 20));
    ok!(cuMemGetInfo_v2((&mut after).into(), (&mut total).into()));
    // Other tests use the same device.
    assert!(after < total && before <= total);
    let (mut base, mut bytes) = (0, 0);
    ok!(cuMemGetAddressRange_v2((&mut base).into(), (&mut bytes).into(), ptr + 77));
    assert_eq!((base, bytes), (ptr, 1 << 20));
}

#[test]
fn a_pool_counts_what_comes_and_goes() {
    context();
    let stream = stream();
    let props = CUmemPoolProps {
        alloc_type: 1,
        handle_types: 0,
        location: CUmemLocation { kind: 1, id: 0 },
    };
    let mut pool = 0;
    ok!(cuMemPoolCreate((&mut pool).into(), (&props).into()));
    let mut ptr = 0;
    ok!(cuMemAllocFromPoolAsync((&mut ptr).into(), 1000, pool, stream));
    let used = |number| {
        let mut value = 0u64;
        // SAFETY: these attributes are 64 bits wide.
        let out = unsafe { Out::at((&raw mut value).cast()) };
        ok!(cuMemPoolGetAttribute(pool, number, out));
        value
    };
    assert_eq!(used(7), 1000);
    assert!(used(5) >= 1000);
    ok!(cuMemFreeAsync(ptr, stream));
    assert_eq!((used(7), used(8)), (0, 1000));
    ok!(cuMemPoolTrimTo(pool, 0));
    assert_eq!(used(5), 0);
    ok!(cuMemAllocAsync((&mut ptr).into(), 0, stream));
    assert_eq!(ptr, 0);
    ok!(cuMemPoolDestroy(pool));
    assert_eq!(call!(cuMemAllocFromPoolAsync((&mut ptr).into(), 4, pool, stream)), 400);
}

#[test]
fn a_kernel_reaches_host_memory_at_its_address_on_the_device() {
    context();
    let kernel = kernel(module(ADD_ONE), c"add_one");
    let mut pinned = 0;
    ok!(cuMemHostAlloc((&mut pinned).into(), 12, 2));
    // SAFETY: 12 bytes were allocated there.
    let values = unsafe { std::slice::from_raw_parts_mut(pinned as *mut u32, 3) };
    values.copy_from_slice(&[1, 2, 3]);
    let mut device = 0;
    let place = call!(Out::at(pinned as *mut _));
    ok!(cuMemHostGetDevicePointer_v2((&mut device).into(), place, 0));
    let args = Args::new(&[device, device, 3]);
    ok!(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, 0, args.list(), In::null()));
    assert_eq!(values, [2, 3, 4]);
    ok!(cuMemFreeHost(place));
    assert_eq!(call!(cuMemFreeHost(place)), 1);

    let mut own = [5u32, 6];
    let place = host_mut(&mut own);
    ok!(cuMemHostRegister_v2(place, 8, 2));
    assert_eq!(call!(cuMemHostRegister_v2(place, 8, 2)), 712);
    ok!(cuMemHostGetDevicePointer_v2((&mut device).into(), place, 0));
    let args = Args::new(&[device, device, 2]);
    ok!(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, 0, args.list(), In::null()));
    ok!(cuMemHostUnregister(place));
    assert_eq!(call!(cuMemHostUnregister(place)), 713);
    assert_eq!(own, [6, 7]);
}

#[cfg(target_os = "linux")]
#[test]
fn managed_memory_is_one_address_for_both_sides() {
    context();
    let kernel = kernel(module(ADD_ONE), c"add_one");
    let (mut first, mut second) = (0, 0);
    ok!(cuMemAllocManaged((&mut first).into(), 5000, 1));
    ok!(cuMemAllocManaged((&mut second).into(), 8, 1));
    // SAFETY: 8 bytes were allocated there, for the host as well.
    let values = unsafe { std::slice::from_raw_parts_mut(second as *mut u32, 2) };
    values.copy_from_slice(&[10, 20]);
    let args = Args::new(&[second, second, 2]);
    ok!(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, 0, args.list(), In::null()));
    assert_eq!(values, [11, 21]);
    ok!(cuMemsetD8_v2(first, 1, 5000));
    // SAFETY: as above.
    assert_eq!(unsafe { *((first + 4999) as *const u8) }, 1);
    ok!(cuMemFree_v2(first));
    ok!(cuMemFree_v2(second));
}

#[test]
fn an_address_tells_what_it_is_of() {
    let own = context();
    let ptr = upload(&[1, 2, 3]);
    let ask = |number: u32, ptr: u64| {
        let mut value = 0u64;
        // SAFETY: no attribute is wider.
        let out = unsafe { Out::at((&raw mut value).cast()) };
        (call!(cuPointerGetAttribute(out, number, ptr)), value)
    };
    assert_eq!(ask(1, ptr), (0, own));
    assert_eq!(ask(2, ptr + 4), (0, 2));
    assert_eq!(ask(11, ptr + 4), (0, ptr));
    assert_eq!(ask(12, ptr + 4), (0, 12));
    assert_eq!(ask(2, 64).0, 1);
    let mut pinned = 0;
    ok!(cuMemAllocHost_v2((&mut pinned).into(), 8));
    assert_eq!(ask(2, pinned), (0, 1));
    assert_eq!(ask(4, pinned + 1), (0, pinned + 1));
}

#[test]
fn a_copy_without_a_direction_finds_it() {
    context();
    let ptr = upload(&[1, 2]);
    let (from, mut to) = ([8u32, 9], [0u32; 2]);
    ok!(cuMemcpy(ptr, from.as_ptr() as u64, 8));
    ok!(cuMemcpy((&raw mut to) as u64, ptr, 8));
    assert_eq!(to, from);
    ok!(cuMemcpy((&raw mut to) as u64, [4u32].as_ptr() as u64, 4));
    assert_eq!(to, [4, 9]);
}

#[test]
fn contexts_exchange_memory_by_peer_copies() {
    let first = context();
    let from = upload(&[1, 2, 3]);
    let second = context();
    // Both contexts may use the same addresses for memory of their own.
    let to = upload(&[0; 3]);
    ok!(cuMemcpyPeer(to, second, from, first, 12));
    assert_eq!(download(to, 3), [1, 2, 3]);
    let stream = stream();
    ok!(cuMemcpyPeerAsync(to + 4, second, from, first, 8, stream));
    assert_eq!(download(to, 3), [1, 1, 2]);
}
