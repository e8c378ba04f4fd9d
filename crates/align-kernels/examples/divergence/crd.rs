//! In-batch CRD: tokens of a student against clips of a teacher.

use align_kernels::crd::crd_in_batch;
use anyhow::{Result, bail};

use crate::args::Args;
use crate::input::Input;
use crate::output::Output;

/// CRD of `x`, tokens, and `y`, clips.
pub fn crd(args: &Args, input: &Input<'_>) -> Result<Output> {
    let (x, y) = (input.cloud("x")?, input.cloud("y")?);
    let (tokens, clips) = (x.points().count(), y.points().count());
    let clip_of = match input.indices("clip_of")? {
        Some(clip_of) => clip_of,
        None if tokens == clips => (0..tokens).collect(),
        None => bail!(
            "crd: no tensor clip_of, expected the clip of each of {tokens} tokens among {clips} \
             (hint: only as many tokens as clips go without)"
        ),
    };
    let drawn = match input.indices("drawn")? {
        Some(drawn) => drawn,
        None => draw(&clip_of, clips)?,
    };
    let (temperature, n_data) = args.distillation(clips);
    let found = crd_in_batch(x.points(), y.points(), &clip_of, &drawn, temperature, n_data)?;
    let mut out = Output::new(&[found.value]);
    out.rows("grad_x", &found.grad_student);
    out.rows("grad_y", &found.grad_teacher);
    Ok(out)
}

/// One token of every other clip for each token, without chance: the number of the token modulo the
/// clip's count.
fn draw(clip_of: &[usize], clips: usize) -> Result<Vec<usize>> {
    let mut tokens_of = vec![Vec::new(); clips];
    for (token, &clip) in clip_of.iter().enumerate() {
        match tokens_of.get_mut(clip) {
            Some(tokens) => tokens.push(token),
            None => bail!("crd: clip_of[{token}] is {clip}, expected below the {clips} clips of y"),
        }
    }
    if let Some(clip) = tokens_of.iter().position(Vec::is_empty).filter(|_| !clip_of.is_empty()) {
        bail!("crd: clip {clip} has no token to draw, expected one or more (hint: give drawn)");
    }
    let of_token = |(token, &own): (usize, &usize)| {
        let others = tokens_of.iter().enumerate().filter(move |&(clip, _)| clip != own);
        others.map(move |(_, tokens)| tokens[token % tokens.len()])
    };
    Ok(clip_of.iter().enumerate().flat_map(of_token).collect())
}
