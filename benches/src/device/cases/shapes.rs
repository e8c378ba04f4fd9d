//! The named shapes, with what the designs expect of an H200 at them.
//!
//! Expectations are from the rates in `cards` and counted inner loops; none of them was measured.

use super::case::Prediction;

const fn predicted(what: &'static str, seconds: f64) -> Prediction {
    Prediction { what, seconds }
}

/// A transport problem: every item of `x` against every item of `y`.
#[derive(Debug, Clone, Copy)]
pub struct Pairs {
    /// Points of each item of `x`.
    pub x_lengths: &'static [usize],
    /// Points of each item of `y`.
    pub y_lengths: &'static [usize],
    /// Extent of a point.
    pub width: usize,
}

/// Ten texts against ten utterances of a speech model.
pub const S1: Pairs = Pairs { x_lengths: &[48; 10], y_lengths: &[160; 10], width: 4096 };
/// A batch of 64: 4096 pairs of 64 x 256.
pub const S2: Pairs = Pairs { x_lengths: &[64; 64], y_lengths: &[256; 64], width: 1024 };
/// Eight rows of its pairs, as many as take the cost kernels of the whole, on either card.
pub const S2_ROWS: Pairs = Pairs { x_lengths: &[64; 8], y_lengths: &[256; 17], ..S2 };
/// How many times the counts of those rows go into the whole: points, then pairs.
pub const S2_ROWS_TIMES: &[(&str, f64)] =
    &[("row_norms", 20480.0 / 4864.0), ("cloud_boxes", 20480.0 / 4864.0), ("", 512.0 / 17.0)];
/// One large problem.
pub const SINGLE: Pairs = Pairs { x_lengths: &[4096], y_lengths: &[4096], width: 64 };
/// Lengths of real sentences and utterances, with the means of S1.
pub const RAGGED: Pairs = Pairs {
    x_lengths: &[12, 20, 28, 36, 44, 52, 60, 68, 76, 84],
    y_lengths: &[40, 66, 93, 120, 146, 173, 200, 227, 253, 282],
    width: 256,
};

/// Costs of S1.
pub const S1_COST: &[Prediction] = &[predicted("product", 8.0e-6), predicted("inputs", 4.0e-6)];
/// 100 iterations of S1 and its costs.
pub const S1_FORWARD: &[Prediction] =
    &[predicted("iterations, throughput", 10e-6), predicted("iterations, latency", 30e-6)];
/// The same with gradients.
pub const S1_GRADIENT: &[Prediction] = &[predicted("floor", 30e-6), predicted("plan", 65e-6)];
/// Costs of S2.
pub const S2_COST: &[Prediction] = &[predicted("product", 174e-6), predicted("inputs", 9.8e-6)];
/// 100 iterations of S2 and its costs.
pub const S2_FORWARD: &[Prediction] =
    &[predicted("iterations, resident", 671e-6), predicted("iterations, log domain", 3736e-6)];
/// The same with gradients.
pub const S2_GRADIENT: &[Prediction] = &[predicted("floor", 0.92e-3), predicted("plan", 1.3e-3)];
/// 100 iterations of the large problem.
pub const SINGLE_FORWARD: &[Prediction] =
    &[predicted("resident in a cluster", 0.55e-3), predicted("streamed", 1.2e-3)];

/// Extent of a point of InfoNCE, MMD and NST.
pub const WIDTH: usize = 1024;
/// Pairs of InfoNCE, with gradients.
pub const INFO_NCE: [(usize, &[Prediction]); 4] = [
    (8192, &[predicted("products", 0.70e-3), predicted("products at 670 TFLOP/s", 0.82e-3)]),
    (16_384, &[predicted("products", 2.78e-3), predicted("products at 670 TFLOP/s", 3.28e-3)]),
    (32_768, &[predicted("products", 11.1e-3), predicted("products at 670 TFLOP/s", 13.1e-3)]),
    (65_536, &[predicted("products", 44.5e-3), predicted("products at 670 TFLOP/s", 52.5e-3)]),
];
/// Points of each side of MMD and NST.
pub const MMD_COUNT: usize = 8192;
/// Five Gaussians, with gradients.
pub const MMD_GAUSSIAN: &[Prediction] =
    &[predicted("products", 1.04e-3), predicted("exponentials by squaring", 32e-6)];
/// NST or a polynomial of degree 2 by moments, with gradients.
pub const NST: &[Prediction] =
    &[predicted("products", 0.065e-3), predicted("by Gram matrices", 1.04e-3)];
/// The linear kernel.
pub const MMD_LINEAR: &[Prediction] = &[predicted("inputs", 7.8e-6)];

/// `m, n, k` of the first map of a BERT layer on 8192 tokens.
pub const FEED_FORWARD: [usize; 3] = [8192, 3072, 768];
/// The same from bf16, and from f32 without rounding.
pub const FEED_FORWARD_BF16: &[Prediction] =
    &[predicted("tensor cores", 49e-6), predicted("L2 at 5 TB/s", 91e-6)];
/// At 80% of the slots as multiply-adds.
pub const FEED_FORWARD_F32: &[Prediction] = &[predicted("multiply-adds", 0.72e-3)];
/// `m, n, k` of a lopsided product, each of them prime.
pub const ODD: [usize; 3] = [509, 263, 383];

/// Clips of a batch whose tokens NST compares with them.
pub const NST_CLIPS: usize = 32;
/// Tokens of each.
pub const NST_TOKENS_OF_CLIP: usize = 8;
/// Extent of a token's state and of a clip's vector.
pub const NST_TOKEN_WIDTH: usize = 768;

/// Contrastive distillation against memory banks.
#[derive(Debug, Clone, Copy)]
pub struct Banks {
    /// Anchors.
    pub batch: usize,
    /// Rows drawn for each.
    pub negatives: usize,
    /// Rows of a bank.
    pub rows: usize,
    /// Extent of a row.
    pub width: usize,
}

/// The published setting of CRD.
pub const CRD: Banks = Banks { batch: 64, negatives: 16_384, rows: 50_000, width: 128 };
/// So few negatives that a table of all scores does not pay.
pub const CRD_FEW: Banks = Banks { negatives: 1024, ..CRD };
/// Forward, gradients and the update of the banks.
pub const CRD_STEP: &[Prediction] = &[predicted("banks", 6e-6), predicted("dense scores", 40e-6)];
