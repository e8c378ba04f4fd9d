//! From arrays to a loss with its gradients: one function a loss.

use align_kernels::info_nce::info_nce;
use align_kernels::mmd::mmd;
use align_kernels::sinkhorn::{self, Gradients, Weights, sinkhorn_with_gradient};
use align_kernels::wasserstein_info_nce::wasserstein_info_nce;
use anyhow::Result;

use crate::args::{Args, Loss};
use crate::crd::crd;
use crate::input::Input;
use crate::output::Output;

/// Tensors that each loss takes.
fn tensors_of(loss: Loss) -> &'static [&'static str] {
    match loss {
        Loss::Sinkhorn | Loss::WassersteinInfoNce => {
            &["x", "y", "x_offsets", "y_offsets", "a", "b"]
        }
        Loss::Mmd => &["x", "y", "x_offsets", "y_offsets"],
        Loss::InfoNce => &["x", "y"],
        Loss::Crd => &["x", "y", "clip_of", "drawn"],
    }
}

/// Computes what `args` ask for.
pub fn compute(args: &Args, input: &Input<'_>) -> Result<Output> {
    let reader = match args.loss {
        Loss::InfoNce => "info_nce, of one cloud a side,".to_owned(),
        loss => loss.to_string(),
    };
    input.allow_only(&reader, tensors_of(args.loss))?;
    match args.loss {
        Loss::Sinkhorn => of_sinkhorn(args, input),
        Loss::Mmd => of_mmd(args, input),
        Loss::InfoNce => of_info_nce(args, input),
        Loss::WassersteinInfoNce => of_wasserstein_info_nce(args, input),
        Loss::Crd => crd(args, input),
    }
}

fn of_sinkhorn(args: &Args, input: &Input<'_>) -> Result<Output> {
    let options = args.transport()?;
    let (x, y) = (input.items("x")?, input.items("y")?);
    let (a, b) = (input.weights("a")?, input.weights("b")?);
    let weights = Weights { a: a.as_deref(), b: b.as_deref() };
    let (found, gradients) =
        sinkhorn_with_gradient(&x.ragged()?, &y.ragged()?, weights, &options, None)?;
    let mut out = Output::new(&found.value);
    add_transport(&mut out, &found, &gradients, args.plan);
    Ok(out)
}

fn of_wasserstein_info_nce(args: &Args, input: &Input<'_>) -> Result<Output> {
    let (transport, contrast) = (args.transport()?, args.contrast());
    let (x, y) = (input.items("x")?, input.items("y")?);
    let (a, b) = (input.weights("a")?, input.weights("b")?);
    let weights = Weights { a: a.as_deref(), b: b.as_deref() };
    let found = wasserstein_info_nce(&x.ragged()?, &y.ragged()?, weights, &transport, &contrast)?;
    let mut out = Output::new(&[found.value]);
    let divergence: Vec<f64> = found.divergence.iter().copied().collect();
    out.f64("divergence", found.divergence.shape(), &divergence);
    out.f32("grad_temperature", &[1], &[found.grad_temperature as f32]);
    add_transport(&mut out, &found.transport, &found.gradients, args.plan);
    Ok(out)
}

fn add_transport(out: &mut Output, found: &sinkhorn::Output, gradients: &Gradients, plan: bool) {
    out.rows("grad_x", &gradients.x);
    out.rows("grad_y", &gradients.y);
    out.f32("grad_a", &[gradients.a.len()], &gradients.a);
    out.f32("grad_b", &[gradients.b.len()], &gradients.b);
    out.f32("grad_eps", &[1], &[gradients.eps as f32]);
    out.f32("f", &[found.f.len()], &found.f);
    out.f32("g", &[found.g.len()], &found.g);
    out.counts("f_offsets", &found.f_offsets);
    out.counts("g_offsets", &found.g_offsets);
    out.counts("iterations", &found.iterations);
    out.f64("marginal_error", &[found.pairs()], &found.marginal_error);
    let gap: Vec<f32> = found.gap.iter().map(|&gap| gap as f32).collect();
    out.f32("gap", &[gap.len()], &gap);
    if plan {
        let shape = match found.pairs() {
            1 => vec![found.f.len(), found.g.len()],
            _ => vec![found.plan.len()],
        };
        out.f32("plan", &shape, &found.plan);
    }
}

fn of_mmd(args: &Args, input: &Input<'_>) -> Result<Output> {
    let options = args.discrepancy()?;
    let (x, y) = (input.items("x")?, input.items("y")?);
    let found = mmd(&x.ragged()?, &y.ragged()?, &options)?;
    let mut out = Output::new(&found.value);
    out.rows("grad_x", &found.grad_x);
    out.rows("grad_y", &found.grad_y);
    Ok(out)
}

fn of_info_nce(args: &Args, input: &Input<'_>) -> Result<Output> {
    let (x, y) = (input.cloud("x")?, input.cloud("y")?);
    let found = info_nce(x.points(), y.points(), &args.contrast())?;
    let mut out = Output::new(&[found.value]);
    out.rows("grad_x", &found.grad_x);
    out.rows("grad_y", &found.grad_y);
    out.f32("grad_temperature", &[1], &[found.grad_temperature as f32]);
    Ok(out)
}
