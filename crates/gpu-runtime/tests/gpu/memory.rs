//! Memory comes, is copied, and goes.

use crate::common;

use gpu_runtime::{DeviceBuffer, ErrorKind, PinnedBuffer, Stream};

#[test]
fn what_goes_up_comes_down() {
    let Some(device) = common::device() else { return };
    let stream = Stream::new(&device).unwrap();
    for len in [0, 1, 3, 1000] {
        let values: Vec<i64> = (0..len).map(|k| k * k - 7).collect();
        let mut buffer = DeviceBuffer::from_slice(&stream, &values).unwrap();
        assert_eq!(buffer.to_vec().unwrap(), values);
        let negated: Vec<i64> = values.iter().map(|v| -v).collect();
        buffer.copy_from_slice(&negated).unwrap();
        assert_eq!(buffer.to_vec().unwrap(), negated);
    }
    let zeros = DeviceBuffer::<u16>::zeroed(&stream, 77).unwrap();
    assert_eq!(zeros.to_vec().unwrap(), [0; 77]);
}

#[test]
fn parts_are_copied_between_buffers() {
    let Some(device) = common::device() else { return };
    let stream = Stream::new(&device).unwrap();
    let from = DeviceBuffer::from_slice(&stream, &[1u8, 2, 3, 4, 5]).unwrap();
    let mut to = DeviceBuffer::<u8>::zeroed(&stream, 6).unwrap();
    let part = from.slice(1..4).unwrap();
    to.slice_mut(2..5).unwrap().copy_from(&stream, part).unwrap();
    assert_eq!(to.to_vec().unwrap(), [0, 0, 2, 3, 4, 0]);
    to.slice_mut(3..).unwrap().fill_zero(&stream).unwrap();
    assert_eq!(to.to_vec().unwrap(), [0, 0, 2, 0, 0, 0]);
    assert_eq!(to.slice(2..3).unwrap().to_vec(&stream).unwrap(), [2]);

    let error = to.as_slice_mut().copy_from(&stream, part).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert_eq!(to.copy_from_slice(&[1]).unwrap_err().kind(), ErrorKind::Argument);
}

#[test]
fn pinned_memory_waits_before_it_shows_its_values() {
    let Some(device) = common::device() else { return };
    let stream = Stream::new(&device).unwrap();
    let mut staging = PinnedBuffer::<u32>::zeroed(&device, 5000).unwrap();
    assert!(staging.as_slice().unwrap().iter().all(|&v| v == 0));
    for (k, value) in (0..).zip(staging.as_slice_mut().unwrap()) {
        *value = 3 * k;
    }
    let mut buffer = DeviceBuffer::<u32>::uninit(&stream, 5000).unwrap();
    buffer.as_slice_mut().copy_from_pinned(&stream, &staging).unwrap();
    staging.as_slice_mut().unwrap().fill(9);
    let part = buffer.slice(4000..).unwrap();
    part.copy_to_pinned(&stream, &mut staging).unwrap();
    let expected: Vec<u32> = (4000..5000).map(|k| 3 * k).collect();
    assert_eq!(staging.as_slice().unwrap()[..1000], expected);
    assert_eq!(staging.as_slice().unwrap()[1000..], [9; 4000]);

    let mut small = PinnedBuffer::<u32>::zeroed(&device, 10).unwrap();
    let error = buffer.as_slice().copy_to_pinned(&stream, &mut small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert!(PinnedBuffer::<u32>::zeroed(&device, 0).unwrap().as_slice().unwrap().is_empty());
}

#[test]
fn buffers_are_counted() {
    let Some(device) = common::device() else { return };
    let stream = Stream::new(&device).unwrap();
    let mib = 1 << 20;
    assert_eq!(device.memory_stats().unwrap().in_use, 0);
    let first = DeviceBuffer::<u8>::uninit(&stream, mib).unwrap();
    let second = DeviceBuffer::<f32>::uninit(&stream, mib).unwrap();
    let stats = device.memory_stats().unwrap();
    assert_eq!((stats.in_use, stats.in_use_peak), (5 * mib, 5 * mib));
    assert!(stats.held >= 5 * mib);
    drop((first, second));
    device.trim_memory(0).unwrap();
    let stats = device.memory_stats().unwrap();
    assert_eq!((stats.in_use, stats.in_use_peak), (0, 5 * mib));
    assert!(stats.held < 5 * mib, "{stats:?}");
}

#[test]
fn a_full_device_says_how_full() {
    let Some(device) = common::device() else { return };
    let stream = Stream::new(&device).unwrap();
    let bytes = device.facts().memory_bytes * 2;
    let error = DeviceBuffer::<u8>::uninit(&stream, bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.detail().contains("MiB are free"), "{error}");
    let error = DeviceBuffer::<u64>::uninit(&stream, usize::MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    // The device is as useful as before.
    assert_eq!(DeviceBuffer::<u8>::zeroed(&stream, 4).unwrap().to_vec().unwrap(), [0; 4]);
}
