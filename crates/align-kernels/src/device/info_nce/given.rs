//! A block's part of the loss, for log-sum-exps that the host brings.

use std::f64::consts::{LN_2, LOG2_E};

use gpu_runtime::DeviceBuffer;

use super::Task;
use super::gradients;
use super::index::{Kept, NONE};
use super::kernels::Form;
use super::normalisers::Anchors;
use super::packed::Batch;
use super::plan::TILE;
use crate::device::session::Session;
use crate::error::Result;
use crate::info_nce::{Block, Options, Output};

/// The part of a loss and its gradients that comes from one block.
pub(super) fn run<T: Form>(
    session: &Session<'_>,
    tasks: &[Task<'_>],
    block: &Block<'_>,
    options: &Options<'_>,
) -> Result<Output<DeviceBuffer<f32>>> {
    let batch = Batch::<T>::pack(session, tasks, &[0], options)?;
    let (task, index) = (&tasks[0], &tasks[0].index);
    let (rows, columns) = (
        pack(&index.rows, block.row_lse),
        match options.symmetric {
            true => pack(&index.columns, block.column_lse),
            false => vec![f64::INFINITY; index.columns.count],
        },
    );
    let positives = pack(&index.rows, block.positives);
    let of_rows: Vec<_> = (0..rows.len())
        .map(|i| (rows[i], (index.column_of[i] != NONE).then(|| positives[i])))
        .collect();
    let of_columns: Vec<_> = (0..columns.len())
        .map(|j| (columns[j], positives.get(index.row_of[j] as usize).copied()))
        .collect();
    let mut anchors = Anchors::zeros(&batch)?;
    if batch.rows > 0 {
        let (own, centers) = records(&of_rows, task.share, false, batch.rows);
        (anchors.rows, anchors.row_centers) = (session.send(&own)?, session.send(&centers)?);
        let (own, centers) = records(&of_columns, task.share, true, batch.columns);
        (anchors.columns, anchors.col_centers) = (session.send(&own)?, session.send(&centers)?);
    }
    // A row that is no anchor may have logits far above those of the block's anchors.
    let all_anchors = rows.iter().all(|&lse| lse < f64::INFINITY);
    let (mut gradients, totals) = gradients::of(&batch, &anchors, all_anchors)?;
    let total = session.fetch(&totals)?[0];
    let own = gradients.pop().expect("a batch has a layer");

    let mut value = 0.0;
    for (i, &j) in index.column_of.iter().enumerate().filter(|&(_, &j)| j != NONE) {
        let losses = [rows[i], columns[j as usize]].into_iter().filter(|lse| *lse != f64::INFINITY);
        value += task.share * losses.map(|lse| lse - positives[i]).sum::<f64>();
    }
    Ok(Output {
        value,
        grad_x: own.x,
        grad_y: own.y,
        grad_temperature: -total / task.temperature,
        row_lse: index.rows.unpack(rows.into_iter(), f64::NEG_INFINITY),
        column_lse: match options.symmetric {
            true => index.columns.unpack(columns.into_iter(), f64::NEG_INFINITY),
            false => Vec::new(),
        },
        positives: index.rows.unpack(positives.into_iter(), f64::NAN),
    })
}

fn pack(kept: &Kept, values: &[f64]) -> Vec<f64> {
    kept.all().map(|i| values[i]).collect()
}

/// Records as `info_nce_combine_v1_f32` makes them, of log-sum-exps and logits of pairs; and the centres
/// of blocks of 128.
fn records(
    anchors: &[(f64, Option<f64>)],
    share: f64,
    is_columns: bool,
    padded: u32,
) -> (Vec<f32>, Vec<f32>) {
    let (mut records, mut centers) = (vec![0.0f32; 4 * padded as usize], Vec::new());
    let blocks = records.chunks_exact_mut(4 * TILE as usize);
    for (first, out) in (0..).step_by(TILE as usize).zip(blocks) {
        let own = &anchors[first.min(anchors.len())..anchors.len().min(first + TILE as usize)];
        // No anchor has an infinite log-sum-exp.
        let known = own.iter().map(|&(lse, _)| lse * LOG2_E).filter(|r| r.is_finite());
        let (low, high) = known
            .clone()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), r| (low.min(r), high.max(r)));
        let center = if low <= high { (low + high) / 2.0 } else { 0.0 };
        // Others take part in the softmaxes of the other side, from the centre.
        let reach = if low <= high { high - center } else { f64::NEG_INFINITY };
        centers.extend([center as f32, reach as f32]);
        for (&(lse, positive), out) in own.iter().zip(out.chunks_exact_mut(4)) {
            let is_anchor = lse != f64::INFINITY;
            let exact = if is_anchor { lse * LOG2_E } else { center };
            let r = exact as f32;
            let weight = if is_anchor { share * LN_2 } else { 0.0 };
            let w = weight * (f64::from(r) - exact).exp2();
            let power = match is_columns {
                true => w * (center - f64::from(r)).exp2(),
                false => (f64::from(r) - center).exp2(),
            };
            let miss = positive.map_or(0.0, |positive| -weight * (positive - lse).exp_m1());
            let miss = if is_anchor { miss } else { 0.0 };
            out.copy_from_slice(&[r, w as f32, power as f32, miss as f32]);
        }
    }
    (records, centers)
}
