//! The environment describes the devices. One test, as it is read once.

mod common;

use std::ffi::CString;

use common::*;
use ptx_emu_cuda::device::*;
use ptx_emu_cuda::launch::*;
use ptx_emu_cuda::module::*;
use ptx_emu_cuda::types::*;

#[test]
fn an_old_driver_with_two_devices_refuses_new_files_and_counts_launches() {
    let file = std::env::temp_dir().join(format!("ptx-emu-counters-{}", std::process::id()));
    // SAFETY: this program has one test, and no other thread reads the environment.
    unsafe {
        std::env::set_var("PTX_EMU_DEVICES", "2");
        std::env::set_var("PTX_EMU_DEVICE", "a100");
        std::env::set_var("PTX_EMU_DRIVER_VERSION", "12040");
        std::env::set_var("PTX_EMU_COUNTERS", &file);
    }
    context();
    let (mut version, mut count, mut major) = (0, 0, 0);
    ok!(cuDriverGetVersion((&mut version).into()));
    ok!(cuDeviceGetCount((&mut count).into()));
    ok!(cuDeviceGetAttribute((&mut major).into(), 75, 1));
    assert_eq!((version, count, major), (12_040, 2, 8));

    let load = |text: &str| {
        let (text, mut module) = (CString::new(text).unwrap(), 0);
        call!(cuModuleLoadData((&mut module).into(), text.as_c_str().into()))
    };
    assert_eq!(load(ADD_ONE), 0);
    assert_eq!(load(&ADD_ONE.replace(".version 7.8", ".version 8.5")), 222);
    assert!(sentence(222).contains("Unsupported .version 8.5; current version is '8.4'"));
    assert_eq!(load(&ADD_ONE.replace("sm_80", "sm_90")), 209);

    let function = kernel(module(STORE_SEVEN), c"store_seven");
    let args = Args::new(&[upload(&[0])]);
    for _ in 0..2 {
        ok!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, 0, args.list(), In::null()));
    }
    let lines = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let start = "\"kernel\":\"store_seven\",\"grid\":[1, 1, 1],\"block\":[1, 1, 1],";
    assert!(lines.lines().all(|line| line.contains(start)), "{lines}");
    assert!(lines.contains("\"global_stores\":1,"), "{lines}");
}
