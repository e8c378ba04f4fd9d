use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::testing::noise;
use crate::{Device, Gradients};

/// Two layers with dropout, in f32.
fn segment(ctx: &Context, x: &Tensor, w: &Var) -> Result<Tensor> {
    let y = x.linear(&ctx.weight(w)?, None)?.gelu()?;
    let y = ctx.dropout(&y, 0.3)?.linear(&ctx.weight(w)?, None)?;
    ctx.dropout(&y, 0.5)
}

fn leaves() -> Result<(Var, Var)> {
    let f32_leaf = |shape: &[usize], salt| Ok(Var::new(noise(shape, salt).to_dtype(DType::F32)?));
    Ok((f32_leaf(&[7, 5], 1)?, f32_leaf(&[5, 5], 2)?))
}

fn bits(gradients: &Gradients, var: &Var) -> Vec<u32> {
    gradients.get(var).unwrap().to_vec::<f32>().unwrap().iter().map(|g| g.to_bits()).collect()
}

#[test]
fn evaluation_records_nothing_and_drops_nothing() -> Result<()> {
    let (x, w) = leaves()?;
    let ctx = Context::eval();
    assert!(!ctx.training() && !ctx.records_graph() && ctx.dropout_key().is_none());
    let y = segment(&ctx, &ctx.param(&x), &w)?;
    assert!(!y.requires_grad());
    assert!(!ctx.checkpoint(&[&y], |_, x| x[0].sqr())?.requires_grad());
    let plain = segment(&Context::grad(), &x.value(), &w)?;
    assert!(plain.requires_grad());
    assert_eq!(y.to_vec::<f32>()?, plain.to_vec::<f32>()?);
    Ok(())
}

#[test]
fn masks_are_a_function_of_seed_step_and_place() -> Result<()> {
    let ones = Tensor::ones(&[64], DType::F32, Device::Cpu)?;
    let masks = |ctx: Context| -> Result<Vec<Vec<f32>>> {
        (0..2).map(|_| ctx.dropout(&ones, 0.5)?.to_vec::<f32>()).collect()
    };
    let first = masks(Context::train(1, 2))?;
    assert_eq!(first, masks(Context::train(1, 2))?);
    assert_ne!(first[0], first[1]);
    assert_ne!(first, masks(Context::train(1, 3))?);
    assert_ne!(first, masks(Context::train(2, 2))?);
    assert_eq!(Context::train(1, 2).dropout(&ones, 0.0)?.to_vec::<f32>()?, [1.0; 64]);
    for p in [-0.5, f64::NAN] {
        assert!(Context::train(1, 2).dropout(&ones, p).is_err(), "{p}");
    }
    Ok(())
}

#[test]
fn a_checkpoint_changes_no_bit_of_values_and_gradients() -> Result<()> {
    let (x, w) = leaves()?;
    let captured = w.clone();
    let kept = Context::train(3, 4)
        .checkpoint(&[&x.tensor()], move |ctx, x| segment(ctx, &x[0], &captured))?;
    // The plain pass: the same segment, under the context that a checkpoint gives it.
    let inner = Arc::new(Mutex::new(None));
    let slot = inner.clone();
    Context::train(3, 4).checkpoint(&[&x.value()], move |ctx, x| {
        *slot.lock().unwrap() = Some(Context { graph: true, ..ctx.clone() });
        Ok(x[0].clone())
    })?;
    let ctx = inner.lock().unwrap().take().unwrap();
    let plain = segment(&ctx, &x.tensor(), &w)?;
    assert_eq!(kept.to_vec::<f32>()?, plain.to_vec::<f32>()?);
    assert!(kept.to_vec::<f32>()?.contains(&0.0), "dropout is on");
    let seed = noise(&[7, 5], 9).to_dtype(DType::F32)?;
    let (kept, plain) = (kept.backward_with(&seed)?, plain.backward_with(&seed)?);
    for var in [&x, &w] {
        assert_eq!(bits(&kept, var), bits(&plain, var));
    }
    Ok(())
}

