//! Launches compute what they should, and refuse what does not fit.

use crate::common;

use gpu_runtime::{
    Arg, Device, DeviceBuffer, DeviceOptions, ErrorKind, Launch, Priority, Stream, args,
};

fn ramp(len: usize) -> Vec<f32> {
    (0..len).map(|k| k as f32).collect()
}

#[test]
fn a_kernel_runs_on_all_its_values() {
    let Some(device) = common::device() else { return };
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    for len in [1, 31, 128, 129, 1000] {
        let x = DeviceBuffer::from_slice(&stream, &ramp(len)).unwrap();
        let mut y = DeviceBuffer::<f32>::zeroed(&stream, len).unwrap();
        let values = args![&mut y, &x, 2f32, 0.5f32, len as u32];
        // SAFETY: x and y have `len` values.
        unsafe { affine.launch(&stream, &Launch::over(len, 128), values).unwrap() };
        let expected: Vec<f32> = ramp(len).iter().map(|v| 2.0 * v + 0.5).collect();
        assert_eq!(y.to_vec().unwrap(), expected, "{len}");
    }
}

#[test]
fn a_part_of_a_buffer_is_an_argument() {
    let Some(device) = common::device() else { return };
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    let mut x = DeviceBuffer::from_slice(&stream, &ramp(10)).unwrap();
    let middle = x.slice_mut(3..6).unwrap();
    let address = middle.address();
    let values = args![middle, Arg::address(address), -1f32, 0f32, 3u32];
    // SAFETY: three values are read and written in place.
    unsafe { affine.launch(&stream, &Launch::linear(1, 32), values).unwrap() };
    assert_eq!(x.to_vec().unwrap(), [0., 1., 2., -3., -4., -5., 6., 7., 8., 9.]);
}

#[test]
fn dynamic_shared_memory_has_a_limit_that_can_be_raised() {
    let Some(device) = common::device() else { return };
    let (reverse, stream) = common::kernel(&device, common::REVERSE, "reverse_u32");
    let input: Vec<u32> = (0..512).collect();
    let run = |bytes| {
        let mut x = DeviceBuffer::from_slice(&stream, &input).unwrap();
        let launch = Launch::linear(2, 256).dynamic_shared(bytes);
        // SAFETY: the grid covers the 512 values; at least 1024 bytes are shared.
        unsafe { reverse.launch(&stream, &launch, args![&mut x])? };
        x.to_vec()
    };
    let expected: Vec<u32> = (0..256).rev().chain((256..512).rev()).collect();
    assert_eq!(run(1024).unwrap(), expected);

    let (facts, most) = (device.facts(), device.facts().shared_per_block_optin);
    let error = run(facts.shared_per_block + 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Launch);
    assert!(error.hint_text().unwrap().contains("set_dynamic_shared"), "{error}");
    reverse.set_dynamic_shared(most).unwrap();
    assert_eq!(run(most).unwrap(), expected);
    assert_eq!(reverse.set_dynamic_shared(most + 1).unwrap_err().kind(), ErrorKind::Launch);
}

