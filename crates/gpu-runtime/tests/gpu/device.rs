//! A device is opened, describes itself, and refuses what it cannot do.

use crate::common;

use gpu_runtime::{Device, DeviceBuffer, ErrorKind, Module, Stream, doctor, probe};

/// Compiles only if all handles can be sent to and shared by threads.
#[test]
fn handles_belong_to_no_thread() {
    fn shared<T: Send + Sync>() {}
    shared::<(Device, Stream, Module, gpu_runtime::Kernel, gpu_runtime::Event)>();
    shared::<(DeviceBuffer<f32>, gpu_runtime::PinnedBuffer<f32>, gpu_runtime::Graph)>();
    shared::<(gpu_runtime::Blas, gpu_runtime::GpuError)>();
}

#[test]
fn facts_are_those_of_a_gpu() {
    let Some(device) = common::device() else { return };
    let facts = device.facts();
    assert_eq!(facts.warp_size, 32);
    assert!(facts.sm_count > 0 && facts.memory_bytes > 0);
    assert!(facts.compute_capability >= gpu_runtime::COMPUTE_FLOOR);
    assert!(facts.driver >= gpu_runtime::DRIVER_FLOOR);
    assert!(facts.shared_per_block <= facts.shared_per_block_optin);
    assert!(facts.shared_per_block_optin <= facts.shared_per_sm);
    assert!(facts.threads_per_block >= 1024 && facts.threads_per_sm >= 1024);
    let (free, total) = device.free_memory().unwrap();
    assert!(free <= total && total <= facts.memory_bytes);
    assert_eq!(probe().unwrap().devices[0].name, facts.name);
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    if !common::asked() {
        return;
    }
    let error = Device::cuda(1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoDevice);
    assert!(error.to_string().starts_with("cuda:1000: no such device"), "{error}");
}

#[test]
fn the_doctor_finds_it_usable() {
    if !common::asked() {
        return;
    }
    let report = doctor::examine();
    assert!(report.is_usable(), "{report}");
}

#[test]
fn two_handles_of_a_device_share_its_memory() {
    let Some(first) = common::device() else { return };
    let second = Device::cuda(0).unwrap();
    assert!(first.is_same(&second));
    let buffer = DeviceBuffer::from_slice(&Stream::new(&first).unwrap(), &[1u32, 2]).unwrap();
    let stream = Stream::new(&second).unwrap();
    assert_eq!(buffer.as_slice().to_vec(&stream).unwrap(), [1, 2]);
}

#[test]
fn a_text_is_assembled_once() {
    let Some(device) = common::device() else { return };
    let first = Module::load_ptx(&device, "a.ptx", common::AFFINE).unwrap();
    let again = Module::load_ptx(&device, "b.ptx", common::AFFINE).unwrap();
    let other = Module::load_ptx(&device, "c.ptx", common::REVERSE).unwrap();
    let by_address = Module::load_static(&device, "d.ptx", common::AFFINE).unwrap();
    assert_eq!(by_address.name(), "a.ptx");
    assert!(std::ptr::eq(first.text(), again.text()));
    assert!(!std::ptr::eq(first.text(), other.text()));
    assert_eq!(again.name(), "a.ptx");
}

#[test]
fn bad_ptx_comes_back_with_the_assemblers_words() {
    let Some(device) = common::device() else { return };
    let source = common::AFFINE.replace("fma.rn.f32", "nonsense.f32");
    let error = Module::load_ptx(&device, "bad.ptx", &source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Jit);
    assert!(error.to_string().starts_with("bad.ptx: "), "{error}");
    assert!(error.detail().contains("; assembler: "), "{error}");
}

#[test]
fn ptx_for_another_driver_or_device_is_refused_in_plain_words() {
    let Some(device) = common::device() else { return };
    if device.facts().newest_ptx.is_some() {
        let source = common::AFFINE.replace(".version 7.0", ".version 99.0");
        let error = Module::load_ptx(&device, "new.ptx", &source).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PtxTooNew);
    }
    let source = common::AFFINE.replace(".target sm_80", ".target sm_999");
    let error = Module::load_ptx(&device, "other.ptx", &source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongTarget);
}

#[test]
fn a_kernel_that_is_not_there_is_an_error_that_names_the_others() {
    let Some(device) = common::device() else { return };
    let module = Module::load_ptx(&device, "a.ptx", common::AFFINE).unwrap();
    let error = module.kernel("afine_f32").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.detail().contains("the file has `affine_f32`"), "{error}");
}
