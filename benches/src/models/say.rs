//! Our side of generation: tokens after tokens by a LLaMA folder.

use std::path::Path;

use anyhow::Context as _;
use model_zoo::llama::{Llama, LlamaSession};
use model_zoo::{LoadOptions, WeightForm};
use tensor_core::Context;

/// The `n` likeliest tokens after `prompt`, one after the other, whatever they mean.
pub(super) fn continued(model: &Llama, prompt: &[u32], n: usize) -> anyhow::Result<Vec<u32>> {
    let (ctx, mut session) = (Context::eval(), LlamaSession::new(model));
    let mut said = Vec::new();
    let mut unread = prompt.to_vec();
    while said.len() < n {
        let logits = session.read_ids(&ctx, &[unread])?.to_vec::<f32>()?;
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        let token = best.context("no logits")? as u32;
        said.push(token);
        unread = vec![token];
    }
    Ok(said)
}

pub(super) fn open(dir: &Path, weights: WeightForm) -> anyhow::Result<Llama> {
    Ok(Llama::open(dir, LoadOptions { weights, ..LoadOptions::default() })?)
}
