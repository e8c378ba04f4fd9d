//! Matrix products, each shape for a reason.

use tensor_core::{DType, Device, Philox, Tensor};

use crate::Workload;

/// `(m, k) x (k, n)`.
#[derive(Debug, Clone, Copy)]
pub struct GemmShape {
    /// Rows.
    pub m: usize,
    /// Columns.
    pub n: usize,
    /// Inner extent.
    pub k: usize,
    /// Why this shape.
    pub reason: &'static str,
}

impl GemmShape {
    /// Multiply-adds times two.
    pub fn flop(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }
}

/// The shapes that are timed; the first two are the peers'.
pub const GEMM_SHAPES: &[GemmShape] = &[
    GemmShape { m: 1024, n: 1024, k: 1024, reason: "the shape every library quotes" },
    GemmShape { m: 1500, n: 384, k: 384, reason: "a projection of Whisper-tiny's encoder" },
    GemmShape { m: 1024, n: 1536, k: 384, reason: "BERT's first feed-forward map, 16 x 64 tokens" },
    GemmShape { m: 384, n: 1536, k: 1024, reason: "the weight gradient of that map" },
    GemmShape { m: 64, n: 64, k: 64, reason: "overhead of a small product" },
];

/// Random operands of one shape.
pub struct Operands {
    /// `(m, k)`.
    pub a: Tensor,
    /// `(k, n)`.
    pub b: Tensor,
}

impl Operands {
    /// Draws them.
    ///
    /// # Errors
    ///
    /// Never for float dtypes.
    pub fn new(shape: GemmShape, dtype: DType) -> tensor_core::Result<Self> {
        let mut rng = Philox::new(1, 0);
        let mut draw = |rows, cols| Tensor::randn(&[rows, cols], 1.0, &mut rng, dtype, Device::Cpu);
        Ok(Self { a: draw(shape.m, shape.k)?, b: draw(shape.k, shape.n)? })
    }
}

pub(crate) fn workloads() -> anyhow::Result<Vec<Workload>> {
    let mut all = Vec::new();
    for (dtype, name) in [(DType::F32, "f32"), (DType::BF16, "bf16")] {
        for &shape in &GEMM_SHAPES[..2] {
            let operands = Operands::new(shape, dtype)?;
            all.push(Workload {
                bench: "gemm",
                shape: format!("{}x{}x{}", shape.m, shape.n, shape.k),
                dtype: name,
                one_thread: false,
                run: Box::new(move || {
                    operands.a.matmul(&operands.b)?;
                    Ok(())
                }),
            });
        }
    }
    Ok(all)
}
