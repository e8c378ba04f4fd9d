//! How many positions an encoder gives for a sound: what masks and losses need to know.

use crate::log_mel::HOP_LENGTH;

/// Log-Mel frames of `n_samples` at 16 kHz: `n_samples / 160`.
pub fn whisper_n_frames(n_samples: usize) -> usize {
    n_samples / HOP_LENGTH
}

/// Positions of Whisper's encoder for `n_frames` log-Mel frames.
///
/// Its first convolution keeps the length (kernel 3, stride 1, padding 1), the second halves it (kernel 3,
/// stride 2, padding 1): `(n_frames - 1) / 2 + 1`. 3000 frames give 1500 positions.
///
/// # Source
///
/// `_get_feat_extract_output_lengths` of transformers' Whisper.
pub fn whisper_encoder_length(n_frames: usize) -> usize {
    n_frames.div_ceil(2)
}

/// Kernel and stride of the seven convolutions of HuBERT and wav2vec 2.0.
const HUBERT_CONVS: [(usize, usize); 7] = [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)];

/// Positions of HuBERT's feature encoder for `n_samples` at 16 kHz: about one every 20 ms.
///
/// Each unpadded convolution gives `(n - kernel) / stride + 1`. Fewer than 400 samples give none.
///
/// # Source
///
/// `_get_feat_extract_output_lengths` of transformers' HuBERT, kernels 10,3,3,3,3,2,2 and strides
/// 5,2,2,2,2,2,2.
pub fn hubert_encoder_length(n_samples: usize) -> usize {
    HUBERT_CONVS.iter().fold(n_samples, |n, &(kernel, stride)| {
        n.checked_sub(kernel).map_or(0, |rest| rest / stride + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whisper_lengths_are_the_published_ones() {
        let table = [(0, 0), (1, 1), (2, 1), (3, 2), (2999, 1500), (3000, 1500)];
        for (n_frames, want) in table {
            assert_eq!(whisper_encoder_length(n_frames), want, "{n_frames}");
        }
        assert_eq!(whisper_n_frames(480_000), 3000);
    }

    #[test]
    fn hubert_lengths_are_the_published_ones() {
        // 16 000 samples give 49 positions in transformers; 400 is the receptive field.
        let table =
            [(0, 0), (9, 0), (399, 0), (400, 1), (719, 1), (720, 2), (16_000, 49), (480_000, 1499)];
        for (n_samples, want) in table {
            assert_eq!(hubert_encoder_length(n_samples), want, "{n_samples}");
        }
    }
}
