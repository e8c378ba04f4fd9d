//! Whisper-tiny's architecture with random weights.

use std::cell::RefCell;
use std::rc::Rc;

use model_zoo::Builder;
use model_zoo::whisper::{EncoderInput, Whisper, WhisperConfig, shift_tokens_right};
use tensor_core::{
    AdamW, AdamWOptions, Context, CrossEntropyOptions, DType, Device, Philox, Tensor, cross_entropy,
};

use crate::Workload;

/// Clips in a training step.
const BATCH: usize = 4;
/// Labels of a clip.
const LABELS: usize = 32;

/// The model, inputs and an optimiser.
pub struct WhisperWork {
    model: Whisper,
    clip: Tensor,
    batch: Tensor,
    inputs: Tensor,
    labels: Tensor,
    optimizer: AdamW,
    steps: u64,
}

impl WhisperWork {
    /// Random weights, features and labels.
    ///
    /// # Errors
    ///
    /// Never for these sizes.
    pub fn new() -> anyhow::Result<Self> {
        // The defaults of the published config are Whisper-tiny's.
        let config = WhisperConfig {
            vocab_size: 51_865,
            num_mel_bins: 80,
            d_model: 384,
            encoder_layers: 4,
            encoder_attention_heads: 6,
            encoder_ffn_dim: 1536,
            decoder_layers: 4,
            decoder_attention_heads: 6,
            decoder_ffn_dim: 1536,
            ..WhisperConfig::default()
        };
        let model = Whisper::new(&Builder::random(1, DType::F32, Device::Cpu), &config)?;
        let mut rng = Philox::new(2, 0);
        let mut features =
            |batch| Tensor::randn(&[batch, 80, 3000], 1.0, &mut rng, DType::F32, Device::Cpu);
        let (clip, batch) = (features(1)?, features(BATCH)?);
        let rows: Vec<Vec<i64>> = (0..BATCH)
            .map(|_| (0..LABELS).map(|_| i64::from(rng.below(50_000))).collect())
            .collect();
        let inputs = rows.iter().flat_map(|row| shift_tokens_right(row, 50_257, 50_258)).collect();
        let parameters = model.parameters().clone();
        let optimizer = AdamW::new(
            AdamWOptions::default(),
            parameters
                .iter()
                .filter(|(_, var)| var.trainable())
                .map(|(name, var)| (name, var, var.shape().len() > 1)),
        )?;
        Ok(Self {
            inputs: Tensor::from_vec(inputs, &[BATCH, LABELS], Device::Cpu)?,
            labels: Tensor::from_vec(rows.concat(), &[BATCH * LABELS], Device::Cpu)?,
            model,
            clip,
            batch,
            optimizer,
            steps: 0,
        })
    }

    /// The encoder on one 30 s window.
    pub fn encode(&self) -> anyhow::Result<()> {
        self.model.encode(&Context::eval(), &EncoderInput::new(&self.clip))?;
        Ok(())
    }

    /// Forward, backward and AdamW on four windows.
    pub fn step(&mut self) -> anyhow::Result<()> {
        self.steps += 1;
        let ctx = Context::train(1, self.steps);
        let memory = self.model.encode(&ctx, &EncoderInput::new(&self.batch))?;
        let logits = self.model.decode(&ctx, &self.inputs, &memory)?.flatten(0, 1)?;
        let sum = cross_entropy(&logits, &self.labels, CrossEntropyOptions::default())?;
        let loss = sum.mul_scalar(1.0 / (BATCH * LABELS) as f64)?;
        self.optimizer.step(&loss.backward()?, 1e-4, 1.0)?;
        Ok(())
    }

    /// The measurements of `peers/whisper.py`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn workloads() -> anyhow::Result<Vec<Workload>> {
        let work = Rc::new(RefCell::new(Self::new()?));
        let make = |bench, shape: String, run: fn(&mut Self) -> anyhow::Result<()>| {
            let work = work.clone();
            let run = Box::new(move || run(&mut work.borrow_mut()));
            Workload { bench, shape, dtype: "f32", one_thread: false, run }
        };
        Ok(vec![
            make("whisper_tiny_encoder_forward", "1x80x3000".into(), |work| work.encode()),
            make(
                "whisper_tiny_training_step",
                format!("{BATCH}x80x3000, {LABELS} labels"),
                Self::step,
            ),
        ])
    }
}
