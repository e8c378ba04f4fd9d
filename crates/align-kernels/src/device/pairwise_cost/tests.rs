//! Padded costs in chunks, which no public function hands out: beside packed ones.

use gpu_runtime::{Device, DeviceBuffer, Stream};
use half::bf16;

use super::*;
use crate::device::layout::Chunk;
use crate::device::{DevicePoints, DeviceValues};

/// Five chunks of 64, one of them a part, for up to four CTAs.
const WIDTH: usize = 264;

/// Clouds of 70 and 98 points, in f32 and in bf16, with one set of values.
struct Sent {
    x: (DeviceBuffer<f32>, DeviceBuffer<bf16>),
    y: (DeviceBuffer<f32>, DeviceBuffer<bf16>),
}

impl Sent {
    fn new(stream: &Stream) -> Self {
        let cloud = |count: usize| {
            let values = (0..count * WIDTH).map(|k| ((k * 7919 + count) % 1009) as f32 / 1009.0);
            let half: Vec<bf16> = values.map(bf16::from_f32).collect();
            let single: Vec<f32> = half.iter().map(|x| x.to_f32()).collect();
            let single = DeviceBuffer::from_slice(stream, &single).unwrap();
            (single, DeviceBuffer::from_slice(stream, &half).unwrap())
        };
        Self { x: cloud(70), y: cloud(98) }
    }
}

fn stream() -> Option<Stream> {
    if std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        return Some(Stream::new(&Device::cuda(0).unwrap()).unwrap());
    }
    println!("skipped: no GPU asked for");
    None
}

#[test]
fn every_cut_into_chunks_and_tiles_gives_the_costs_of_a_packed_batch() {
    let Some(stream) = stream() else { return };
    let sent = Sent::new(&stream);
    let single = (points(&stream, &sent.x.0, 70), points(&stream, &sent.y.0, 98));
    let half = (points(&stream, &sent.x.1, 70), points(&stream, &sent.y.1, 98));
    let one = (half.0, points(&stream, &sent.x.1, 70));
    let [x, y, narrow] = [vec![0, 65, 65, 67, 70], vec![0, 33, 97, 98], vec![0, 1, 38, 40, 70]];
    let paired = vec![0, 33, 97, 97, 98];
    let is_hopper = stream.device().facts().clusters;
    let split = |ctas| Some(ProductKernel::Split { ctas });
    let cases = [
        (single, None),
        (half, None),
        (half, Some(ProductKernel::Mma)),
        (one, Some(ProductKernel::Mma)),
        (half, Some(ProductKernel::Wgmma)),
        (one, Some(ProductKernel::Wgmma)),
        (half, split(2)),
        (one, split(4)),
    ];
    let costs = [Cost::SqEuclidean, Cost::Cosine, Cost::Euclidean];
    for (at, (points, kernel)) in cases.into_iter().enumerate() {
        if !is_hopper && !matches!(kernel, None | Some(ProductKernel::Mma)) {
            continue;
        }
        let is_one = points.1.count() == 70;
        let pairings = [Pairing::AllPairs, Pairing::Paired, Pairing::Blocks(2)];
        for (turn, pairing) in pairings.into_iter().enumerate() {
            let y = match (is_one, pairing) {
                (true, _) => &narrow,
                (false, Pairing::AllPairs) => &y,
                (false, Pairing::Paired | Pairing::Blocks(_)) => &paired,
            };
            check_cuts(points, (&x, y), costs[(at + turn) % 3], pairing, kernel);
        }
    }
}

fn check_cuts(
    (x, y): (DevicePoints<'_>, DevicePoints<'_>),
    (x_offsets, y_offsets): (&[usize], &[usize]),
    cost: Cost,
    pairing: Pairing,
    kernel: Option<ProductKernel>,
) {
    let session = Session::begin("test", x, y).unwrap();
    let (ragged_x, ragged_y) =
        (Ragged::on_device(x, x_offsets).unwrap(), Ragged::on_device(y, y_offsets).unwrap());
    let packed = run(&ragged_x, &ragged_y, cost, pairing).unwrap();
    let values = packed.values.to_vec().unwrap();
    let mut layouts = vec![Layout::new("test", x_offsets, y_offsets, pairing).unwrap()];
    for most in [0, 3000, usize::MAX] {
        layouts.push(Layout::padded("test", x_offsets, y_offsets, pairing, most).unwrap());
    }
    for layout in layouts {
        let mut parcel = Parcel::default();
        let kernels = kernel.map(|kernel| vec![kernel; layout.chunks.len()]);
        let lists = Lists::cut(kernels.as_deref(), &layout, &mut parcel);
        let delivered = parcel.send(&session).unwrap();
        let clouds = Clouds::compact(&session, x, y).unwrap();
        let products = Products::new(&session, &clouds, cost).unwrap();
        for (at, chunk) in layout.chunks.iter().enumerate() {
            let mut out = session.send(&vec![f32::NAN; layout.most_costs()]).unwrap();
            products.write(&session, &layout, &delivered, &lists, at, &mut out).unwrap();
            let bound = if cost == Cost::Euclidean { 2e-3 } else { 2e-5 };
            check((&layout, chunk), &out.to_vec().unwrap(), &values, &packed.starts, bound);
        }
    }
}

fn points<'a>(
    stream: &'a Stream,
    values: impl Into<DeviceValues<'a>>,
    count: usize,
) -> DevicePoints<'a> {
    DevicePoints::new(stream, values, count, WIDTH).unwrap()
}

/// Every cost is in its place, and nothing is written between the rows or behind them.
fn check(
    (layout, chunk): (&Layout, &Chunk),
    got: &[f32],
    packed: &[f32],
    starts: &[usize],
    bound: f32,
) {
    let mut left = got.to_vec();
    for k in chunk.pairs.clone() {
        let [_, n, _, m, start, ..] = layout.pairs[k].map(|word| word as usize);
        assert!(start.is_multiple_of(layout.pad as usize));
        let stride = layout.stride(k) as usize;
        for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
            let at = start + i * stride + j;
            let want = packed[starts[k] + i * m + j];
            // Sums of 264 products in another order; near 0 the root of an error is larger than it.
            assert!((got[at] - want).abs() <= bound * want.max(1.0), "pair {k}, {i} {j}");
            left[at] = f32::NAN;
        }
    }
    assert!(left.iter().all(|x| x.is_nan()));
}
