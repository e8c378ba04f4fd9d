//! A kernel that fails costs its context, and says why.

mod common;

use std::ffi::c_char;

use common::*;
use ptx_emu_cuda::context::*;
use ptx_emu_cuda::errors::*;
use ptx_emu_cuda::event::*;
use ptx_emu_cuda::launch::*;
use ptx_emu_cuda::memory::*;
use ptx_emu_cuda::stream::*;
use ptx_emu_cuda::types::*;

fn launch(function: CUfunction, to: u64) -> u32 {
    let args = Args::new(&[to]);
    call!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, 0, args.list(), In::null()))
}

fn last_fault() -> String {
    let mut buffer = vec![0u8; 1000];
    let place = call!(Out::<c_char>::at(buffer.as_mut_ptr().cast()));
    let bytes = call!(ptx_emu_last_fault(place, 1000));
    String::from_utf8_lossy(&buffer[..bytes]).into_owned()
}

/// One test, as the last fault is the whole process's.
#[test]
fn a_fault_is_told_with_its_line_and_stays() {
    assert_eq!(call!(ptx_emu_last_fault(Out::null(), 0)), 0);
    let own = context();
    let function = kernel(module(STORE_SEVEN), c"store_seven");
    let ptr = upload(&[0]);
    let (mut stream, mut event) = (0, 0);
    ok!(cuStreamCreate((&mut stream).into(), 0));
    ok!(cuEventCreate((&mut event).into(), 0));
    assert_eq!(launch(function, ptr), 0);
    assert_eq!(launch(function, ptr + 400), 700);
    let story = sentence(700);
    let line = line_of(STORE_SEVEN, "st.global.u32");
    let place = format!(".ptx:{line}: store_seven: cta (0,0,0) warp 0 lane 0: ");
    assert!(story.contains(&place), "{story}");
    assert_eq!(last_fault(), story);

    // Everything that needs the context fails alike, on other threads too.
    let mut out = 0;
    assert_eq!(launch(function, ptr), 700);
    assert_eq!(call!(cuCtxSynchronize()), 700);
    assert_eq!(call!(cuStreamSynchronize(stream)), 700);
    assert_eq!(call!(cuEventRecord(event, stream)), 700);
    assert_eq!(call!(cuEventQuery(event)), 700);
    assert_eq!(call!(cuMemAlloc_v2((&mut out).into(), 4)), 700);
    assert_eq!(call!(cuMemFree_v2(ptr)), 700);
    let elsewhere = std::thread::spawn(move || {
        ok!(cuCtxSetCurrent(own));
        assert_eq!(call!(cuCtxSynchronize()), 700);
        sentence(700)
    });
    assert_eq!(elsewhere.join().unwrap(), story);

    // Another context is not concerned, and has faults of its own kind.
    context();
    let function = kernel(module(STORE_SEVEN), c"store_seven");
    let ptr = upload(&[0, 0]);
    assert_eq!(launch(function, ptr + 4), 0);
    assert_eq!(launch(function, ptr + 2), 716);
    assert!(last_fault().contains("store_seven"), "{}", last_fault());
    assert_ne!(last_fault(), story);
    assert_eq!(call!(cuCtxSynchronize()), 716);

    // The primary context is new after its last release.
    let mut primary = 0;
    ok!(cuDevicePrimaryCtxRetain((&mut primary).into(), 0));
    ok!(cuCtxSetCurrent(primary));
    let function = kernel(module(STORE_SEVEN), c"store_seven");
    assert_eq!(launch(function, 0), 700);
    ok!(cuDevicePrimaryCtxRelease_v2(0));
    ok!(cuDevicePrimaryCtxRetain((&mut primary).into(), 0));
    ok!(cuCtxSetCurrent(primary));
    ok!(cuCtxSynchronize());
}
