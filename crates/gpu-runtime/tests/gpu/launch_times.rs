//! Times of single launches.

use gpu_runtime::{DeviceBuffer, ErrorKind, GpuError, Launch, args};

use crate::common;

#[test]
fn every_launch_between_the_ends_is_timed_once() {
    let Some(device) = common::device() else { return };
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    let mut y = DeviceBuffer::<f32>::zeroed(&stream, 64).unwrap();
    let x = DeviceBuffer::<f32>::zeroed(&stream, 64).unwrap();
    let mut launch = || {
        let values = args![&mut y, &x, 2f32, 1f32, 64u32];
        // SAFETY: the kernel reads 64 values of x and writes as many of y.
        unsafe { affine.launch(&stream, &Launch::linear(2, 32), values) }
    };
    launch().unwrap();
    let both = || launch().and_then(|()| launch());
    let ((), times) = device.time_launches(both).unwrap();
    assert_eq!(times.len(), 2);
    assert!(times.iter().all(|time| &*time.kernel == "affine_f32" && time.ms >= 0.0));
    let ((), times) = device.time_launches(|| Ok::<(), GpuError>(())).unwrap();
    assert!(times.is_empty());
    assert_eq!(y.to_vec().unwrap(), [1.0; 64]);
}

#[test]
fn one_call_times_and_a_failed_one_ends() {
    let Some(device) = common::device() else { return };
    let nested = || device.time_launches(|| Ok::<(), GpuError>(())).map(|_| ());
    let error = device.time_launches(nested).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert!(error.detail().contains("one such call at a time"), "{error}");
    assert!(device.time_launches(|| Ok::<(), GpuError>(())).is_ok());
}
