//! Matrix products against the `gemm` crate alone, and linear maps by the form of their weights.

use std::hint::black_box;

use consonance_benches::{GEMM_SHAPES, Operands};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tensor_core::{DType, Device, Philox, Tensor};

fn products(c: &mut Criterion) {
    for shape in GEMM_SHAPES {
        let mut group = c.benchmark_group(format!("gemm/{}x{}x{}", shape.m, shape.n, shape.k));
        group.throughput(Throughput::Elements(shape.flop() as u64));
        for (dtype, name) in [(DType::F32, "f32"), (DType::BF16, "bf16")] {
            let operands = Operands::new(*shape, dtype).expect("float dtypes can be drawn");
            group.bench_function(name, |b| {
                b.iter(|| black_box(operands.a.matmul(&operands.b).expect("shapes fit")));
            });
        }
        let operands = Operands::new(*shape, DType::F32).expect("f32 can be drawn");
        let a = operands.a.to_vec::<f32>().expect("f32");
        let b = operands.b.to_vec::<f32>().expect("f32");
        let threads = rayon::current_num_threads();
        group.bench_function("gemm_crate_f32", |bencher| {
            bencher.iter(|| {
                let mut out = vec![0.0f32; shape.m * shape.n];
                let (m, n, k) = (shape.m, shape.n, shape.k);
                // SAFETY: the slices hold row-major (m, k), (k, n) and (m, n) matrices.
                unsafe {
                    gemm::gemm(
                        m,
                        n,
                        k,
                        out.as_mut_ptr(),
                        1,
                        n as isize,
                        false,
                        a.as_ptr(),
                        1,
                        k as isize,
                        b.as_ptr(),
                        1,
                        n as isize,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        gemm::Parallelism::Rayon(threads),
                    );
                }
                black_box(out)
            });
        });
        group.finish();
    }
}

/// Weights of a linear layer as they are stored, for the rows of decoding and of a prompt.
fn linear_maps(c: &mut Criterion) {
    for [outputs, inputs] in LINEAR_SHAPES {
        let weight = draw(&[outputs, inputs]);
        for rows in [1, 4, 16, 128] {
            let x = draw(&[rows, inputs]);
            let mut group = c.benchmark_group(format!("linear/{rows}x{outputs}x{inputs}"));
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let weight = weight.to_dtype(dtype).expect("float dtypes convert");
                // What few rows are bound by: the bytes of the weights.
                let bytes = (weight.elem_count() * dtype.size()) as u64;
                group.throughput(Throughput::Bytes(bytes));
                group.bench_function(dtype.name(), |b| {
                    b.iter(|| black_box(x.linear(&weight, None).expect("shapes fit")));
                });
            }
            group.finish();
        }
    }
}

/// `(O, I)`: past the caches in f32, and the feed-forward map of SmolLM2-135M.
const LINEAR_SHAPES: [[usize; 2]; 2] = [[4096, 1024], [1536, 576]];

fn draw(shape: &[usize]) -> Tensor {
    let mut rng = Philox::new(1, 0);
    Tensor::randn(shape, 1.0, &mut rng, DType::F32, Device::Cpu).expect("f32 can be drawn")
}

criterion_group!(benches, products, linear_maps);
criterion_main!(benches);
