//! BERT of 6 layers and width 384 on 16 x 64 tokens: MiniLM's size, a student's usual one.

use std::cell::RefCell;
use std::rc::Rc;

use model_zoo::Builder;
use model_zoo::bert::{BertConfig, BertInput, MaskedLm};
use tensor_core::{
    AdamW, AdamWOptions, Context, CrossEntropyOptions, DType, Device, Philox, Tensor, cross_entropy,
};

use crate::Workload;

const BATCH: usize = 16;
const LENGTH: usize = 64;

/// The model, a batch and an optimiser.
pub struct BertWork {
    model: MaskedLm,
    input: BertInput,
    positions: Vec<usize>,
    labels: Tensor,
    optimizer: AdamW,
    steps: u64,
}

impl BertWork {
    /// Random weights and ids; 15 % of the positions are scored.
    ///
    /// # Errors
    ///
    /// Never for these sizes.
    pub fn new() -> anyhow::Result<Self> {
        let config = BertConfig {
            hidden_size: 384,
            num_hidden_layers: 6,
            num_attention_heads: 12,
            intermediate_size: 1536,
            ..BertConfig::default()
        };
        let model = MaskedLm::new(&Builder::random(1, DType::F32, Device::Cpu), &config)?;
        let mut rng = Philox::new(2, 0);
        let rows: Vec<Vec<u32>> =
            (0..BATCH).map(|_| (0..LENGTH).map(|_| 1000 + rng.below(29_000)).collect()).collect();
        let scored = (BATCH * LENGTH) as f64 * 0.15;
        let mut order: Vec<usize> = (0..BATCH * LENGTH).collect();
        rng.shuffle(&mut order);
        let positions = order[..scored.round() as usize].to_vec();
        let labels: Vec<i64> =
            positions.iter().map(|&at| i64::from(rows[at / LENGTH][at % LENGTH])).collect();
        let parameters = model.parameters().clone();
        let optimizer = AdamW::new(
            AdamWOptions::default(),
            parameters.iter().map(|(name, var)| (name, var, var.shape().len() > 1)),
        )?;
        Ok(Self {
            input: BertInput::from_ids(&rows, 0, Device::Cpu)?,
            labels: Tensor::from_vec(labels, &[positions.len()], Device::Cpu)?,
            model,
            positions,
            optimizer,
            steps: 0,
        })
    }

    /// The encoder's last hidden state.
    pub fn encode(&self) -> anyhow::Result<()> {
        self.model.bert.forward(&Context::eval(), &self.input)?;
        Ok(())
    }

    /// The masked-language-model loss without a graph, head on scored positions.
    pub fn forward(&self) -> anyhow::Result<()> {
        self.loss(&Context::eval())?;
        Ok(())
    }

    /// Forward, backward and AdamW with dropout 0.1.
    pub fn step(&mut self) -> anyhow::Result<()> {
        self.steps += 1;
        let loss = self.loss(&Context::train(1, self.steps))?;
        self.optimizer.step(&loss.backward()?, 2e-4, 1.0)?;
        Ok(())
    }

    fn loss(&self, ctx: &Context) -> anyhow::Result<Tensor> {
        let hidden = self.model.bert.forward(ctx, &self.input)?.last_hidden_state;
        let logits = self.model.logits_at(ctx, &hidden, &self.positions)?;
        let sum = cross_entropy(&logits, &self.labels, CrossEntropyOptions::default())?;
        Ok(sum.mul_scalar(1.0 / self.positions.len() as f64)?)
    }

    /// The measurements of `peers/bert.py` that do the same work.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn workloads() -> anyhow::Result<Vec<Workload>> {
        let work = Rc::new(RefCell::new(Self::new()?));
        let shape = format!("{BATCH}x{LENGTH}, 6 layers, d 384");
        let make = |bench, run: fn(&mut Self) -> anyhow::Result<()>| {
            let work = work.clone();
            let run = Box::new(move || run(&mut work.borrow_mut()));
            Workload { bench, shape: shape.clone(), dtype: "f32", one_thread: false, run }
        };
        Ok(vec![
            make("bert_encoder_forward", |work| work.encode()),
            make("bert_mlm_forward_scored", |work| work.forward()),
            make("bert_training_step_scored", Self::step),
        ])
    }
}
