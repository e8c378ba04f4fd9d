//! Boxes of tensors, with addresses worked out apart.

use ptx_emu::{
    Arg, Interleave, L2Promotion, LaunchConfig, OobFill, Swizzle, TensorMap, TensorType,
};

use crate::harness::{Bench, SEEDS};

/// A map with dense rows and a box.
pub fn dense(data_type: TensorType, address: u64, extents: &[u64], tile: &[u32]) -> TensorMap {
    let mut map = TensorMap {
        data_type,
        rank: extents.len() as u32,
        global_address: address,
        global_dim: [1; 5],
        global_strides: [0; 4],
        box_dim: [1; 5],
        element_strides: [1; 5],
        interleave: Interleave::None,
        swizzle: Swizzle::None,
        l2_promotion: L2Promotion::Bytes128,
        oob_fill: OobFill::Zero,
    };
    map.global_dim[..extents.len()].copy_from_slice(extents);
    map.box_dim[..tile.len()].copy_from_slice(tile);
    let mut stride = u64::from(data_type.bytes());
    for (extent, to) in extents[..extents.len() - 1].iter().zip(&mut map.global_strides) {
        stride *= extent;
        *to = stride;
    }
    map
}

/// Where byte `at` of a dense box lies under a swizzle, from the tables of the programming guide: in
/// line `y` of 128 bytes, piece `x` of 16 goes to piece `x ^ y`, as far as the span reaches.
pub fn swizzled(at: usize, swizzle: Swizzle) -> usize {
    let (line, piece, rest) = (at / 128, at / 16 % 8, at % 16);
    let pieces = match swizzle {
        Swizzle::None => 1,
        Swizzle::Bytes32 => 2,
        Swizzle::Bytes64 => 4,
        Swizzle::Bytes128 => 8,
    };
    line * 128 + (piece ^ (line % pieces)) * 16 + rest
}

/// Loads the box at these coordinates and copies `bytes` of shared memory out as they lie; or copies
/// them in, and stores the box.
pub fn body(coordinates: usize, bytes: u32, stores: bool) -> String {
    let places: Vec<String> = (0..coordinates).map(|axis| format!("%c{axis}")).collect();
    let loads: String = (0..coordinates)
        .map(|axis| format!("    ld.param.u32 %c{axis}, [c+{}];\n", 4 * axis))
        .collect();
    let place = places.join(", ");
    let (copy_in, copy_out) = if stores {
        (
            String::new(),
            format!(
                "FILL:
    setp.ge.u32 %q, %at, %end;
    @%q bra FULL;
    ld.global.u32 %x, [%raw];
    st.shared.u32 [%at], %x;
    add.u64 %raw, %raw, %step;
    add.u32 %at, %at, %wide;
    bra FILL;
FULL:
    fence.proxy.async;
    bar.sync 0;
    @%p bra END;
    cp.async.bulk.tensor.{coordinates}d.global.shared::cta.tile.bulk_group [%map, {{{place}}}], [tile];
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group 0;
END:"
            ),
        )
    } else {
        (
            format!(
                "    @%p bra READY;
    mbarrier.init.shared::cta.b64 [object], 1;
    fence.proxy.async;
    cp.async.bulk.prefetch.tensor.{coordinates}d.L2.global [%map, {{{place}}}];
    mbarrier.arrive.expect_tx.shared::cta.b64 _, [object], {bytes};
    cp.async.bulk.tensor.{coordinates}d.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%map, {{{place}}}], [object];
READY:
    bar.sync 0;
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %q, [object], 0;
    @!%q bra WAIT;"
            ),
            "DRAIN:
    setp.ge.u32 %q, %at, %end;
    @%q bra DONE;
    ld.shared.u32 %x, [%at];
    st.global.u32 [%raw], %x;
    add.u64 %raw, %raw, %step;
    add.u32 %at, %at, %wide;
    bra DRAIN;
DONE:"
                .to_owned(),
        )
    };
    format!(
        "    .shared .align 8 .b64 object;
    .reg .pred %p, %q;
    .reg .b32 %t, %at, %end, %x, %wide, %c<5>;
    .reg .b64 %map, %raw, %step;
    mov.b64 %map, map;
    cvta.param.u64 %map, %map;
    ld.param.u64 %raw, [raw];
{loads}    mov.u32 %t, %tid.x;
    mul.wide.u32 %step, %t, 4;
    add.u64 %raw, %raw, %step;
    mov.u32 %wide, %ntid.x;
    mul.wide.u32 %step, %wide, 4;
    mul.lo.u32 %wide, %wide, 4;
    mov.u32 %at, tile;
    add.u32 %end, %at, {bytes};
    mad.lo.u32 %at, %t, 4, %at;
    setp.ne.u32 %p, %t, 0;
{copy_in}
{copy_out}
"
    )
}

pub const PARAMS: &str =
    ".param .align 64 .b8 map[128], .param .u64 raw, .param .align 4 .b8 c[20]";

pub fn arguments(map: &TensorMap, raw: u64, corner: &[i32]) -> Vec<Arg> {
    let mut places = [0i32; 5];
    places[..corner.len()].copy_from_slice(corner);
    let places = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    vec![Arg::Bytes(map.encode().unwrap().to_vec()), raw.into(), Arg::Bytes(places)]
}

pub fn box_bytes(map: &TensorMap) -> usize {
    let counts = (0..map.rank as usize).map(|axis| match axis {
        0 => map.box_dim[0],
        _ => map.box_dim[axis].div_ceil(map.element_strides[axis]),
    });
    counts.product::<u32>() as usize * map.data_type.bytes() as usize
}

