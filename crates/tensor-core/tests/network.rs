//! A small network, forward, backward and a few optimiser steps: the same bits on any number of
//! threads, and a loss that falls.

#![expect(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use tensor_core::{
    AdamW, AdamWOptions, AttentionOptions, Context, CrossEntropyOptions, DType, Device, Philox,
    Tensor, Var, attention, cross_entropy,
};

const BATCH: usize = 3;
const LENGTH: usize = 37;
const WIDTH: usize = 96;
const HEADS: usize = 4;
const VOCAB: usize = 517;

/// Embedding, one attention layer, one feed-forward layer, tied output.
struct Network {
    vars: Vec<(&'static str, Var)>,
}

impl Network {
    fn new() -> Self {
        let mut rng = Philox::new(7, 0);
        let mut matrix = |shape: &[usize]| {
            Var::new(Tensor::randn(shape, 0.08, &mut rng, DType::F32, Device::Cpu).unwrap())
        };
        let ones = || Var::new(Tensor::ones(&[WIDTH], DType::F32, Device::Cpu).unwrap());
        let zeros = |n: usize| Var::new(Tensor::zeros(&[n], DType::F32, Device::Cpu).unwrap());
        let vars = vec![
            ("embedding", matrix(&[VOCAB, WIDTH])),
            ("norm.weight", ones()),
            ("norm.bias", zeros(WIDTH)),
            ("qkv", matrix(&[3 * WIDTH, WIDTH])),
            ("up", matrix(&[4 * WIDTH, WIDTH])),
            ("up.bias", zeros(4 * WIDTH)),
            ("down", matrix(&[WIDTH, 4 * WIDTH])),
        ];
        Self { vars }
    }

    fn var(&self, name: &str) -> &Var {
        &self.vars.iter().find(|(n, _)| *n == name).unwrap().1
    }

    fn loss(&self, ctx: &Context, ids: &Tensor, labels: &Tensor) -> Tensor {
        let param = |name: &str| ctx.param(self.var(name));
        let weight = |name: &str| ctx.weight(self.var(name)).unwrap();
        let x = ctx.dropout(&param("embedding").embedding(ids).unwrap(), 0.1).unwrap();
        let y = x.layer_norm(&param("norm.weight"), &param("norm.bias"), 1e-5).unwrap();
        let qkv = ctx.cast(&y).unwrap().linear(&weight("qkv"), None).unwrap();
        let qkv = qkv.reshape(&[BATCH, LENGTH, 3, HEADS, WIDTH / HEADS]).unwrap();
        let part = |at| qkv.select(2, at).unwrap();
        let options = AttentionOptions {
            causal: true,
            dropout: ctx.dropout_key().map(|key| (0.1, key)),
            ..AttentionOptions::for_head_dim(WIDTH / HEADS)
        };
        let mixed = attention(&part(0), &part(1), &part(2), &options).unwrap();
        let x = x.add(&mixed.reshape(&[BATCH, LENGTH, WIDTH]).unwrap()).unwrap();
        let hidden = ctx.cast(&x).unwrap().linear(&weight("up"), Some(&weight("up.bias"))).unwrap();
        let x = x.add(&hidden.gelu().unwrap().linear(&weight("down"), None).unwrap()).unwrap();
        let rows = ctx.cast(&x).unwrap().reshape(&[BATCH * LENGTH, WIDTH]).unwrap();
        let logits = rows.linear(&weight("embedding"), None).unwrap();
        let sum = cross_entropy(&logits, labels, CrossEntropyOptions::default()).unwrap();
        sum.mul_scalar(1.0 / (BATCH * LENGTH) as f64).unwrap()
    }
}

/// Losses and final parameters, as bits, of a few steps on `threads` threads.
fn train(threads: usize, autocast: bool) -> (Vec<f64>, Vec<u32>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let network = Network::new();
        let slots = network.vars.iter().map(|(name, var)| (*name, var, var.shape().len() > 1));
        let mut optimiser = AdamW::new(AdamWOptions::default(), slots).unwrap();
        let count = BATCH * LENGTH;
        let ids: Vec<i64> = (0..count).map(|i| ((i * i * 31 + 7) % VOCAB) as i64).collect();
        let ids = Tensor::from_vec(ids, &[BATCH, LENGTH], Device::Cpu).unwrap();
        let labels: Vec<i64> =
            (0..count).map(|i| if i % 5 == 0 { -100 } else { (i * 13 % VOCAB) as i64 }).collect();
        let labels = Tensor::from_vec(labels, &[count], Device::Cpu).unwrap();
        let losses = (0..6)
            .map(|step| {
                let mut ctx = Context::train(11, step);
                if autocast {
                    ctx = ctx.with_autocast(DType::BF16);
                }
                let loss = network.loss(&ctx, &ids, &labels);
                let gradients = loss.backward().unwrap();
                let norm = gradients.global_norm(network.vars.iter().map(|(_, var)| var)).unwrap();
                optimiser.step(&gradients, 3e-3, (1.0 / norm).min(1.0)).unwrap();
                loss.item().unwrap()
            })
            .collect();
        let values = network.vars.iter().flat_map(|(_, var)| var.value().to_vec::<f32>().unwrap());
        (losses, values.map(f32::to_bits).collect())
    })
}

#[test]
fn one_and_two_and_three_threads_give_the_same_bits() {
    let one = train(1, false);
    for threads in [2, 3] {
        assert!(train(threads, false) == one, "{threads} threads differ from one");
    }
    assert!(one.0[5] < one.0[0], "the loss falls: {:?}", one.0);
}

#[test]
fn autocast_gives_the_same_bits_too_and_stays_close() {
    let (one, two) = (train(1, true), train(2, true));
    assert!(one == two, "two threads differ from one");
    for (half, wide) in one.0.iter().zip(train(1, false).0) {
        assert!((half - wide).abs() < 0.02 * wide, "{half} {wide}");
    }
}
