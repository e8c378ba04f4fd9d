//! A kernel that fails while it runs. Alone in its program: afterwards the context is lost.

#[path = "gpu/common.rs"]
mod common;

use gpu_runtime::{Arg, DeviceBuffer, ErrorKind, Launch, args};

#[test]
fn a_fault_names_the_kernel_that_was_launched() {
    let Some(device) = common::device() else { return };
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    let mut y = DeviceBuffer::<f32>::zeroed(&stream, 32).unwrap();
    stream.synchronize().unwrap();
    let values = args![&mut y, Arg::address(0), 1f32, 0f32, 32u32];
    // SAFETY: none is given: the address is null on purpose, and the device notices.
    let launched = unsafe { affine.launch(&stream, &Launch::linear(1, 32), values) };
    // A device reports at the wait, the interpreter may report at once.
    let error = launched.and_then(|()| stream.synchronize()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fault, "{error}");
    assert!(error.to_string().contains("affine_f32"), "{error}");
    assert!(error.hint_text().unwrap().contains("the context is lost"), "{error}");
    // Nothing panics on the way out, though every call now fails.
    drop(y);
    drop((affine, stream, device));
}
