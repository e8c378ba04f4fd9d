//! InfoNCE on the device: normalisers in one pass over the logits, gradients window by window.
//!
//! 1. Points that count are packed, padded with zeros ([`packed`]).
//! 2. Blocks of logits become partial log-sum-exps, and those the normalisers ([`normalisers`]). The
//!    logits never leave an SM.
//! 3. Windows of rows become slopes that fit the L2 cache, and the slopes gradients, by two matrix
//!    products a window ([`gradients`]).
//!
//! Layers of one form go through each step together. The host waits once, at the end ([`outcome`]).

mod given;
mod gradients;
mod index;
mod kernels;
mod normalisers;
mod outcome;
mod packed;
mod plan;

use gpu_runtime::DeviceBuffer;
use half::bf16;

use super::Gpu;
use super::points::{DevicePoints, DeviceValues};
use super::session::Session;
use crate::error::Result;
use crate::info_nce::options::Extent;
use crate::info_nce::{Block, Contrast, Layer, Lse, Options, Output, check};
use index::Index;
use kernels::Form;
use packed::Batch;

/// One pair of clouds, checked.
struct Task<'a> {
    x: DevicePoints<'a>,
    y: DevicePoints<'a>,
    temperature: f64,
    /// Factor of an anchor's loss.
    share: f64,
    index: Index,
}

impl Contrast for Gpu {
    type Gradient = DeviceBuffer<f32>;

    fn contrast(
        x: DevicePoints<'_>,
        y: DevicePoints<'_>,
        options: &Options<'_>,
    ) -> Result<Output<DeviceBuffer<f32>>> {
        let tasks = [Task::new(x, y, options, Extent::Whole)?.weighted(1.0, options)];
        Ok(only(run("info_nce", &tasks, options)?))
    }

    fn contrast_layers(
        layers: &[Layer<'_, Gpu>],
        options: &Options<'_>,
    ) -> Result<Vec<Output<DeviceBuffer<f32>>>> {
        let mut tasks = Vec::new();
        for layer in layers {
            let options = Options { temperature: layer.temperature, ..*options };
            let task = Task::new(layer.x, layer.y, &options, Extent::Whole)?;
            tasks.push(task.weighted(layer.weight, &options));
        }
        run("info_nce_layers", &tasks, options)
    }

    fn log_sums(x: DevicePoints<'_>, y: DevicePoints<'_>, options: &Options<'_>) -> Result<Lse> {
        let tasks = [Task::new(x, y, options, Extent::Block)?];
        let of = |session: &Session<'_>| match tasks[0].is_half() {
            true => outcome::log_sums(&Batch::<bf16>::pack(session, &tasks, &[0], options)?),
            false => outcome::log_sums(&Batch::<f32>::pack(session, &tasks, &[0], options)?),
        };
        on_all("info_nce_lse", &tasks, of)
    }

    fn contrast_given(
        x: DevicePoints<'_>,
        y: DevicePoints<'_>,
        block: &Block<'_>,
        options: &Options<'_>,
    ) -> Result<Output<DeviceBuffer<f32>>> {
        let task = Task::new(x, y, options, Extent::Block)?;
        block.check(x.count(), y.count(), options)?;
        let share = 1.0 / (options.directions() * block.pairs as f64);
        let tasks = [Task { share, ..task }];
        let of = |session: &Session<'_>| match tasks[0].is_half() {
            true => given::run::<bf16>(session, &tasks, block, options),
            false => given::run::<f32>(session, &tasks, block, options),
        };
        on_all("info_nce_given_lse", &tasks, of)
    }
}

impl<'a> Task<'a> {
    fn new(
        x: DevicePoints<'a>,
        y: DevicePoints<'a>,
        options: &Options<'_>,
        extent: Extent,
    ) -> Result<Self> {
        let (n, m) = (x.count(), y.count());
        check((n, x.width()), (m, y.width()), options, extent)?;
        let index = Index::new(n, m, options);
        Ok(Self { x, y, temperature: options.temperature, share: 0.0, index })
    }

    /// With the share of an anchor in a loss that has a weight.
    fn weighted(self, weight: f64, options: &Options<'_>) -> Self {
        let pairs = self.index.pairs();
        let share = if pairs == 0 { 0.0 } else { weight / (options.directions() * pairs as f64) };
        Self { share, ..self }
    }

    fn is_half(&self) -> bool {
        let is_half = |points: &DevicePoints<'_>| matches!(points.values(), DeviceValues::BF16(_));
        is_half(&self.x) && is_half(&self.y)
    }
}

/// Values and gradients of all tasks, bf16 ones together and f32 ones together.
fn run(
    op: &'static str,
    tasks: &[Task<'_>],
    options: &Options<'_>,
) -> Result<Vec<Output<DeviceBuffer<f32>>>> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let (half, single): (Vec<_>, Vec<_>) = (0..tasks.len()).partition(|&l| tasks[l].is_half());
    let of = |session: &Session<'_>| {
        let mut out: Vec<_> = tasks.iter().map(|_| None).collect();
        part::<bf16>(session, tasks, &half, options, &mut out)?;
        part::<f32>(session, tasks, &single, options, &mut out)?;
        Ok(out.into_iter().flatten().collect())
    };
    on_all(op, tasks, of)
}

/// The tasks `own`, into their places.
fn part<T: Form>(
    session: &Session<'_>,
    tasks: &[Task<'_>],
    own: &[usize],
    options: &Options<'_>,
    out: &mut [Option<Output<DeviceBuffer<f32>>>],
) -> Result<()> {
    if own.is_empty() {
        return Ok(());
    }
    let batch = Batch::<T>::pack(session, tasks, own, options)?;
    let found = normalisers::find(&batch, options.symmetric)?;
    let (gradients, totals) = gradients::of(&batch, &found.anchors, true)?;
    for (l, output) in outcome::outputs(&batch, &found, gradients, &totals)? {
        out[l] = Some(output);
    }
    Ok(())
}

/// Works on the stream of the first cloud; all others wait before and after.
fn on_all<'a, T>(
    op: &'static str,
    tasks: &[Task<'a>],
    work: impl FnOnce(&Session<'a>) -> Result<T>,
) -> Result<T> {
    let clouds = tasks.iter().flat_map(|task| [task.x, task.y]);
    let sessions =
        clouds.map(|cloud| Session::begin(op, tasks[0].x, cloud)).collect::<Result<Vec<_>>>()?;
    let result = work(&sessions[0]);
    sessions.iter().try_for_each(|session| session.finish(|| Ok(())))?;
    result
}

fn only<T>(mut all: Vec<T>) -> T {
    all.pop().expect("one task has one output")
}
