//! Boxes of a tensor arrive swizzled, with zeros outside it.

use crate::common;

use gpu_runtime::{DeviceBuffer, ErrorKind, Launch, Swizzle, TensorMap, Tiled, args};
use half::bf16;

/// Copies a box of 64 by 8 elements to shared memory and out as it lies.
const TENSOR_TILE: &str = include_str!("kernels/tensor_tile_u16.ptx");

const ROWS: usize = 11;
const COLUMNS: usize = 100;
/// Elements from one row to the next; those past the columns must not be seen.
const STRIDE: usize = 104;

fn value(row: usize, column: usize) -> bf16 {
    bf16::from_f32((1 + row * 16 + column % 16) as f32)
}

#[test]
fn a_box_arrives_swizzled_with_zeros_outside_the_tensor() {
    let Some(device) = common::device() else { return };
    if !device.facts().clusters {
        println!("skipped: no bulk copies on this device");
        return;
    }
    let (copy, stream) = common::kernel(&device, TENSOR_TILE, "tensor_tile_u16");
    let mut host = vec![bf16::NAN; ROWS * STRIDE];
    for (row, slots) in host.chunks_exact_mut(STRIDE).enumerate() {
        (0..COLUMNS).for_each(|column| slots[column] = value(row, column));
    }
    let tensor = DeviceBuffer::from_slice(&stream, &host).unwrap();
    let tiled = Tiled {
        address: tensor.address(),
        extents: &[COLUMNS as u64, ROWS as u64],
        strides: &[2 * STRIDE as u64],
        tile: &[64, 8],
        swizzle: Swizzle::Bytes128,
    };
    let map = TensorMap::tiled::<bf16>(&device, &tiled).unwrap();
    for (first_row, first_column) in [(0, 0), (8, 64), (3, 40)] {
        let mut out = DeviceBuffer::<bf16>::zeroed(&stream, 512).unwrap();
        let arguments = args![map.arg(), &mut out, first_column as u32, first_row as u32];
        // SAFETY: the map is of a live tensor, and 512 elements are written.
        unsafe { copy.launch(&stream, &Launch::linear(1, 32), arguments).unwrap() };
        for (at, got) in out.to_vec().unwrap().into_iter().enumerate() {
            // In line `y` of 128 bytes, piece `x` of 16 lies at piece `x ^ y`.
            let (line, piece) = (at / 64, at / 8 % 8);
            let (row, column) = (first_row + line, first_column + (piece ^ line) * 8 + at % 8);
            let inside = row < ROWS && column < COLUMNS;
            let want = if inside { value(row, column) } else { bf16::ZERO };
            assert_eq!(got, want, "{row} {column}");
        }
    }
}

#[test]
fn a_device_without_bulk_copies_refuses_a_map() {
    let Some(device) = common::device() else { return };
    let tiled =
        Tiled { address: 0, extents: &[8], strides: &[], tile: &[8], swizzle: Swizzle::None };
    if device.facts().clusters {
        let crooked = Tiled { address: 8, ..tiled };
        let error = TensorMap::tiled::<f32>(&device, &crooked).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
    } else {
        let error = TensorMap::tiled::<f32>(&device, &tiled).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Launch);
        assert!(error.hint_text().unwrap().contains("9.0"), "{error}");
    }
}
