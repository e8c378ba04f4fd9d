//! Whisper's keys and values as heads of LLaMA: splitting, and padding to more and wider heads.

use serde::{Deserialize, Serialize};
use tensor_core::Tensor;

/// How the `W` elements of each of `F` frames become `Hw` heads of width `Dw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WlSplit {
    /// As the released code does it, whose numbers are those of the paper's tables: the memory of
    /// `(F, Hw Dw)` is read as `(Hw, F, Dw)`. A head is then a stretch of time: row `r` of head `h`
    /// is, of frame `(h F + r) / Hw`, the elements from `Dw ((h F + r) mod Hw)` on. At 1500 frames
    /// and 20 heads of 64 that is frame `75 h + r / 20` and element `64 (r mod 20)`.
    Released,
    /// As the paper's text has it: head `h` has the elements from `Dw h` on, of every frame.
    Paper,
}

impl WlSplit {
    /// `(B, F, Hw Dw)` to `(B, F, Hw, Dw)`, where the second extent is the row within a head.
    pub(super) fn split(self, x: &Tensor, heads: usize) -> tensor_core::Result<Tensor> {
        let &[batch, frames, width] = x.shape() else {
            let detail = format!("input is {:?}, expected (B, F, W)", x.shape());
            return Err(tensor_core::Error::shape("wl_split", detail));
        };
        let head_dim = width / heads;
        match self {
            Self::Released => x.reshape(&[batch, heads, frames, head_dim])?.transpose(1, 2),
            Self::Paper => x.reshape(&[batch, frames, heads, head_dim]),
        }
    }
}

/// Heads `(B, F, Hw, Dw)` among `heads` heads of width `head_dim`: `(B, F, H, D)`.
///
/// Every head begins as a template with ones at `(r, r)`; Whisper's are written over the first
/// columns of the first heads, all rows. So their other columns, and the other heads, keep their ones.
pub(super) fn pad(x: &Tensor, heads: usize, head_dim: usize) -> tensor_core::Result<Tensor> {
    let &[batch, frames, own_heads, own_dim] = x.shape() else {
        let detail = format!("input is {:?}, expected (B, F, H, D)", x.shape());
        return Err(tensor_core::Error::shape("pad", detail));
    };
    let mut template = vec![0.0f32; frames * head_dim];
    template.iter_mut().step_by(head_dim + 1).take(frames.min(head_dim)).for_each(|v| *v = 1.0);
    let template = Tensor::from_vec(template, &[1, frames, 1, head_dim], x.device())?;
    let template = template.to_dtype(x.dtype())?;
    let mut padded = x.clone();
    if own_dim < head_dim {
        let columns = head_dim - own_dim;
        let rest = template.narrow(3, own_dim, columns)?;
        let rest = rest.broadcast_to(&[batch, frames, own_heads, columns])?;
        padded = Tensor::cat(&[&padded, &rest], 3)?;
    }
    if own_heads < heads {
        let rest = template.broadcast_to(&[batch, frames, heads - own_heads, head_dim])?;
        padded = Tensor::cat(&[&padded, &rest], 2)?;
    }
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use tensor_core::{DType, Device};

    use super::*;

    /// `1000 frame + element`, exact in f64.
    fn labelled(batch: usize, frames: usize, width: usize) -> Tensor {
        let label = |b: usize, f: usize, e: usize| (b * 1_000_000 + f * 10_000 + e) as f64;
        let values = (0..batch * frames * width)
            .map(|k| label(k / (frames * width), k / width % frames, k % width))
            .collect();
        Tensor::from_vec::<f64>(values, &[batch, frames, width], Device::Cpu).unwrap()
    }

    fn at(x: &Tensor, [b, r, h, c]: [usize; 4]) -> f64 {
        let &[_, frames, heads, dim] = x.shape() else { panic!("rank") };
        x.to_vec::<f64>().unwrap()[((b * frames + r) * heads + h) * dim + c]
    }

    #[test]
    fn the_released_split_makes_heads_of_stretches_of_time() {
        for [batch, frames, heads, dim] in [[2, 7, 3, 2], [1, 1, 4, 3], [1, 6, 2, 1], [3, 5, 1, 2]]
        {
            let x = labelled(batch, frames, heads * dim);
            let split = WlSplit::Released.split(&x, heads).unwrap();
            assert_eq!(split.shape(), [batch, frames, heads, dim]);
            for k in 0..batch * frames * heads * dim {
                let (c, h, r) = (k % dim, k / dim % heads, k / (dim * heads) % frames);
                let b = k / (dim * heads * frames);
                // Frame 75 h + floor(r / 20), element 64 (r mod 20) + c at the published sizes.
                let (frame, element) =
                    ((h * frames + r) / heads, dim * ((h * frames + r) % heads) + c);
                let label = (b * 1_000_000 + frame * 10_000 + element) as f64;
                assert_eq!(at(&split, [b, r, h, c]), label, "{b} {r} {h} {c}");
            }
        }
    }

    #[test]
    fn at_the_published_sizes_row_777_of_head_3_is_of_frame_263() {
        let (frames, heads, dim) = (1500, 20, 64);
        let (h, r, c) = (3, 777, 5);
        let values = (0..frames * heads * dim).map(|k| k as f64).collect();
        let x = Tensor::from_vec::<f64>(values, &[1, frames, heads * dim], Device::Cpu).unwrap();
        let split = WlSplit::Released.split(&x, heads).unwrap();
        let found = split.select(0, 0).unwrap().select(0, r).unwrap().select(0, h).unwrap();
        let found = found.to_vec::<f64>().unwrap()[c];
        assert_eq!(found, (263 * 1280 + 1093) as f64);
        assert_eq!((263, 1093), (75 * h + r / 20, 64 * (r % 20) + c));
    }

    #[test]
    fn the_split_of_the_paper_gives_every_head_its_own_elements() {
        let split = WlSplit::Paper.split(&labelled(1, 4, 6), 3).unwrap();
        for (r, h, c) in [(0, 0, 0), (3, 2, 1), (1, 1, 0)] {
            assert_eq!(at(&split, [0, r, h, c]), (r * 10_000 + 2 * h + c) as f64);
        }
    }

    #[test]
    fn padding_keeps_ones_on_the_diagonal_of_what_is_not_whispers() {
        for frames in [3, 9] {
            let x = Tensor::full(&[2, frames, 2, 2], 7.0, DType::F64, Device::Cpu).unwrap();
            let padded = pad(&x, 3, 5).unwrap();
            assert_eq!(padded.shape(), [2, frames, 3, 5]);
            for (b, r, h) in [(0, 0, 0), (1, 2, 1), (1, 2, 2), (0, 1, 2), (0, frames - 1, 0)] {
                for c in 0..5 {
                    let own = h < 2 && c < 2;
                    let expected = if own { 7.0 } else { f64::from(u8::from(r == c)) };
                    assert_eq!(at(&padded, [b, r, h, c]), expected, "{b} {r} {h} {c}");
                }
            }
        }
        let x = Tensor::full(&[1, 3, 2, 4], 7.0, DType::F64, Device::Cpu).unwrap();
        let same = pad(&x, 2, 4).unwrap();
        assert_eq!(same.to_vec::<f64>().unwrap(), x.to_vec::<f64>().unwrap());
    }
}
