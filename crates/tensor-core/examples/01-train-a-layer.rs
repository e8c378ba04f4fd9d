//! Fits `y = tanh(W x + b)` to a target by gradient descent and saves the parameters.
//!
//! `cargo run --release -p tensor-core --example 01-train-a-layer`

use std::collections::BTreeMap;

use tensor_core::{
    AdamW, AdamWOptions, Context, DType, Device, Philox, SafeTensors, Tensor, Var, save_safetensors,
};

fn layer(ctx: &Context, x: &Tensor, weight: &Var, bias: &Var) -> tensor_core::Result<Tensor> {
    x.linear(&ctx.param(weight), Some(&ctx.param(bias)))?.tanh()
}

fn main() -> tensor_core::Result<()> {
    // Everything random comes from a seed and a stream.
    let mut rng = Philox::new(1, 0);
    let mut noise = |shape: &[usize]| Tensor::randn(shape, 1.0, &mut rng, DType::F32, Device::Cpu);
    let x = noise(&[256, 8])?;
    let target = x.linear(&noise(&[3, 8])?, Some(&noise(&[3])?))?.tanh()?;

    // A `Var` is a value that an optimiser replaces; a tensor never changes.
    let weight = Var::new(noise(&[3, 8])?.mul_scalar(0.1)?);
    let bias = Var::new(Tensor::zeros(&[3], DType::F32, Device::Cpu)?);
    let slots = [("weight", &weight, true), ("bias", &bias, false)];
    let mut optimiser = AdamW::new(AdamWOptions::default(), slots)?;

    for step in 0..200 {
        // The context says how a pass runs: here it records the graph.
        let ctx = Context::train(1, step);
        let loss = layer(&ctx, &x, &weight, &bias)?.sub(&target)?.sqr()?.mean_all()?;
        let gradients = loss.backward()?;
        let norm = gradients.global_norm([&weight, &bias])?;
        optimiser.step(&gradients, 0.05, (1.0 / norm).min(1.0))?;
        if step % 50 == 0 {
            println!("step {step:3}: loss {:.5}, gradient norm {norm:.4}", loss.item()?);
        }
    }

    let error = layer(&Context::eval(), &x, &weight, &bias)?.sub(&target)?.abs()?.mean_all()?;
    println!("mean absolute error after training: {:.5}", error.item()?);

    let path = std::env::temp_dir().join("tensor-core-layer.safetensors");
    let named = [("weight".to_owned(), weight.value()), ("bias".to_owned(), bias.value())];
    save_safetensors(&path, &named, &BTreeMap::new())?;
    println!("saved {:?} to {}", SafeTensors::open(&path)?.names(), path.display());
    Ok(())
}
