//! Several batches in one: their points are packed, and what comes out is taken apart again.

use bytemuck::Pod;
use gpu_runtime::{DeviceBuffer, DeviceSlice};
use half::bf16;

use super::gradient::DeviceGradients;
use super::updates::Buffer;
use super::{Batch, Pieces, run, solve_with_gradient};
use crate::device::points::{DevicePoints, DeviceValues};
use crate::device::session::Session;
use crate::error::{KernelError, Result};
use crate::sinkhorn::{Options, Output, Weights, weights_of};

/// Values, and the gradients for the weights that `upstream` then gives them, of each batch.
pub(in crate::device) fn run_through(
    x: &[&Batch<'_>],
    y: &[&Batch<'_>],
    weights: &[Weights<'_>],
    options: &Options,
    upstream: impl FnOnce(&Output) -> Result<Vec<f32>>,
) -> Result<(Output, Vec<DeviceGradients>)> {
    let through = |x: &Batch<'_>, y: &Batch<'_>, weights: Weights<'_>| {
        let solved = run(x, y, weights, options)?;
        let upstream = upstream(&solved)?;
        let values_alone = Options { plan: false, project_x: false, project_y: false, ..*options };
        let (upstream, saved) = (Some(&upstream[..]), Some(&solved));
        let (_, pieces) = solve_with_gradient(x, y, weights, &values_alone, upstream, saved)?;
        Ok((solved, pieces))
    };
    if let ([x], [y], [weights]) = (x, y, weights) {
        let (solved, pieces) = through(x, y, *weights)?;
        return Ok((solved, vec![pieces.whole()]));
    }
    let session = Session::begin("sinkhorn", x[0].points(), y[0].points())?;
    let x_points = x.iter().map(|batch| batch.points());
    let all = x_points.chain(y.iter().map(|batch| batch.points()));
    let others = all.map(|points| Session::begin("sinkhorn", x[0].points(), points));
    let others = others.collect::<Result<Vec<_>>>()?;
    let work = || {
        let (packed_x, packed_y) = (Packed::new(&session, "x", x)?, Packed::new(&session, "y", y)?);
        let (a, b): (Vec<_>, Vec<_>) = weights.iter().map(|weights| (weights.a, weights.b)).unzip();
        let (a, b) = (packed_x.weights("x", x, &a)?, packed_y.weights("y", y, &b)?);
        let weights = Weights { a: a.as_deref(), b: b.as_deref() };
        let in_one = (packed_x.points(&session)?, packed_y.points(&session)?);
        let ragged_x = Batch::on_device(in_one.0, &packed_x.offsets)?;
        let ragged_y = Batch::on_device(in_one.1, &packed_y.offsets)?;
        let (solved, pieces) = through(&ragged_x, &ragged_y, weights)?;
        Ok((solved, apart(&session, [&packed_x, &packed_y], &pieces)?))
    };
    let result = session.finish(work);
    others.iter().try_for_each(|session| session.finish(|| Ok(())))?;
    result
}

/// The points of several batches, one after another.
struct Packed {
    values: Values,
    stride: usize,
    width: usize,
    offsets: Vec<usize>,
    /// Where the points of each batch start, and where the last ones end.
    starts: Vec<usize>,
}

enum Values {
    F32(DeviceBuffer<f32>),
    BF16(DeviceBuffer<bf16>),
}

impl Packed {
    fn new(session: &Session<'_>, name: &str, batches: &[&Batch<'_>]) -> Result<Self> {
        let first = batches[0].points();
        let (stride, width) = (first.row_stride(), first.width());
        let (mut offsets, mut starts) = (vec![0], vec![0]);
        for (l, batch) in batches.iter().enumerate() {
            let points = batch.points();
            if (kind(&points), points.row_stride()) != (kind(&first), stride) {
                let detail = format!(
                    "{name} of layer {l} is {} with rows {} apart, expected {} with rows {stride} apart, \
                     as layer 0",
                    kind(&points),
                    points.row_stride(),
                    kind(&first)
                );
                let hint = "store all layers of a side alike";
                return Err(KernelError::option(session.op, detail, hint));
            }
            let start = starts[l];
            offsets.extend(batch.offsets()[1..].iter().map(|at| start + at));
            starts.push(start + points.count());
        }
        let views = || batches.iter().map(|batch| batch.points().values());
        let values = match first.values() {
            DeviceValues::F32(_) => {
                let views = views().map(|values| match values {
                    DeviceValues::F32(values) => values,
                    DeviceValues::BF16(_) => unreachable!("layers were checked to be of one kind"),
                });
                Values::F32(packed(session, views, &starts, (stride, width))?)
            }
            DeviceValues::BF16(_) => {
                let views = views().map(|values| match values {
                    DeviceValues::BF16(values) => values,
                    DeviceValues::F32(_) => unreachable!("layers were checked to be of one kind"),
                });
                Values::BF16(packed(session, views, &starts, (stride, width))?)
            }
        };
        Ok(Self { values, stride, width, offsets, starts })
    }

    fn points<'p>(&'p self, session: &Session<'p>) -> Result<DevicePoints<'p>> {
        let count = self.starts[self.starts.len() - 1];
        let values = match &self.values {
            Values::F32(values) => DeviceValues::from(values),
            Values::BF16(values) => DeviceValues::from(values),
        };
        DevicePoints::strided(session.stream, values, count, self.width, self.stride)
    }

    /// Weights of all batches, unless they are those of none.
    fn weights(
        &self,
        name: &str,
        batches: &[&Batch<'_>],
        weights: &[Option<&[f32]>],
    ) -> Result<Option<Vec<f32>>> {
        if weights.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut all = Vec::new();
        for (l, (batch, weights)) in batches.iter().zip(weights).enumerate() {
            all.extend(weights_of(&format!("{name} of layer {l}"), *weights, batch.offsets())?);
        }
        Ok(Some(all))
    }
}

fn kind(points: &DevicePoints<'_>) -> &'static str {
    match points.values() {
        DeviceValues::F32(_) => "f32",
        DeviceValues::BF16(_) => "bf16",
    }
}

fn packed<'v, T: Pod>(
    session: &Session<'_>,
    views: impl Iterator<Item = DeviceSlice<'v, T>>,
    starts: &[usize],
    (stride, width): (usize, usize),
) -> Result<DeviceBuffer<T>> {
    let mut out = session.room(starts[starts.len() - 1] * stride)?;
    for (view, rows) in views.zip(starts.windows(2)) {
        // The last row may end where its points do.
        let len = match rows[1] - rows[0] {
            0 => 0,
            count => (count - 1) * stride + width,
        };
        let from = session.gpu(view.slice(..len))?;
        let mut to = session.gpu(out.slice_mut(rows[0] * stride..rows[0] * stride + len))?;
        session.gpu(to.copy_from(session.stream, from))?;
    }
    Ok(out)
}

/// The gradients of each batch.
fn apart(
    session: &Session<'_>,
    [x, y]: [&Packed; 2],
    pieces: &Pieces,
) -> Result<Vec<DeviceGradients>> {
    let rows = |side: &Packed, all: &Buffer, l: usize| -> Result<Buffer> {
        if all.is_empty() {
            return session.room(0);
        }
        let range = side.starts[l] * side.width..side.starts[l + 1] * side.width;
        let mut out = session.room(range.len())?;
        let from = session.gpu(all.slice(range))?;
        session.gpu(out.as_slice_mut().copy_from(session.stream, from))?;
        Ok(out)
    };
    let some = |side: &Packed, all: &[f32], l: usize| match all.is_empty() {
        true => Vec::new(),
        false => all[side.starts[l]..side.starts[l + 1]].to_vec(),
    };
    let ([by_x, by_y], (a, b, eps)) = (&pieces.points, &pieces.slopes);
    let one = |l: usize| {
        let (x_rows, y_rows) = (rows(x, by_x, l)?, rows(y, by_y, l)?);
        let (a, b) = (some(x, a, l), some(y, b, l));
        Ok(DeviceGradients { x: x_rows, y: y_rows, a, b, eps: eps[l] })
    };
    (0..eps.len()).map(one).collect()
}
