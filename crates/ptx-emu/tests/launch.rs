//! Launches: shapes, arguments, and what a launch that goes wrong says.

use ptx_emu::{Arg, Fault, FaultKind, Gpu, LaunchConfig, Module, Options, Program};

/// Adds `step` to each of the elements that the threads of the grid stand on.
const ADD: &str = "
.version 7.8
.target sm_80
.address_size 64
.visible .entry add_step(.param .u64 param_x, .param .u32 param_step)
{
    .reg .u32 %i, %x, %step, %ntid;
    .reg .u64 %at;
    mov.u32 %ntid, %ntid.x;
    mov.u32 %i, %ctaid.x;
    mad.lo.u32 %i, %i, %ntid, %tid.x;
    ld.param.u64 %at, [param_x];
    ld.param.u32 %step, [param_step];
    cvta.to.global.u64 %at, %at;
    mad.wide.u32 %at, %i, 4, %at;
    ld.global.u32 %x, [%at];
    add.u32 %x, %x, %step;
    st.global.u32 [%at], %x;
    ret;
}
";

/// Stores the place of each thread in its block and grid, an element each.
const PLACES: &str = "
.version 7.8
.target sm_80
.address_size 64
.visible .entry places(.param .u64 param_out)
{
    .reg .u32 %block, %thread, %t, %n, %place;
    .reg .u64 %at;
    // The number of the block along x, then y, then z.
    mov.u32 %block, %ctaid.z;
    mov.u32 %n, %nctaid.y;
    mov.u32 %t, %ctaid.y;
    mad.lo.u32 %block, %block, %n, %t;
    mov.u32 %n, %nctaid.x;
    mov.u32 %t, %ctaid.x;
    mad.lo.u32 %block, %block, %n, %t;
    // That of the thread, in the same way.
    mov.u32 %thread, %tid.z;
    mov.u32 %n, %ntid.y;
    mov.u32 %t, %tid.y;
    mad.lo.u32 %thread, %thread, %n, %t;
    mov.u32 %n, %ntid.x;
    mov.u32 %t, %tid.x;
    mad.lo.u32 %thread, %thread, %n, %t;
    mov.u32 %place, %ntid.x;
    mov.u32 %n, %ntid.y;
    mul.lo.u32 %place, %place, %n;
    mov.u32 %n, %ntid.z;
    mul.lo.u32 %place, %place, %n;
    mad.lo.u32 %place, %place, %block, %thread;
    ld.param.u64 %at, [param_out];
    cvta.to.global.u64 %at, %at;
    mad.wide.u32 %at, %place, 4, %at;
    st.global.u32 [%at], %place;
    ret;
}
";

