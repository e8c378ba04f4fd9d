//! Modules are loaded and kernels launched, or refused with the driver's statuses.

mod common;

use std::ffi::{CStr, CString, c_char, c_void};

use common::*;
use ptx_emu_cuda::context::*;
use ptx_emu_cuda::function::*;
use ptx_emu_cuda::launch::*;
use ptx_emu_cuda::module::*;
use ptx_emu_cuda::occupancy::*;
use ptx_emu_cuda::stream::*;
use ptx_emu_cuda::types::*;

fn launch(function: CUfunction, grid: [u32; 3], block: [u32; 3], shared: u32, args: &Args) -> u32 {
    let ([a, b, c], [x, y, z]) = (grid, block);
    call!(cuLaunchKernel(function, a, b, c, x, y, z, shared, 0, args.list(), In::null()))
}

fn linear(function: CUfunction, threads: u32, args: &Args) -> u32 {
    launch(function, [1; 3], [threads, 1, 1], 0, args)
}

#[test]
fn a_kernel_runs_on_all_its_values() {
    context();
    let function = kernel(module(ADD_ONE), c"add_one");
    let x: Vec<u32> = (0..100).collect();
    let (from, to) = (upload(&x), upload(&[0; 100]));
    let args = Args::new(&[to, from, 100]);
    assert_eq!(launch(function, [4, 1, 1], [32, 1, 1], 0, &args), 0);
    assert_eq!(download(to, 100), (1..101).collect::<Vec<u32>>());
}

#[test]
fn arguments_may_come_in_one_buffer() {
    context();
    let function = kernel(module(ADD_ONE), c"add_one");
    let x = upload(&[4, 5]);
    let mut buffer = [0u8; 20];
    buffer[..8].copy_from_slice(&x.to_le_bytes());
    buffer[8..16].copy_from_slice(&x.to_le_bytes());
    buffer[16..].copy_from_slice(&2u32.to_le_bytes());
    let launch = |size: usize| {
        // The buffer, its size, the end.
        let extra = [1, buffer.as_ptr() as usize, 2, &raw const size as usize, 0];
        let extra = call!(In::at(extra.as_ptr().cast()));
        call!(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, 0, In::null(), extra))
    };
    assert_eq!(launch(20), 0);
    assert_eq!(launch(12), 1);
    assert_eq!(download(x, 2), [5, 6]);
}

#[test]
fn a_launch_has_attributes() {
    context();
    let function = kernel(module(STORE_SEVEN), c"store_seven");
    let to = upload(&[0]);
    let args = Args::new(&[to]);
    let attribute = |id, words: [u32; 3]| {
        let mut value = [0; 16];
        value[..3].copy_from_slice(&words);
        CUlaunchAttribute { id, pad: 0, value }
    };
    let run = |grid: u32, attributes: &[CUlaunchAttribute]| {
        let config = CUlaunchConfig {
            grid: [grid, 1, 1],
            block: [1; 3],
            shared_bytes: 0,
            stream: 0,
            attributes: attributes.as_ptr(),
            attribute_count: attributes.len() as u32,
        };
        call!(cuLaunchKernelEx((&config).into(), function, args.list(), In::null()))
    };
    assert_eq!(run(1, &[]), 0);
    assert_eq!(download(to, 1), [7]);
    assert_eq!(run(1, &[attribute(2, [1, 0, 0])]), 0);
    assert_eq!(run(1_000_000, &[attribute(2, [1, 0, 0])]), 720);
    assert_eq!(run(3, &[attribute(4, [2, 1, 1])]), 912);
    assert_eq!(run(16, &[attribute(4, [16, 1, 1])]), 912);
    assert_eq!(run(1, &[attribute(4, [0, 1, 1])]), 912);
    ok!(cuCtxSynchronize());
}

