//! BERT and Whisper: forward passes and training steps.
//!
//! `benches/peers/{bert,whisper}.py` do the same work in PyTorch.

use consonance_benches::{BertWork, WhisperWork};
use criterion::{Criterion, criterion_group, criterion_main};

fn bert(c: &mut Criterion) {
    let mut work = BertWork::new().expect("these sizes are valid");
    let mut group = c.benchmark_group("bert_16x64_6x384");
    group.bench_function("encoder_forward", |b| b.iter(|| work.encode().expect("it runs")));
    group.bench_function("mlm_forward", |b| b.iter(|| work.forward().expect("it runs")));
    group.sample_size(20);
    group.bench_function("training_step", |b| b.iter(|| work.step().expect("it runs")));
    group.finish();
}

fn whisper(c: &mut Criterion) {
    let mut work = WhisperWork::new().expect("these sizes are valid");
    let mut group = c.benchmark_group("whisper_tiny");
    group.sample_size(20);
    group.bench_function("encoder_forward", |b| b.iter(|| work.encode().expect("it runs")));
    group.sample_size(10);
    group.bench_function("training_step", |b| b.iter(|| work.step().expect("it runs")));
    group.finish();
}

criterion_group!(benches, bert, whisper);
criterion_main!(benches);
