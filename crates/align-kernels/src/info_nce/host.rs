//! InfoNCE on the host.

use cpu_math::parallel::map_tasks;
use ndarray::Array2;

use super::contrast::Contrast;
use super::layer::Layer;
use super::lse::{Block, Lse};
use super::options::{Extent, Options};
use super::{Forward, Output, Problem, Scores, backward, forward, weighted};
use crate::error::Result;
use crate::place::Host;
use crate::points::Points;

/// Multiply-adds of a layer that keep several threads busy; smaller layers run side by side.
const LARGE_WORK: usize = 1 << 26;

impl Contrast for Host {
    type Gradient = Array2<f32>;

    fn contrast(x: Points<'_>, y: Points<'_>, options: &Options<'_>) -> Result<Output> {
        super::weighted(x, y, options, 1.0)
    }

    fn contrast_layers(layers: &[Layer<'_>], options: &Options<'_>) -> Result<Vec<Output>> {
        run(layers, options)
    }

    fn log_sums(x: Points<'_>, y: Points<'_>, options: &Options<'_>) -> Result<Lse> {
        log_sums(x, y, options)
    }

    fn contrast_given(
        x: Points<'_>,
        y: Points<'_>,
        block: &Block<'_>,
        options: &Options<'_>,
    ) -> Result<Output> {
        given(x, y, block, options)
    }
}

/// Layers side by side, or one after the other where each keeps several threads busy.
fn run(layers: &[Layer<'_>], options: &Options<'_>) -> Result<Vec<Output>> {
    let run = |layer: &Layer<'_>| {
        let options = Options { temperature: layer.temperature, ..*options };
        weighted(layer.x, layer.y, &options, layer.weight)
    };
    let work = |layer: &Layer<'_>| layer.x.count() * layer.y.count() * layer.x.width();
    if layers.iter().any(|layer| work(layer) > LARGE_WORK) {
        layers.iter().map(run).collect()
    } else {
        map_tasks(layers.len(), |l| run(&layers[l])).into_iter().collect()
    }
}

fn log_sums(x: Points<'_>, y: Points<'_>, options: &Options<'_>) -> Result<Lse> {
    let problem = Problem::new(x, y, options, Extent::Block)?;
    let scores = Scores::new(&problem.x, &problem.y, &problem.column_of, options.temperature);
    let Forward { row_lse, column_lse, positives } = forward(&scores, &mut [scores.window()]);
    Ok(Lse {
        rows: problem.x.unpack(row_lse, f64::NEG_INFINITY),
        columns: problem.y.unpack(column_lse, f64::NEG_INFINITY),
        positives: problem.x.unpack(positives, f64::NAN),
    })
}

fn given(x: Points<'_>, y: Points<'_>, block: &Block<'_>, options: &Options<'_>) -> Result<Output> {
    let problem = Problem::new(x, y, options, Extent::Block)?;
    block.check(x.count(), y.count(), options)?;

    let scores = Scores::new(&problem.x, &problem.y, &problem.column_of, options.temperature)
        .wanting(options.gradients.has_x(), options.gradients.has_y());
    let row_lse = problem.x.pack(block.row_lse);
    let column_lse = if options.symmetric { problem.y.pack(block.column_lse) } else { Vec::new() };
    let no_anchors = vec![f64::INFINITY; problem.y.count];
    let columns = if options.symmetric { &column_lse } else { &no_anchors };
    let positives = problem.x.pack(block.positives);
    let share = 1.0 / (options.directions() * block.pairs as f64);
    let lse = (Some(&row_lse[..]), &columns[..]);
    let gradients = backward(&scores, lse, &positives, share, &mut [scores.window()], 0);
    let gradients = problem.finish(gradients, options.temperature);
    Ok(problem.output(Forward { row_lse, column_lse, positives }, share, gradients))
}