#[test]
fn what_a_device_cannot_launch_is_refused_with_a_reason() {
    context();
    let module = module(STORE_SEVEN);
    let store = kernel(module, c"store_seven");
    let args = Args::new(&[upload(&[0])]);
    let cases = [
        ([0, 1, 1], [32, 1, 1], 0, 1, "grid [0, 1, 1]"),
        ([1, 65_536, 1], [32, 1, 1], 0, 1, "grid [1, 65536, 1]"),
        ([1, 1, 1], [0, 1, 1], 0, 1, "block [0, 1, 1]"),
        ([1, 1, 1], [1025, 1, 1], 0, 1, "block [1025, 1, 1]"),
        ([1, 1, 1], [1, 1, 65], 0, 1, "block [1, 1, 65]"),
        ([1, 1, 1], [65_536, 65_536, 1], 0, 1, "block"),
        ([1, 1, 1], [32, 1, 1], 49_153, 1, "49153 bytes of dynamic shared memory"),
    ];
    for (grid, block, shared, status, text) in cases {
        assert_eq!(launch(store, grid, block, shared, &args), status);
        let sentence = sentence(status);
        assert!(sentence.starts_with("store_seven: ") && sentence.contains(text), "{sentence}");
    }
    let none = Args::new(&[]);
    assert_eq!(linear(kernel(module, c"bounded"), 65, &none), 701);
    assert_eq!(linear(kernel(module, c"bounded"), 64, &none), 0);
    assert_eq!(linear(kernel(module, c"fixed"), 64, &none), 1);
    assert_eq!(launch(kernel(module, c"fixed"), [1; 3], [32, 2, 1], 0, &none), 0);
    assert_eq!(call!(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, 0, In::null(), In::null())), 1);
    assert_eq!(linear(12345, 1, &none), 400);
    ok!(cuCtxSynchronize());
}

#[test]
fn dynamic_shared_memory_is_raised_by_asking() {
    context();
    let store = kernel(module(STORE_SEVEN), c"store_seven");
    let args = Args::new(&[upload(&[0])]);
    let mut most = 0;
    ok!(cuFuncGetAttribute((&mut most).into(), 8, store));
    assert_eq!(most, 49_152);
    assert_eq!(call!(cuFuncSetAttribute(store, 8, 232_449)), 1);
    ok!(cuFuncSetAttribute(store, 8, 232_448));
    assert_eq!(launch(store, [1; 3], [1; 3], 232_448, &args), 0);
}

#[test]
fn functions_and_variables_are_described() {
    context();
    let module = module(STORE_SEVEN);
    let bounded = kernel(module, c"bounded");
    let ask = |function, number| {
        let mut value = -1;
        ok!(cuFuncGetAttribute((&mut value).into(), number, function));
        value
    };
    assert_eq!((ask(bounded, 0), ask(bounded, 1), ask(bounded, 5)), (64, 4096, 78));
    assert_eq!(ask(bounded, 6), 90);
    assert!((1..=255).contains(&ask(bounded, 4)));
    assert_eq!(bounded, kernel(module, c"bounded"));
    let mut blocks = 0;
    let of = |threads, shared| {
        call!(cuOccupancyMaxActiveBlocksPerMultiprocessor(
            (&mut blocks).into(),
            bounded,
            threads,
            shared
        ));
        blocks
    };
    let mut of = of;
    assert_eq!(of(64, 0), 32);
    assert_eq!(of(64, 227 * 1024 - 4096), 1);
    assert_eq!(of(128, 0), 0);

    let (mut address, mut bytes) = (0, 0);
    ok!(cuModuleGetGlobal_v2(
        (&mut address).into(),
        (&mut bytes).into(),
        module,
        c"counter".into()
    ));
    assert_eq!((bytes, download(address, 1)), (4, vec![41]));
    ok!(cuModuleGetGlobal_v2((&mut address).into(), (&mut bytes).into(), module, c"table".into()));
    assert_eq!((bytes, download(address, 6)), (24, vec![1, 0, 2, 0, 3, 0]));
    assert_eq!(
        call!(cuModuleGetGlobal_v2(Out::null(), (&mut bytes).into(), module, c"none".into())),
        500
    );
    let mut function = 0;
    assert_eq!(call!(cuModuleGetFunction((&mut function).into(), module, c"bound".into())), 500);
    assert!(sentence(500).contains("the file has store_seven, bounded, fixed"));
    ok!(cuModuleUnload(module));
    assert_eq!(call!(cuModuleUnload(module)), 400);
    assert_eq!(linear(bounded, 1, &Args::new(&[])), 400);
}

