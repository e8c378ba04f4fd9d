//! Rotary position embedding: frequencies, and the tables that rotate queries and keys.
//!
//! ```text
//! inv_freq[d] = theta^(-2 d / D)           d < D / 2
//! angle[t, d] = position[t] * inv_freq[d]
//! ```
//!
//! Frequencies and angles are rounded to f32 step by step as `transformers` 5.23 does, since at
//! position 8000 a last bit of a frequency is half a thousandth of the angle. Powers are rounded
//! correctly here; those of `torch` depend on the machine in the last bit.

use std::f64::consts::TAU;

use tensor_core::{Device, Tensor};

/// What becomes of the frequencies so that inputs may be longer than those trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RopeScaling {
    /// Nothing.
    Default,
    /// All are divided by `factor`.
    Linear { factor: f64 },
    /// Beyond `max_position_embeddings` the base `theta` grows with the input's length.
    Dynamic { factor: f64, max_position_embeddings: usize },
    /// Slow ones are divided by `factor`, fast ones kept, and those between are blended; slow and
    /// fast are told apart by how often they turn within `original_max_position_embeddings`.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_position_embeddings: usize,
    },
}

/// The frequencies of one model.
///
/// Su et al. 2021, arXiv:2104.09864; scaled ones as `modeling_rope_utils` of `transformers`.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    head_dim: usize,
    theta: f64,
    scaling: RopeScaling,
    /// `(D/2,)`, for inputs that are not longer than those trained on.
    inv_freq: Vec<f32>,
}

impl Rotary {
    /// For heads of even width `head_dim`.
    pub fn new(head_dim: usize, theta: f64, scaling: RopeScaling) -> Self {
        let plain = powers(head_dim, theta as f32);
        let inv_freq = match scaling {
            RopeScaling::Default | RopeScaling::Dynamic { .. } => plain,
            RopeScaling::Linear { factor } => plain.iter().map(|f| f / factor as f32).collect(),
            RopeScaling::Llama3 { .. } => plain.iter().map(|&f| llama3(f, scaling)).collect(),
        };
        Self { head_dim, theta, scaling, inv_freq }
    }

    /// Frequencies for an item whose largest position is `last`, `(D/2,)`.
    fn frequencies(&self, last: i64) -> Vec<f32> {
        match self.scaling {
            RopeScaling::Dynamic { factor, max_position_embeddings }
                if last >= max_position_embeddings as i64 =>
            {
                let (factor, trained) = (factor as f32, max_position_embeddings as f32);
                let stretch = factor * (last + 1) as f32 / trained - (factor - 1.0);
                let exponent = (self.head_dim as f64 / (self.head_dim as f64 - 2.0)) as f32;
                let growth = f64::from(stretch).powf(f64::from(exponent)) as f32;
                powers(self.head_dim, self.theta as f32 * growth)
            }
            _ => self.inv_freq.clone(),
        }
    }

    /// The rotation of tokens at `positions`, one row of equal width an item.
    ///
    /// An item's frequencies follow from its own positions, so that it does not depend on its
    /// batch. (`transformers` takes the largest position of the batch; this differs for
    /// [`RopeScaling::Dynamic`] alone.)
    pub fn rotation(
        &self,
        positions: &[Vec<i64>],
        device: Device,
    ) -> tensor_core::Result<Rotation> {
        let shared = positions.windows(2).all(|pair| pair[0] == pair[1]);
        let rows = if shared { &positions[..positions.len().min(1)] } else { positions };
        let (half, tokens) = (self.head_dim / 2, rows.first().map_or(0, Vec::len));
        let mut cos = Vec::with_capacity(rows.len() * tokens * half);
        let mut sin = Vec::with_capacity(cos.capacity());
        for row in rows {
            let inv_freq = self.frequencies(row.iter().copied().max().unwrap_or(0));
            for &position in row {
                for &frequency in &inv_freq {
                    let angle = f64::from(position as f32 * frequency);
                    cos.push(angle.cos() as f32);
                    sin.push(angle.sin() as f32);
                }
            }
        }
        let each = [rows.len(), tokens, half];
        let shape = if shared { &each[1..] } else { &each[..] };
        Ok(Rotation {
            cos: Tensor::from_vec(cos, shape, device)?,
            sin: Tensor::from_vec(sin, shape, device)?,
        })
    }
}

/// Cosines and sines of one pass, `(T, D/2)` or `(B, T, D/2)`.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    /// Queries or keys `(B, T, H, D)`, rotated.
    pub fn apply(&self, x: &Tensor) -> tensor_core::Result<Tensor> {
        x.rotary(&self.cos, &self.sin)
    }
}

/// `theta^(-2 d / D)`.
fn powers(head_dim: usize, theta: f32) -> Vec<f32> {
    let exponent = |d: usize| 2.0 * d as f32 / head_dim as f32;
    let power = |d: usize| f64::from(theta).powf(f64::from(exponent(d))) as f32;
    (0..head_dim / 2).map(|d| 1.0 / power(d)).collect()
}