#[test]
fn wrong_arguments_do_not_reach_the_driver() {
    let Some(device) = common::device() else { return };
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    let x = DeviceBuffer::<f32>::zeroed(&stream, 4).unwrap();
    let launch = Launch::linear(1, 32);
    let cases: [(&[Arg<'_>], &str); 3] = [
        (args![&x, &x, 1f32, 2f32], "expected 5 arguments, got 4"),
        (args![&x, &x, 1f64, 2f32, 4u32], "argument 2 `param_a`: expected .f32"),
        (args![&x, 4u32, 1f32, 2f32, 4u32], "argument 1 `param_x`: expected .u64"),
    ];
    for (values, expected) in cases {
        // SAFETY: refused before anything is launched.
        let error = unsafe { affine.launch(&stream, &launch, values) }.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        assert!(error.to_string().starts_with("affine_f32: "), "{error}");
        assert!(error.detail().contains(expected), "{error}");
    }
    let empty = Launch::linear(0, 32);
    let values = args![&x, &x, 1f32, 2f32, 4u32];
    // SAFETY: refused before anything is launched.
    let error = unsafe { affine.launch(&stream, &empty, values) }.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Launch);
    stream.synchronize().unwrap();
}

#[test]
fn attributes_and_occupancy_are_plausible() {
    let Some(device) = common::device() else { return };
    let (affine, _) = common::kernel(&device, common::AFFINE, "affine_f32");
    let attributes = affine.attributes();
    assert!(attributes.max_threads >= 256, "{attributes:?}");
    assert_eq!((attributes.local_bytes, attributes.static_shared), (0, 0));
    assert_eq!(affine.params().len(), 5);
    let blocks = affine.blocks_per_sm(128, 0).unwrap();
    assert!(blocks >= 1);
    let all = affine.cooperative_blocks(128, 0).unwrap();
    assert_eq!(all, blocks * device.facts().sm_count);
}

#[test]
fn blocks_of_a_cooperative_grid_meet() {
    let Some(device) = common::device() else { return };
    if !device.facts().cooperative {
        println!("skipped: the device has no cooperative launch");
        return;
    }
    let (barrier, stream) = common::kernel(&device, common::GRID_BARRIER, "grid_barrier_u32");
    let blocks = 6u32;
    let mut out = DeviceBuffer::<u32>::zeroed(&stream, 6).unwrap();
    let mut slots = DeviceBuffer::<u32>::zeroed(&stream, 6).unwrap();
    let mut counter = DeviceBuffer::<u32>::zeroed(&stream, 1).unwrap();
    let launch = Launch::linear(blocks, 1).cooperative();
    // SAFETY: out and slots have a value for each block, the counter is one zero.
    unsafe { barrier.launch(&stream, &launch, args![&mut out, &mut slots, &mut counter]).unwrap() };
    assert_eq!(out.to_vec().unwrap(), [2, 3, 4, 5, 6, 1]);
}

#[test]
fn blocks_of_a_cluster_know_their_rank() {
    let Some(device) = common::device() else { return };
    if !device.facts().clusters {
        println!("skipped: the device has no clusters");
        return;
    }
    let (rank, stream) = common::kernel(&device, common::CLUSTER_RANK, "cluster_rank_u32");
    let launch = Launch::linear(6, 1).cluster([2, 1, 1]);
    assert!(rank.active_clusters(&launch).unwrap() >= 1);
    let mut out = DeviceBuffer::<u32>::zeroed(&stream, 6).unwrap();
    // SAFETY: out has a value for each block.
    unsafe { rank.launch(&stream, &launch, args![&mut out]).unwrap() };
    assert_eq!(out.to_vec().unwrap(), [0, 1, 0, 1, 0, 1]);
}

#[test]
fn streams_wait_for_each_other_and_are_timed() {
    let Some(device) = common::device() else { return };
    let (affine, first) = common::kernel(&device, common::AFFINE, "affine_f32");
    let second = Stream::with_priority(&device, Priority::High).unwrap();
    let mut x = DeviceBuffer::from_slice(&first, &ramp(1000)).unwrap();
    let start = first.record().unwrap();
    let step = |stream: &Stream, x: &mut DeviceBuffer<f32>, a: f32, b: f32| {
        let address = Arg::address(x.address());
        let values = args![x, address, a, b, 1000u32];
        // SAFETY: 1000 values in place; the streams are ordered below.
        unsafe { affine.launch(stream, &Launch::over(1000, 128), values).unwrap() };
    };
    step(&first, &mut x, 2.0, 0.0);
    second.wait_for(&first).unwrap();
    step(&second, &mut x, 1.0, 3.0);
    first.wait_for(&second).unwrap();
    step(&first, &mut x, 2.0, 0.0);
    let end = first.record().unwrap();
    let expected: Vec<f32> = ramp(1000).iter().map(|v| (2.0 * v + 3.0) * 2.0).collect();
    assert_eq!(x.to_vec().unwrap(), expected);
    assert!(end.is_reached().unwrap() && first.is_idle().unwrap());
    assert!(end.ms_since(&start).unwrap() >= 0.0);
}

#[test]
fn threads_use_streams_of_their_own() {
    let Some(device) = common::device() else { return };
    std::thread::scope(|scope| {
        for k in 0..4u32 {
            let device = &device;
            scope.spawn(move || {
                let (affine, stream) = common::kernel(device, common::AFFINE, "affine_f32");
                let x = DeviceBuffer::from_slice(&stream, &ramp(500)).unwrap();
                let mut y = DeviceBuffer::<f32>::zeroed(&stream, 500).unwrap();
                let values = args![&mut y, &x, k as f32, 1f32, 500u32];
                // SAFETY: x and y have 500 values.
                unsafe { affine.launch(&stream, &Launch::over(500, 64), values).unwrap() };
                let expected: Vec<f32> = ramp(500).iter().map(|v| k as f32 * v + 1.0).collect();
                assert_eq!(y.to_vec().unwrap(), expected);
            });
        }
    });
}

#[test]
fn blocking_and_plain_allocation_give_the_same_numbers() {
    if !common::asked() {
        return;
    }
    let options = DeviceOptions::default().launch_blocking(true).memory_pool(false);
    let device = Device::cuda_with(0, options).unwrap();
    let (affine, stream) = common::kernel(&device, common::AFFINE, "affine_f32");
    let x = DeviceBuffer::from_slice(&stream, &ramp(100)).unwrap();
    let mut y = DeviceBuffer::<f32>::uninit(&stream, 100).unwrap();
    let values = args![&mut y, &x, 1f32, 1f32, 100u32];
    // SAFETY: x and y have 100 values.
    unsafe { affine.launch(&stream, &Launch::over(100, 32), values).unwrap() };
    assert!(stream.is_idle().unwrap());
    assert_eq!(y.to_vec().unwrap()[99], 100.0);
    let stats = device.memory_stats().unwrap();
    assert_eq!((stats.in_use, stats.held), (800, 800));
}