/// Elements of the box in order: the byte offset in the tensor, or nothing outside of it.
fn elements(map: &TensorMap, corner: &[i32]) -> Vec<Option<usize>> {
    let rank = corner.len();
    let mut out = Vec::new();
    let mut index = vec![0u32; rank];
    loop {
        let at: Vec<i64> =
            (0..rank).map(|axis| i64::from(corner[axis]) + i64::from(index[axis])).collect();
        let inside = (0..rank).all(|axis| at[axis] >= 0 && at[axis] < map.global_dim[axis] as i64);
        let offset = at[0] * i64::from(map.data_type.bytes())
            + (1..rank).map(|axis| at[axis] * map.global_strides[axis - 1] as i64).sum::<i64>();
        out.push(inside.then_some(offset as usize));
        let mut axis = 0;
        loop {
            index[axis] += if axis == 0 { 1 } else { map.element_strides[axis] };
            if index[axis] < map.box_dim[axis] {
                break;
            }
            index[axis] = 0;
            axis += 1;
            if axis == rank {
                return out;
            }
        }
    }
}

/// Loads a box and compares every byte, then stores one and compares the whole tensor.
fn check(mut map: TensorMap, tensor_bytes: usize, corner: &[i32], seed: u64) {
    let bytes = box_bytes(&map);
    let each = map.data_type.bytes() as usize;
    let tensor: Vec<u8> = (0..tensor_bytes).map(|at| (at * 7 + at / 251 + 1) as u8).collect();
    let config = LaunchConfig::linear(1, 64).with_shared(bytes as u32);

    let bench = Bench::kernel(seed, PARAMS, &body(corner.len(), bytes as u32, false));
    map.global_address = bench.gpu.upload(&tensor).unwrap();
    let raw = bench.gpu.upload(&vec![0xeeu8; bytes]).unwrap();
    bench.run(config, &arguments(&map, raw, corner));
    let found: Vec<u8> = bench.gpu.download(raw, bytes).unwrap();
    for (index, place) in elements(&map, corner).into_iter().enumerate() {
        for byte in 0..each {
            let expected = place.map_or(0, |at| tensor[at + byte]);
            let at = swizzled(index * each + byte, map.swizzle);
            assert_eq!(found[at], expected, "{map:?} at {corner:?}: element {index}, byte {byte}");
        }
    }

    let bench = Bench::kernel(seed, PARAMS, &body(corner.len(), bytes as u32, true));
    map.global_address = bench.gpu.upload(&tensor).unwrap();
    let tile: Vec<u8> = (0..bytes).map(|at| (at * 5 + at / 77) as u8).collect();
    let raw = bench.gpu.upload(&tile).unwrap();
    bench.run(config, &arguments(&map, raw, corner));
    let mut expected = tensor;
    for (index, place) in elements(&map, corner).into_iter().enumerate() {
        let Some(place) = place else { continue };
        for byte in 0..each {
            expected[place + byte] = tile[swizzled(index * each + byte, map.swizzle)];
        }
    }
    let found: Vec<u8> = bench.gpu.download(map.global_address, tensor_bytes).unwrap();
    assert!(found == expected, "{map:?} at {corner:?}: the stored tensor differs");
}

#[test]
fn every_swizzle_in_two_dimensions() {
    for (swizzle, width) in [
        (Swizzle::None, 24),
        (Swizzle::None, 64),
        (Swizzle::Bytes32, 16),
        (Swizzle::Bytes64, 32),
        (Swizzle::Bytes128, 64),
    ] {
        for seed in SEEDS {
            let mut map = dense(TensorType::Bf16, 0, &[80, 50], &[width, 20]);
            map.swizzle = swizzle;
            check(map, 80 * 50 * 2, &[8, 3], seed);
            // Over each edge of the tensor.
            check(map, 80 * 50 * 2, &[-5, 45], seed);
            check(map, 80 * 50 * 2, &[70, -7], seed);
        }
    }
}

#[test]
fn one_to_five_dimensions_of_every_size_of_element() {
    check(dense(TensorType::U8, 0, &[320], &[48]), 320, &[100], 1);
    check(dense(TensorType::F32, 0, &[20, 9], &[8, 5]), 720, &[3, 6], 2);
    check(dense(TensorType::F64, 0, &[6, 5, 4], &[4, 3, 2]), 960, &[1, 3, 2], 3);
    check(dense(TensorType::F16, 0, &[16, 3, 4, 5], &[8, 2, 3, 2]), 1920, &[4, 2, -1, 1], 4);
    check(
        dense(TensorType::I32, 0, &[8, 3, 2, 3, 2], &[4, 2, 2, 2, 2]),
        1152,
        &[6, 0, 1, -1, 0],
        5,
    );
}

#[test]
fn rows_further_apart_and_elements_left_out() {
    let mut map = dense(TensorType::F32, 0, &[20, 30], &[16, 10]);
    map.global_strides[0] = 112;
    check(map, 112 * 30, &[2, 5], 1);
    map.element_strides[1] = 3;
    check(map, 112 * 30, &[2, 5], 2);
    map.element_strides[0] = 2;
    check(map, 112 * 30, &[-3, -2], 3);
}

#[test]
fn sectors_of_a_box() {
    let bench = Bench::kernel(0, PARAMS, &body(2, 64 * 8 * 2, false));
    let tensor = bench.gpu.upload(&[1u8; 64 * 2 * 8]).unwrap();
    let mut map = dense(TensorType::Bf16, tensor, &[64, 8], &[64, 8]);
    map.swizzle = Swizzle::Bytes128;
    let raw = bench.gpu.upload(&[0u8; 1024]).unwrap();
    let config = LaunchConfig::linear(1, 64).with_shared(1024);
    let counters = bench.run(config, &arguments(&map, raw, &[0, 0]));
    assert_eq!((counters.load_sectors, counters.load_bytes), (32, 1024));
}
