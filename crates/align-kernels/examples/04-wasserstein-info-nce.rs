//! Matches clouds of different lengths, as texts and recordings are: Wasserstein InfoNCE.
//!
//! `cargo run --release -p align-kernels --example 04-wasserstein-info-nce`

use align_kernels::Ragged;
use align_kernels::info_nce::Options;
use align_kernels::sinkhorn::Weights;
use align_kernels::wasserstein_info_nce::{Output, contr_wasser, wasserstein_info_nce};
use ndarray::{Array2, Zip};

/// Values in `[-1, 1)`, always the same.
fn noise(rows: usize, columns: usize, mut state: u64) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, columns), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

fn loss(text: &Array2<f32>, speech: &Array2<f32>) -> align_kernels::Result<Output> {
    // Four texts of 3, 5, 2 and 4 tokens; their recordings have 12, 17, 9 and 14 frames.
    let text = Ragged::new(text.view().into(), &[0, 3, 8, 10, 14])?;
    let speech = Ragged::new(speech.view().into(), &[0, 12, 29, 38, 52])?;
    // Text chooses among recordings, by the divergence of arXiv:2412.15712.
    let (transport, contrast) = (contr_wasser(0.05), Options::default());
    wasserstein_info_nce(&text, &speech, Weights::default(), &transport, &contrast)
}

fn main() -> align_kernels::Result<()> {
    // As in a frozen language model: text stays, and speech learns to lie where text is.
    let (text, mut speech) = (noise(14, 8, 1), noise(52, 8, 2));
    println!("a guess among 4 costs ln 4 = {:.4}", 4f64.ln());
    for step in 0..=20 {
        let out = loss(&text, &speech)?;
        if step % 5 == 0 {
            println!("step {step:2}: loss {:.4}", out.value);
        }
        if step % 20 == 0 {
            println!("divergences, a row a text:\n{:.3}", out.divergence);
        }
        let slopes = &out.gradients.y;
        Zip::from(&mut speech).and(slopes).for_each(|x, slope| *x -= 10.0 * slope);
    }
    Ok(())
}
