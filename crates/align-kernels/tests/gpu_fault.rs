//! A kernel that fails while it runs. Alone in its program: afterwards the context is lost.

#[path = "gpu/device.rs"]
mod device;

use align_kernels::device::{DevicePoints, DeviceValues};
use align_kernels::sinkhorn::{Options, Weights, sinkhorn};
use align_kernels::{ErrorKind, Ragged};
use gpu_runtime::DeviceSlice;

#[test]
fn a_fault_on_the_device_names_the_kernel() {
    let Some(stream) = device::stream() else { return };
    // SAFETY: none is given: nothing is at the address, and the device notices.
    let nowhere: DeviceSlice<'_, f32> = unsafe { DeviceSlice::from_raw(4096, 8) };
    let points = DevicePoints::new(&stream, DeviceValues::F32(nowhere), 4, 2).unwrap();
    let cloud = Ragged::single_on_device(points);
    let error = sinkhorn(&cloud, &cloud, Weights::default(), &Options::default()).unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Device, "sinkhorn"), "{error}");
    assert!(error.detail().contains("row_norms_v1_f32"), "{error}");
    assert!(error.hint().unwrap().contains("the context is lost"), "{error}");
}
