//! Padded costs in chunks, which no public function hands out: beside packed ones.

use gpu_runtime::{Device, DeviceBuffer, Stream};

use super::*;
use crate::device::layout::Chunk;
use crate::device::{DevicePoints, DeviceValues};

const X: [usize; 5] = [0, 65, 65, 67, 70];
const Y: [usize; 4] = [0, 33, 97, 98];
const WIDTH: usize = 24;

#[test]
fn padded_costs_in_chunks_are_those_of_a_packed_batch() {
    if !std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        println!("skipped: no GPU asked for");
        return;
    }
    let stream = Stream::new(&Device::cuda(0).unwrap()).unwrap();
    let noise = |count: usize| -> Vec<f32> {
        (0..count * WIDTH).map(|k| ((k * k + 7 * count) % 61) as f32 / 61.0).collect()
    };
    let [x, y] = [70, 98].map(noise);
    let half = |values: &[f32]| -> Vec<half::bf16> {
        values.iter().map(|&x| half::bf16::from_f32(x)).collect()
    };
    let send = |values: &[f32]| DeviceBuffer::from_slice(&stream, values).unwrap();
    let (x32, y32) = (send(&x), send(&y));
    let send = |values: &[f32]| DeviceBuffer::from_slice(&stream, &half(values)).unwrap();
    let (x16, y16) = (send(&x), send(&y));
    for (x, y) in [
        (points(&stream, &x32, 70), points(&stream, &y32, 98)),
        (points(&stream, &x16, 70), points(&stream, &y16, 98)),
    ] {
        let session = Session::begin("test", x, y).unwrap();
        let (ragged_x, ragged_y) =
            (Ragged::on_device(x, &X).unwrap(), Ragged::on_device(y, &Y).unwrap());
        let packed = run(&ragged_x, &ragged_y, Cost::SqEuclidean, Pairing::AllPairs).unwrap();
        let values = packed.values.to_vec().unwrap();
        for most in [0, 3000, usize::MAX] {
            let layout = Layout::padded("test", &X, &Y, Pairing::AllPairs, most).unwrap();
            let mut parcel = Parcel::default();
            let lists = Lists::put(&layout, &mut parcel);
            let delivered = parcel.send(&session).unwrap();
            let clouds = Clouds::compact(&session, x, y).unwrap();
            let products = Products::new(&session, &clouds, Cost::SqEuclidean).unwrap();
            for (at, chunk) in layout.chunks.iter().enumerate() {
                let mut out = session.send(&vec![f32::NAN; layout.most_costs()]).unwrap();
                products.write(&session, &layout, &delivered, &lists, at, &mut out).unwrap();
                check(&layout, chunk, &out.to_vec().unwrap(), &values, &packed.starts);
            }
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
fn check(layout: &Layout, chunk: &Chunk, got: &[f32], packed: &[f32], starts: &[usize]) {
    let mut left = got.to_vec();
    for k in chunk.pairs.clone() {
        let [_, n, _, m, start, ..] = layout.pairs[k].map(|word| word as usize);
        assert_eq!(start % 4, 0);
        let stride = m.next_multiple_of(4);
        for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
            let at = start + i * stride + j;
            let want = packed[starts[k] + i * m + j];
            assert_eq!(got[at].to_bits(), want.to_bits(), "pair {k}, {i} {j}");
            left[at] = f32::NAN;
        }
    }
    assert!(left.iter().all(|x| x.is_nan()));
}