#[test]
fn a_checkpoint_runs_its_segment_again_and_keeps_only_inputs() -> Result<()> {
    let (x, w) = leaves()?;
    let (runs, recorded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (run, record, captured) = (runs.clone(), recorded.clone(), w.clone());
    let y = Context::train(1, 1).checkpoint(&[&x.tensor()], move |ctx, x| {
        run.fetch_add(1, Ordering::Relaxed);
        let y = segment(ctx, &x[0], &captured)?;
        record.fetch_add(usize::from(y.requires_grad()), Ordering::Relaxed);
        Ok(y)
    })?;
    let counts = || (runs.load(Ordering::Relaxed), recorded.load(Ordering::Relaxed));
    // The forward run records no node, so none of its activations can be kept.
    assert_eq!(counts(), (1, 0));
    let loss = y.sum_all()?;
    let gradients = loss.backward()?;
    assert_eq!(counts(), (2, 1));
    assert_eq!(gradients.len(), 2);
    Ok(())
}

#[test]
fn checkpoints_nest_and_frozen_inputs_get_nothing() -> Result<()> {
    let (x, w) = leaves()?;
    let plain = |x: &Tensor| x.linear(&w.tensor(), None)?.tanh()?.mul(x);
    let want = plain(&x.tensor())?.sum_all()?.backward()?;
    let captured = w.clone();
    let y = Context::grad().checkpoint(&[&x.tensor()], move |ctx, x| {
        let w = captured.clone();
        let inner =
            ctx.checkpoint(&[&x[0]], move |ctx, x| x[0].linear(&ctx.weight(&w)?, None)?.tanh())?;
        inner.mul(&x[0])
    })?;
    let got = y.sum_all()?.backward()?;
    for var in [&x, &w] {
        assert_eq!(bits(&got, var), bits(&want, var));
    }
    x.set_trainable(false);
    let captured = w.clone();
    let y = Context::grad()
        .checkpoint(&[&x.tensor()], move |ctx, x| x[0].linear(&ctx.weight(&captured)?, None))?;
    let gradients = y.sum_all()?.backward()?;
    assert!(gradients.get(&x).is_none() && gradients.get(&w).is_some());
    Ok(())
}

#[test]
fn autocast_multiplies_in_bf16_and_keeps_weights_and_gradients_in_f32() -> Result<()> {
    let (x, w) = leaves()?;
    let b = Var::new(noise(&[5], 3).to_dtype(DType::F32)?);
    let pass = |ctx: &Context| -> Result<(Tensor, Gradients)> {
        let x = ctx.cast(&ctx.param(&x))?;
        let y = x.linear(&ctx.weight(&w)?, Some(&ctx.weight(&b)?))?;
        let gradients = y.to_dtype(DType::F32)?.sqr()?.sum_all()?.backward()?;
        Ok((y, gradients))
    };
    let (wide, wide_gradients) = pass(&Context::grad())?;
    let (half, half_gradients) = pass(&Context::grad().with_autocast(DType::BF16))?;
    assert_eq!((wide.dtype(), half.dtype()), (DType::F32, DType::BF16));
    assert_eq!(w.value().dtype(), DType::F32);
    let close = |got: &Tensor, want: &Tensor| -> Result<()> {
        let want = want.to_vec_f64()?;
        let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (got, want) in got.to_vec_f64()?.into_iter().zip(want) {
            assert!((got - want).abs() < 0.02 * scale, "{got} {want}");
        }
        Ok(())
    };
    close(&half, &wide)?;
    for var in [&x, &w, &b] {
        let (got, want) = (half_gradients.get(var).unwrap(), wide_gradients.get(var).unwrap());
        assert_eq!(got.dtype(), DType::F32);
        close(got, want)?;
    }
    // f32 is no autocast, and integers are never cast.
    let ctx = Context::eval().with_autocast(DType::F32);
    assert_eq!(ctx.weight(&w)?.dtype(), DType::F32);
    let ids = Tensor::arange(3, Device::Cpu)?;
    assert_eq!(Context::eval().with_autocast(DType::BF16).cast(&ids)?.dtype(), DType::I64);
    Ok(())
}