/// One frequency of LLaMA 3.1 and later; others are returned as they are.
fn llama3(frequency: f32, scaling: RopeScaling) -> f32 {
    let RopeScaling::Llama3 {
        factor,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings,
    } = scaling
    else {
        return frequency;
    };
    let trained = original_max_position_embeddings as f64;
    let wavelength = (1.0 / frequency) * TAU as f32;
    if wavelength > (trained / low_freq_factor) as f32 {
        return frequency / factor as f32;
    }
    if wavelength < (trained / high_freq_factor) as f32 {
        return frequency;
    }
    let turns = (1.0 / wavelength) * trained as f32;
    let smooth = (turns - low_freq_factor as f32) / (high_freq_factor - low_freq_factor) as f32;
    (1.0 - smooth) * frequency / factor as f32 + smooth * frequency
}

#[cfg(test)]
mod tests {
    use tensor_core::SafeTensors;

    use super::*;

    fn values(rotation: &Rotation) -> Vec<f32> {
        [rotation.cos.to_vec::<f32>().unwrap(), rotation.sin.to_vec().unwrap()].concat()
    }

    #[test]
    fn position_zero_turns_nothing_and_the_first_pair_turns_by_the_position() {
        let rotary = Rotary::new(6, 10_000.0, RopeScaling::Default);
        let rotation = rotary.rotation(&[vec![0, 3]], Device::Cpu).unwrap();
        assert_eq!(rotation.cos.shape(), [2, 3]);
        let values = values(&rotation);
        assert_eq!(values[..3], [1.0; 3]);
        assert_eq!((values[3], values[9]), (3f32.cos(), 3f32.sin()));
    }

    #[test]
    fn linear_scaling_moves_positions_together() {
        let plain = Rotary::new(8, 10_000.0, RopeScaling::Default);
        let linear = Rotary::new(8, 10_000.0, RopeScaling::Linear { factor: 4.0 });
        let at = |rotary: &Rotary, t| values(&rotary.rotation(&[vec![t]], Device::Cpu).unwrap());
        assert_eq!(at(&linear, 12), at(&plain, 3));
    }

    #[test]
    fn dynamic_scaling_begins_where_training_ended() {
        let scaling = RopeScaling::Dynamic { factor: 2.0, max_position_embeddings: 10 };
        let (plain, dynamic) =
            (Rotary::new(8, 10_000.0, RopeScaling::Default), Rotary::new(8, 10_000.0, scaling));
        assert_eq!(dynamic.frequencies(9), plain.inv_freq);
        let beyond = dynamic.frequencies(19);
        // Twice the length: theta grows by (2 * 2 - 1)^(8 / 6).
        let theta = 10_000.0 * 3f64.powf(8.0 / 6.0);
        for (d, got) in beyond.iter().enumerate() {
            let want = theta.powf(-(d as f64) / 4.0);
            assert!((f64::from(*got) / want - 1.0).abs() < 1e-6, "{d}");
        }
    }

    #[test]
    fn an_item_is_rotated_in_a_batch_as_alone() {
        let scaling = RopeScaling::Dynamic { factor: 2.0, max_position_embeddings: 4 };
        let rotary = Rotary::new(4, 10_000.0, scaling);
        let rows = [vec![0, 1, 2], vec![5, 6, 7]];
        let both = rotary.rotation(&rows, Device::Cpu).unwrap();
        for (b, row) in rows.iter().enumerate() {
            let alone = rotary.rotation(std::slice::from_ref(row), Device::Cpu).unwrap();
            let cos = both.cos.select(0, b).unwrap().to_vec::<f32>().unwrap();
            assert_eq!(cos, alone.cos.to_vec::<f32>().unwrap());
        }
        let same = rotary.rotation(&[rows[0].clone(), rows[0].clone()], Device::Cpu).unwrap();
        assert_eq!(same.cos.shape(), [3, 2], "equal rows share one table");
    }

    #[test]
    fn slow_frequencies_are_divided_fast_ones_kept() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let (plain, scaled) = (
            Rotary::new(128, 500_000.0, RopeScaling::Default).inv_freq,
            Rotary::new(128, 500_000.0, scaling).inv_freq,
        );
        assert_eq!((scaled[0], scaled[63]), (plain[0], plain[63] / 8.0));
        let blended = plain.iter().zip(&scaled).filter(|(p, s)| *s < *p && **s > **p / 8.0).count();
        assert!(blended > 0);
        assert!(scaled.windows(2).all(|pair| pair[1] < pair[0]));
    }
    #[test]
    fn frequencies_of_published_sizes_are_those_of_transformers_to_the_bit() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/rope-frequencies/golden.safetensors"
        );
        let file = SafeTensors::open(path).unwrap();
        let cases: serde_json::Value = serde_json::from_str(&file.metadata()["case"]).unwrap();
        for (name, case) in cases.as_object().unwrap() {
            let rope = &case["rope_parameters"];
            let number = |key: &str| rope[key].as_f64().unwrap();
            let scaling = match rope["rope_type"].as_str().unwrap() {
                "linear" => RopeScaling::Linear { factor: number("factor") },
                "llama3" => RopeScaling::Llama3 {
                    factor: number("factor"),
                    low_freq_factor: number("low_freq_factor"),
                    high_freq_factor: number("high_freq_factor"),
                    original_max_position_embeddings: 8192,
                },
                _ => RopeScaling::Default,
            };
            let head_dim = case["head_dim"].as_u64().unwrap() as usize;
            let rotary = Rotary::new(head_dim, number("rope_theta"), scaling);
            let expected = file.tensor(name).unwrap().to_vec::<f32>().unwrap();
            assert_eq!(rotary.inv_freq, expected, "{name}");
        }
    }
}
