//! A machine with a driver and no device. One test, as the environment is read once.

mod common;

use ptx_emu_cuda::context::*;
use ptx_emu_cuda::device::*;
use ptx_emu_cuda::memory::*;

#[test]
fn without_a_device_nothing_begins_and_nothing_breaks() {
    let (mut version, mut count, mut context, mut ptr) = (0, 7, 0, 0);
    assert_eq!(call!(cuDeviceGetCount((&mut count).into())), 3, "before cuInit");
    // SAFETY: this program has one test, and no other thread reads the environment.
    unsafe { std::env::set_var("PTX_EMU_DEVICES", "0") };
    ok!(cuDriverGetVersion((&mut version).into()));
    assert_eq!(version, 13_000);
    assert_eq!(call!(cuInit(0)), 100);
    assert_eq!(call!(cuDeviceGetCount((&mut count).into())), 3);
    assert_eq!(call!(cuDevicePrimaryCtxRetain((&mut context).into(), 0)), 3);
    assert_eq!(call!(cuMemAlloc_v2((&mut ptr).into(), 4)), 3);
    assert_eq!((count, context, ptr), (7, 0, 0));
}
