//! What the host gets: values, log-sum-exps and the temperature's gradient, in f64.

use std::f64::consts::LN_2;

use gpu_runtime::DeviceBuffer;

use super::gradients::Gradients;
use super::index::NONE;
use super::kernels::Form;
use super::normalisers::{self, Found};
use super::packed::{Batch, Layer};
use crate::error::Result;
use crate::info_nce::combine::LogSum;
use crate::info_nce::{Lse, Output};

/// Log-sum-exps of packed anchors, and the logits of pairs, in natural units.
struct Sums {
    rows: Vec<f64>,
    columns: Vec<f64>,
    /// Of rows; NaN without a partner.
    positives: Vec<f64>,
}

/// Outputs of a batch, with the place of each among all tasks. Waits for the device.
pub(super) fn outputs<T: Form>(
    batch: &Batch<'_, '_, T>,
    found: &Found,
    gradients: Vec<Gradients>,
    totals: &DeviceBuffer<f64>,
) -> Result<Vec<(usize, Output<DeviceBuffer<f32>>)>> {
    let sums = fetch(batch, found)?;
    let totals = batch.session.fetch(totals)?;
    let layers = batch.layers.iter().zip(sums).zip(gradients).zip(totals);
    let mut outputs = Vec::new();
    for (((layer, sums), gradients), total) in layers {
        outputs.push((layer.at, output(layer, sums, gradients, total, batch.symmetric)));
    }
    Ok(outputs)
}

/// Log-sum-exps of the one layer of a batch.
pub(super) fn log_sums<T: Form>(batch: &Batch<'_, '_, T>) -> Result<Lse> {
    let found = normalisers::find(batch, true)?;
    let sums = fetch(batch, &found)?.pop().expect("a batch has a layer");
    let index = &batch.layers[0].task.index;
    Ok(Lse {
        rows: index.rows.unpack(sums.rows.into_iter(), f64::NEG_INFINITY),
        columns: index.columns.unpack(sums.columns.into_iter(), f64::NEG_INFINITY),
        positives: index.rows.unpack(sums.positives.into_iter(), f64::NAN),
    })
}

/// `share * sum over pairs of (lse - positive)`, with everything at its place.
fn output<T: Form>(
    layer: &Layer<'_, T>,
    sums: Sums,
    gradients: Gradients,
    total: f64,
    symmetric: bool,
) -> Output<DeviceBuffer<f32>> {
    let (task, index) = (layer.task, &layer.task.index);
    let mut value = 0.0;
    for (i, &j) in index.column_of.iter().enumerate().filter(|&(_, &j)| j != NONE) {
        let column = symmetric.then(|| sums.columns[j as usize]);
        let losses = [Some(sums.rows[i]), column].into_iter().flatten();
        value += task.share * losses.map(|lse| lse - sums.positives[i]).sum::<f64>();
    }
    let column_lse = match symmetric {
        true => index.columns.unpack(sums.columns.into_iter(), f64::NEG_INFINITY),
        false => Vec::new(),
    };
    Output {
        value,
        grad_x: gradients.x,
        grad_y: gradients.y,
        // Logits go with 1 / temperature.
        grad_temperature: -total / task.temperature,
        row_lse: index.rows.unpack(sums.rows.into_iter(), f64::NEG_INFINITY),
        column_lse,
        positives: index.rows.unpack(sums.positives.into_iter(), f64::NAN),
    }
}

/// What the first pass found of each layer. Waits for the device.
fn fetch<T: Form>(batch: &Batch<'_, '_, T>, found: &Found) -> Result<Vec<Sums>> {
    let rows = batch.session.fetch(&found.rows)?;
    let columns = match &found.columns {
        Some(columns) => batch.session.fetch(columns)?,
        None => Vec::new(),
    };
    let of = |layer: &Layer<'_, T>| {
        let index = &layer.task.index;
        if layer.n == 0 {
            return Sums {
                rows: vec![f64::NEG_INFINITY; index.rows.count],
                columns: vec![f64::NEG_INFINITY; index.columns.count],
                positives: vec![f64::NAN; index.rows.count],
            };
        }
        let records = rows[2 * layer.rows_first as usize..].chunks_exact(2);
        let of_rows = || records.clone().zip(&index.column_of);
        let columns = columns.get(2 * layer.cols_first as usize..).unwrap_or_default();
        let of_columns = columns.chunks_exact(2).zip(&index.row_of);
        let positive = |(record, &partner): (&[f64], &u32)| match partner {
            NONE => f64::NAN,
            _ => logits(record[1]).1,
        };
        Sums {
            rows: of_rows().map(log_sum).collect(),
            columns: of_columns.map(log_sum).collect(),
            positives: of_rows().map(positive).collect(),
        }
    };
    Ok(batch.layers.iter().map(of).collect())
}

/// The log-sum-exp of a record, its partner joining last, as on the host.
fn log_sum((record, &partner): (&[f64], &u32)) -> f64 {
    let (max, positive) = logits(record[1]);
    let mut sum = LogSum::EMPTY;
    // An empty sum has no maximum.
    if record[0] != 0.0 {
        sum.add(max, record[0]);
    }
    if partner != NONE {
        sum.add(positive, 1.0);
    }
    sum.value()
}

/// The maximum and the positive of a record: two f32 in units of log2.
fn logits(word: f64) -> (f64, f64) {
    let bits = word.to_bits();
    let of = |bits: u32| f64::from(f32::from_bits(bits)) * LN_2;
    (of(bits as u32), of((bits >> 32) as u32))
}
