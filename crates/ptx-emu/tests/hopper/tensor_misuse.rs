//! Tensor maps that the driver, or a launch, does not take.

use ptx_emu::{Arg, FaultKind, Interleave, LaunchConfig, OobFill, Swizzle, TensorMap, TensorType};

use crate::harness::{Bench, expect_fault};
use crate::tensor::{PARAMS, arguments, body, box_bytes, dense};

/// What is wrong with a map.
type Spoil = fn(&mut TensorMap);

#[test]
fn the_driver_refuses() {
    let good = dense(TensorType::Bf16, 1 << 20, &[64, 64], &[64, 64]);
    assert_eq!(TensorMap::decode(&good.encode().unwrap()), Some(good));
    let cases: [(&str, Spoil); 14] = [
        ("rank", |map| map.rank = 0),
        ("rank", |map| map.rank = 6),
        ("address", |map| map.global_address += 8),
        ("global_dim", |map| map.global_dim[1] = 0),
        ("global_dim", |map| map.global_dim[1] = (1 << 32) + 1),
        ("global_strides", |map| map.global_strides[0] = 136),
        ("global_strides", |map| map.global_strides[0] = 1 << 40),
        ("box_dim", |map| map.box_dim[1] = 257),
        ("box_dim", |map| map.box_dim[0] = 0),
        ("element_strides", |map| map.element_strides[1] = 9),
        ("a multiple of 16", |map| map.box_dim[0] = 12),
        ("the span of the swizzle", |map| map.swizzle = Swizzle::Bytes64),
        ("swizzle of 32", |map| {
            map.interleave = Interleave::Bytes32;
            map.rank = 3;
            (map.global_dim[2], map.global_strides[1]) = (1, 8192);
        }),
        ("float", |map| {
            map.data_type = TensorType::U16;
            map.oob_fill = OobFill::Nan;
        }),
    ];
    for (words, spoil) in cases {
        let mut map = good;
        spoil(&mut map);
        let fault = map.encode().expect_err(words);
        assert!(fault.detail.contains(words), "{words}: {fault}");
    }
}

#[test]
fn what_a_launch_refuses() {
    let good = dense(TensorType::Bf16, 0, &[64, 64], &[64, 8]);
    let mut padded = dense(TensorType::Bf16, 0, &[64, 64], &[32, 8]);
    padded.swizzle = Swizzle::Bytes128;
    let mut large = good;
    large.global_dim[1] = 1000;
    let cases: [(TensorMap, [i32; 2], FaultKind, &str); 2] = [
        (padded, [0, 0], FaultKind::Unsupported, "rows as long as the swizzle's span"),
        (large, [0, 60], FaultKind::OutOfBounds, "the end of"),
    ];
    for (mut map, corner, kind, words) in cases {
        let bench = Bench::kernel(0, PARAMS, &body(2, box_bytes(&map) as u32, false));
        map.global_address = bench.gpu.upload(&vec![1u8; 64 * 64 * 2]).unwrap();
        let raw = bench.gpu.upload(&vec![0u8; 1024]).unwrap();
        let config = LaunchConfig::linear(1, 64).with_shared(1024);
        expect_fault(bench.launch(config, &arguments(&map, raw, &corner)), kind, &[words]);
    }
    let bench = Bench::kernel(0, PARAMS, &body(2, 1024, false));
    let arguments = [Arg::Bytes(vec![7; 128]), 0u64.into(), Arg::Bytes(vec![0; 20])];
    let config = LaunchConfig::linear(1, 64).with_shared(1024);
    let words = ["no tensor map", "hint: cuTensorMapEncodeTiled"];
    expect_fault(bench.launch(config, &arguments), FaultKind::Unsupported, &words);
}
