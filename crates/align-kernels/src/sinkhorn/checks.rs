//! Checks of a call that do not depend on where the points are.

use super::options::{Mode, Options, Pairing};
use super::output::Output;
use crate::error::{KernelError, Result};
use crate::place::{Cloud, Place};
use crate::ragged::Ragged;

/// Refuses clouds that cannot be compared.
pub(crate) fn check_sides<P: Place>(
    op: &'static str,
    x: &Ragged<'_, P>,
    y: &Ragged<'_, P>,
    pairing: Pairing,
) -> Result<()> {
    check_width(op, "x", x.points().width())?;
    check_width(op, "y", y.points().width())?;
    let (x, y) = ((x.points().width(), x.items()), (y.points().width(), y.items()));
    check_extents(op, x, y, pairing)
}

pub(super) fn check_width(op: &'static str, name: &str, width: usize) -> Result<()> {
    match width {
        0 => Err(KernelError::shape(op, format!("{name} has width 0, expected at least 1"))),
        _ => Ok(()),
    }
}

/// Compares width and number of items of both sides.
pub(super) fn check_extents(
    op: &'static str,
    x: (usize, usize),
    y: (usize, usize),
    pairing: Pairing,
) -> Result<()> {
    let detail = if x.0 != y.0 {
        format!("y has width {}, expected that of x, {}", y.0, x.0)
    } else if pairing == Pairing::Paired && x.1 != y.1 {
        format!("y has {} items, expected those of x, {}", y.1, x.1)
    } else if let Pairing::Blocks(blocks) = pairing
        && (blocks == 0 || !x.1.is_multiple_of(blocks) || !y.1.is_multiple_of(blocks))
    {
        format!("x has {} items and y {}, expected multiples of {blocks} blocks", x.1, y.1)
    } else {
        return Ok(());
    };
    Err(KernelError::shape(op, detail))
}

pub(super) fn check_upstream(upstream: &[f32], pairs: usize) -> Result<()> {
    if upstream.len() == pairs {
        return Ok(());
    }
    let detail = format!("upstream has {} weights, expected one a pair, {pairs}", upstream.len());
    Err(KernelError::shape("sinkhorn", detail))
}

/// Refuses an output of other items or options; `count` is that of the points of a pair's two items.
pub(super) fn check_saved(
    saved: &Output,
    options: &Options,
    pairs: usize,
    count: impl Fn(usize) -> (usize, usize),
) -> Result<()> {
    let fits = saved.pairs() == pairs
        && (0..pairs).all(|k| (saved.f_of(k).len(), saved.g_of(k).len()) == count(k));
    let annealed = matches!(options.mode, Mode::GeomLoss(_));
    let debiased = !saved.trace.own[0].is_empty() || pairs == 0;
    let before = if annealed { saved.f.len() } else { 0 };
    if fits && saved.trace.f_before.len() == before && (!options.debias || debiased) {
        return Ok(());
    }
    let got = saved.pairs();
    let detail = format!(
        "output of {got} pairs belongs to another call, expected {pairs} pairs of these items and options"
    );
    Err(KernelError::shape("sinkhorn", detail))
}