#[test]
fn the_log_says_what_is_wrong_with_a_text() {
    context();
    let load = |text: &str| {
        let text = CString::new(text).unwrap();
        let mut log = [1 as c_char; 200];
        let mut info = [1 as c_char; 10];
        let options = [5u32, 6, 3, 4];
        let mut values = [log.as_mut_ptr() as usize, 200, info.as_mut_ptr() as usize, 10];
        let mut module = 0;
        let status = call!(cuModuleLoadDataEx(
            (&mut module).into(),
            text.as_c_str().into(),
            4,
            In::at(options.as_ptr()),
            Out::at(values.as_mut_ptr())
        ));
        let log = call!(CStr::from_ptr(log.as_ptr())).to_str().unwrap().to_owned();
        assert_eq!((values[1], values[3], info[0]), (log.len(), 0, 0));
        (status, log)
    };
    assert_eq!(load(STORE_SEVEN), (0, String::new()));
    let (status, log) = load(&STORE_SEVEN.replace("st.global.u32", "nonsense.u32"));
    assert_eq!(status, 218);
    let place = format!(".ptx:{}:", line_of(STORE_SEVEN, "st.global.u32"));
    assert!(log.contains(&place), "{log}");
    let (status, log) = load(&STORE_SEVEN.replace("sm_80", "sm_100"));
    assert_eq!(status, 209);
    assert!(log.contains("sm_100 does not run on"), "{log}");
    assert_eq!(load("int main() {}").0, 200);
    assert_eq!(load("").0, 200);
    assert_eq!(load("\x7fELF\x02\x01").0, 209);
    let (status, log) = load(&STORE_SEVEN.replace(".version 7.8", ".version 99.0"));
    assert_eq!(status, 222);
    assert!(log.contains("Unsupported .version 99.0; current version is '9.0'"), "{log}");
}

#[test]
fn a_file_is_loaded_by_its_path() {
    context();
    let folder = env!("CARGO_MANIFEST_DIR");
    let path = CString::new(format!("{folder}/tests/kernels/add_one.ptx")).unwrap();
    let mut module = 0;
    ok!(cuModuleLoad((&mut module).into(), path.as_c_str().into()));
    kernel(module, c"add_one");
    assert_eq!(call!(cuModuleLoad((&mut module).into(), c"/none.ptx".into())), 301);
}

#[test]
fn host_functions_run_in_their_turn() {
    extern "C" fn push(data: *mut c_void) {
        // SAFETY: the test passes a vector that outlives the call.
        unsafe { &mut *data.cast::<Vec<u32>>() }.push(1);
    }
    extern "C" fn told(_stream: CUstream, status: CUresult, data: *mut c_void) {
        // SAFETY: as above.
        unsafe { &mut *data.cast::<Vec<u32>>() }.push(10 + status);
    }
    context();
    let mut calls = Vec::<u32>::new();
    let data = call!(Out::at((&raw mut calls).cast()));
    ok!(cuLaunchHostFunc(0, Some(push), data));
    ok!(cuStreamAddCallback(0, Some(told), data, 0));
    assert_eq!(call!(cuLaunchHostFunc(0, None, data)), 1);
    assert_eq!(calls, [1, 10]);
}

#[test]
fn threads_share_a_context() {
    let own = context();
    let function = kernel(module(ADD_ONE), c"add_one");
    let x = upload(&[0; 32]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                ok!(cuCtxSetCurrent(own));
                let args = Args::new(&[x, x, 32]);
                for _ in 0..25 {
                    assert_eq!(linear(function, 32, &args), 0);
                }
            });
        }
    });
    assert_eq!(download(x, 32), [100; 32]);
}