fn load(gpu: &Gpu, name: &str, source: &str) -> Program {
    let module = Module::parse(name, source).unwrap_or_else(|error| panic!("{error}"));
    gpu.load(&module).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Adds 7 to 0, 1, 2, ... and gives the sums.
fn add(gpu: &Gpu, count: usize, grid: u32, block: u32) -> Result<Vec<u32>, Fault> {
    let program = load(gpu, "add_step.ptx", ADD);
    let x: Vec<u32> = (0..count as u32).collect();
    let ptr = gpu.upload(&x)?;
    gpu.launch(
        &program,
        "add_step",
        &LaunchConfig::linear(grid, block),
        &[ptr.into(), 7u32.into()],
    )?;
    gpu.download(ptr, count)
}

#[test]
fn every_thread_of_every_block_runs_once() {
    for (grid, block) in [(1, 1), (1, 31), (1, 32), (1, 33), (3, 100), (7, 64), (2, 1024), (40, 5)]
    {
        let count = (grid * block) as usize;
        let expected: Vec<u32> = (7..7 + count as u32).collect();
        assert_eq!(add(&Gpu::default(), count, grid, block).unwrap(), expected, "{grid} x {block}");
    }
}

#[test]
fn grids_and_blocks_have_three_axes() {
    let gpu = Gpu::default();
    let program = load(&gpu, "places.ptx", PLACES);
    for (grid, block) in [([2, 3, 4], [5, 3, 2]), ([1, 1, 2], [1, 7, 1]), ([4, 1, 1], [8, 8, 16])] {
        let count = grid.iter().chain(&block).product::<u32>();
        let ptr = gpu.alloc(4 * count as usize).unwrap();
        gpu.launch(&program, "places", &LaunchConfig::new(grid, block), &[ptr.into()]).unwrap();
        let places = gpu.download::<u32>(ptr, count as usize).unwrap();
        assert_eq!(places, (0..count).collect::<Vec<u32>>(), "{grid:?} {block:?}");
    }
}

#[test]
fn the_order_of_warps_and_the_number_of_workers_change_nothing() {
    let expected: Vec<u32> = (7..7 + 960).collect();
    for seed in 0..4 {
        for threads in 1..4 {
            let gpu = Gpu::new(Options { seed, threads, ..Options::default() });
            assert_eq!(add(&gpu, 960, 10, 96).unwrap(), expected);
        }
    }
}

#[test]
fn memory_traffic_is_counted_in_sectors() {
    let gpu = Gpu::default();
    let program = load(&gpu, "add_step.ptx", ADD);
    let ptr = gpu.upload(&[0u32; 100]).unwrap();
    let config = LaunchConfig::linear(1, 100);
    let counters = gpu.launch(&program, "add_step", &config, &[ptr.into(), 7u32.into()]).unwrap();
    // 400 bytes in sectors of 32.
    assert_eq!(counters.load_sectors, 13);
}

#[test]
fn a_thread_past_the_end_is_named() {
    let fault = add(&Gpu::default(), 99, 1, 100).unwrap_err();
    assert_eq!(fault.kind, FaultKind::OutOfBounds);
    assert_eq!((fault.cta, fault.warp, fault.lane), (Some([0, 0, 0]), Some(3), Some(3)));
    let place = "add_step.ptx:16: add_step: cta (0,0,0) warp 3 lane 3: load of 4 bytes";
    assert!(fault.to_string().starts_with(place), "{fault}");
    // Blocks that fit come first; the one that does not is named, on any number of workers.
    for threads in 1..4 {
        let gpu = Gpu::new(Options { threads, ..Options::default() });
        let fault = add(&gpu, 110, 3, 40).unwrap_err();
        assert_eq!((fault.cta, fault.warp, fault.lane), (Some([2, 0, 0]), Some(0), Some(30)));
    }
}

#[test]
fn arguments_must_fit_the_parameters() {
    let gpu = Gpu::default();
    let program = load(&gpu, "add_step.ptx", ADD);
    let config = LaunchConfig::linear(1, 32);
    let launch = |kernel: &str, args: &[Arg]| {
        let fault = gpu.launch(&program, kernel, &config, args).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Launch);
        fault.to_string()
    };
    let ptr = gpu.upload(&[0u32; 32]).unwrap();
    let text = launch("add_step", &[ptr.into()]);
    assert_eq!(text, "add_step: expected 2 arguments, got 1");
    let text = launch("add_step", &[ptr.into(), 7u64.into()]);
    assert_eq!(text, "add_step: argument param_step: expected 4 bytes, got 8");
    let text = launch("subtract", &[]);
    assert_eq!(text, "add_step.ptx: no kernel `subtract`, the file has add_step");
    let fault = gpu.launch_bytes(&program, "add_step", &config, &[0; 11]).unwrap_err();
    assert_eq!(fault.to_string(), "add_step: expected 12 bytes of parameters, got 11");
}

#[test]
fn a_parameter_block_is_laid_out_as_the_driver_does() {
    let gpu = Gpu::default();
    let program = load(&gpu, "add_step.ptx", ADD);
    let ptr = gpu.upload(&[1u32; 32]).unwrap();
    let mut block = ptr.to_le_bytes().to_vec();
    block.extend(5u32.to_le_bytes());
    gpu.launch_bytes(&program, "add_step", &LaunchConfig::linear(1, 32), &block).unwrap();
    assert_eq!(gpu.download::<u32>(ptr, 32).unwrap(), [6; 32]);
}

#[test]
fn shapes_that_no_device_takes() {
    let gpu = Gpu::default();
    let program = load(&gpu, "places.ptx", PLACES);
    let ptr = gpu.alloc(4).unwrap();
    for (grid, block) in [
        ([1, 1, 1], [0, 1, 1]),
        ([1, 1, 1], [1025, 1, 1]),
        ([1, 1, 1], [32, 33, 1]),
        ([1, 1, 1], [1, 1, 65]),
        ([0, 1, 1], [1, 1, 1]),
        ([1, 65_536, 1], [1, 1, 1]),
    ] {
        let config = LaunchConfig::new(grid, block);
        let fault = gpu.launch(&program, "places", &config, &[ptr.into()]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Launch, "{grid:?} {block:?}: {fault}");
    }
    let config = LaunchConfig::linear(1, 1).with_shared(228 * 1024);
    let fault = gpu.launch(&program, "places", &config, &[ptr.into()]).unwrap_err();
    assert!(fault.to_string().contains("bytes of shared memory"), "{fault}");
}

#[test]
fn a_loop_without_end_stops_at_the_limit() {
    let source = "
.version 7.8
.target sm_80
.address_size 64
.visible .entry forever()
{
again:
    bra again;
}
";
    let gpu = Gpu::new(Options { instruction_limit: 10_000, ..Options::default() });
    let program = load(&gpu, "forever.ptx", source);
    let fault = gpu.launch(&program, "forever", &LaunchConfig::linear(2, 32), &[]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Limit);
    assert!(fault.to_string().contains("a loop without end?"), "{fault}");
}
