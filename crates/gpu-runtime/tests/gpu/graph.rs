//! Work is recorded once and run many times.

use crate::common;

use gpu_runtime::{Arg, DeviceBuffer, ErrorKind, Launch, args};

#[test]
fn a_graph_repeats_what_was_recorded() {
    let Some(device) = common::device() else { return };
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    let mut x = DeviceBuffer::from_slice(&stream, &[1f32, 2., 3.]).unwrap();
    let copy = DeviceBuffer::<f32>::zeroed(&stream, 3).unwrap();
    stream.synchronize().unwrap();
    let address = x.address();
    let graph = stream
        .capture(|stream| {
            assert!(stream.is_capturing()?);
            for (a, b) in [(2f32, 0f32), (1., 1.)] {
                let values = args![&mut x, Arg::address(address), a, b, 3u32];
                // SAFETY: three values in place.
                unsafe { affine.launch(stream, &Launch::linear(1, 32), values)? };
            }
            Ok(())
        })
        .unwrap()
        .keep(copy);
    assert_eq!(graph.nodes(), 2);
    assert!(!stream.is_capturing().unwrap());
    assert_eq!(x.to_vec().unwrap(), [1., 2., 3.], "recording runs nothing");
    for _ in 0..3 {
        // SAFETY: x is alive and nothing else uses it.
        unsafe { graph.launch(&stream).unwrap() };
    }
    // v -> 2 v + 1, three times: 8 v + 7.
    assert_eq!(x.to_vec().unwrap(), [15., 23., 31.]);
}

#[test]
fn copies_and_fills_on_the_device_are_recorded() {
    let Some(device) = common::device() else { return };
    let stream = gpu_runtime::Stream::new(&device).unwrap();
    let from = DeviceBuffer::from_slice(&stream, &[5u32, 6]).unwrap();
    let mut to = DeviceBuffer::from_slice(&stream, &[1u32; 4]).unwrap();
    let graph = stream
        .capture(|stream| {
            to.slice_mut(..2)?.fill_zero(stream)?;
            to.slice_mut(2..)?.copy_from(stream, from.as_slice())
        })
        .unwrap();
    assert_eq!(graph.nodes(), 2);
    // SAFETY: both buffers are alive and nothing else uses them.
    unsafe { graph.launch(&stream).unwrap() };
    assert_eq!(to.to_vec().unwrap(), [0, 0, 5, 6]);
}

#[test]
fn what_a_graph_cannot_hold_is_refused_and_the_stream_goes_on() {
    let Some(device) = common::device() else { return };
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    let mut x = DeviceBuffer::from_slice(&stream, &[1f32, 2.]).unwrap();
    let spare = DeviceBuffer::<f32>::zeroed(&stream, 1000).unwrap();
    stream.synchronize().unwrap();
    let in_use = device.memory_stats().unwrap().in_use;

    let error = stream.capture(|stream| DeviceBuffer::<u8>::uninit(stream, 1).map(drop));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Capture);
    assert_eq!(stream.capture(|_| x.to_vec().map(drop)).unwrap_err().kind(), ErrorKind::Capture);
    let error = stream.capture(|_| x.copy_from_slice(&[0.0; 2])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capture);

    // A buffer that is dropped in a capture is given back after it.
    let address = x.address();
    let graph = stream
        .capture(|stream| {
            drop(spare);
            let values = args![&mut x, Arg::address(address), 3f32, 0f32, 2u32];
            // SAFETY: two values in place.
            unsafe { affine.launch(stream, &Launch::linear(1, 32), values) }
        })
        .unwrap();
    assert_eq!(graph.nodes(), 1);
    assert_eq!(device.memory_stats().unwrap().in_use, in_use - 4000);
    assert_eq!(x.to_vec().unwrap(), [1., 2.]);
    // SAFETY: x is alive and nothing else uses it.
    unsafe { graph.launch(&stream).unwrap() };
    assert_eq!(x.to_vec().unwrap(), [3., 6.]);
}
