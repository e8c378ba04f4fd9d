//! Scores of anchors against rows of a bank, by one dense product or row by row.

use gpu_math::{Matrix, MatrixMut, Products, Scale, matmul};
use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::bank::DeviceTable;
use super::slopes::{Flag, Table, slopes, total};
use super::wide;
use crate::crd::constants::{Constants, normaliser};
use crate::crd::memory_bank::check_rows;
use crate::device::clouds::Clouds;
use crate::device::points::DevicePoints;
use crate::device::session::{Session, extent};
use crate::error::{KernelError, Result};
use crate::registry::{CRD_ADD_PARTS, CRD_COUNT, CRD_ROWS, CRD_SUMS};

/// Floats of dense scores in memory: 256 MiB, and as many counts.
const DENSE: usize = 64 << 20;
/// Rows of a dense product that cost as much as one row that is fetched: a row is a sector for every
/// 8 values, read for the product and again for the gradient, where a dense score costs its table three
/// passes over 4 bytes. An estimate.
const ROW_COST: usize = 4;
/// Slots that a CTA or a warp takes of an anchor.
const SUM_SPAN: usize = 4096;
const ROW_SPAN: usize = 128;
/// Widest rows that the row kernel has shared memory for.
const MOST_WIDTH: usize = 1536;
/// Entries of lists and CTAs are below this.
const MOST: u32 = 1 << 31;

/// [`Bank::contrast`](crate::crd::Bank::contrast) of checked extents.
pub(super) fn run(
    table: &DeviceTable,
    anchors: DevicePoints<'_>,
    rows: &DeviceBuffer<u32>,
    temperature: f64,
    z: &mut f64,
) -> Result<(f64, DeviceBuffer<f32>)> {
    let (n_data, width) = table.dim();
    let count = anchors.count();
    let slots = rows.len() / count;
    let session = Session::begin("memory bank", anchors, table.points()?)?;
    session.finish(|| {
        let problem = Problem {
            session,
            table,
            anchors: wide(&session, anchors)?,
            rows,
            count,
            slots: extent(session.op, "the rows of an anchor", slots, MOST)?,
            n_data: extent(session.op, "the rows of the bank", n_data, MOST)?,
            temperature,
            flag: Flag::new(&session)?,
        };
        extent(session.op, "the rows of all anchors", rows.len(), MOST)?;
        let is_dense = n_data * ROW_COST <= count * slots && count * n_data <= DENSE;
        match is_dense || width > MOST_WIDTH {
            true => problem.dense(z),
            false => problem.by_rows(z),
        }
    })
}

struct Problem<'a> {
    session: Session<'a>,
    table: &'a DeviceTable,
    anchors: Clouds<'a>,
    rows: &'a DeviceBuffer<u32>,
    count: usize,
    slots: u32,
    n_data: u32,
    temperature: f64,
    flag: Flag,
}

impl Problem<'_> {
    fn inverse(&self) -> f32 {
        (1.0 / self.temperature) as f32
    }

    /// `log2(e) / temperature`, for sums of exponentials.
    fn inverse2(&self) -> f32 {
        (std::f64::consts::LOG2_E / self.temperature) as f32
    }

    fn constants(&self, z: f64) -> Constants {
        Constants::new(self.slots as usize - 1, self.n_data as usize, z)
    }

    /// Refuses the call if a kernel met an index past the bank. Waits for the stream.
    fn refuse_if_flagged(&self) -> Result<()> {
        let is_set = self.flag.is_set(&self.session)?;
        check_rows(self.n_data as usize, self.slots as usize, !is_set)
    }

    /// The normaliser from pairs of maximum and sum in units of log2; kept if it is finite.
    fn fix(&self, pairs: &DeviceBuffer<[f32; 2]>, z: &mut f64) -> Result<f64> {
        let pairs = self.session.fetch(pairs)?;
        self.refuse_if_flagged()?;
        let sums = pairs.iter().map(|&[most, sum]| f64::from(sum) * f64::from(most).exp2());
        Ok(normaliser(sums.sum(), self.rows.len(), self.n_data as usize, z))
    }

    /// All rows of the bank at once.
    fn dense(&self, z: &mut f64) -> Result<(f64, DeviceBuffer<f32>)> {
        let session = self.session;
        let (n_data, width) = self.table.dim();
        let scores = self.count.checked_mul(n_data).filter(|&scores| scores <= DENSE);
        let Some(len) = scores else {
            let detail = format!(
                "{} anchors against {n_data} rows of width {width}: a dense table of scores is larger \
                 than {DENSE}, expected that, or rows of at most {MOST_WIDTH}",
                self.count
            );
            return Err(KernelError::option(session.op, detail, "give fewer anchors at a time"));
        };
        let products = Products::new(session.stream.device());
        let product = |a, b, out: &mut DeviceBuffer<f32>, (rows, cols)| {
            let out = session.gpu(MatrixMut::new(out, rows, cols, cols))?;
            session.gpu(matmul(&products, session.stream, a, b, out, Scale::default()))
        };
        let anchors = self.anchors.x.matrix(&session, 0..self.count, width)?;
        let bank = session.gpu(Matrix::new(self.table.values(), n_data, width, width))?;
        let mut scores = session.room(len)?;
        product(anchors, bank.transposed(), &mut scores, (self.count, n_data))?;
        let counts = self.counts(len)?;
        let scale = match *z {
            0.0 => self.fix(&self.sums(&scores)?, z)?,
            known => known,
        };
        let constants = self.constants(scale);
        let table = Table {
            counts: &counts,
            positives: self.rows,
            stride: self.slots as usize,
            rows: self.count,
            cols: n_data,
            inverse: self.inverse(),
            shift: constants.shift,
            weight: 1.0,
        };
        let sums = slopes(&session, table, &mut scores)?;
        let slopes = session.gpu(Matrix::new(&scores, self.count, n_data, n_data))?;
        let mut grad = session.room(self.count * width)?;
        product(slopes, bank, &mut grad, (self.count, width))?;
        self.refuse_if_flagged()?;
        let value = total(&session, &sums)? + constants.excess * self.negatives();
        Ok((value, grad))
    }

    fn negatives(&self) -> f64 {
        (self.count * (self.slots as usize - 1)) as f64
    }

    /// How often each row is a negative of each anchor.
    fn counts(&self, len: usize) -> Result<DeviceBuffer<u32>> {
        let session = self.session;
        let mut counts = session.zeros(len)?;
        let kernel = session.kernel(&CRD_COUNT)?;
        let total = self.rows.len() as u32;
        let args = args![&mut counts, self.flag.arg(), self.rows, total, self.slots, self.n_data];
        let launch = Launch::over(self.rows.len(), 256);
        // SAFETY: counts is `(B, M)`; the kernel counts no index past `M`.
        unsafe { session.launch(&kernel, launch, args)? };
        Ok(counts)
    }

    /// Maximum and sum of exponentials of each span of an anchor's slots, from dense scores.
    fn sums(&self, scores: &DeviceBuffer<f32>) -> Result<DeviceBuffer<[f32; 2]>> {
        let session = self.session;
        let spans = (self.slots as usize).div_ceil(SUM_SPAN) as u32;
        let ctas = extent(session.op, "the anchors", self.count * spans as usize, MOST)?;
        let mut pairs = session.room(ctas as usize)?;
        let kernel = session.kernel(&CRD_SUMS)?;
        let args =
            args![&mut pairs, scores, self.rows, self.slots, self.n_data, spans, self.inverse2(),];
        // SAFETY: scores is `(B, M)`, of which no index past `M` is read; a pair for each span.
        unsafe { session.launch(&kernel, Launch::linear(ctas, 256), args)? };
        Ok(pairs)
    }

    /// Only the rows that were drawn, each read where it lies.
    fn by_rows(&self, z: &mut f64) -> Result<(f64, DeviceBuffer<f32>)> {
        let session = self.session;
        let width = self.anchors.width as usize;
        let spans = (self.slots as usize).div_ceil(ROW_SPAN);
        let tasks = extent(session.op, "the rows of all anchors", self.count * spans, MOST)?;
        let scale = match *z {
            0.0 => {
                let mut pairs = session.room(tasks as usize)?;
                self.rows(Arg::address(0), Arg::from(&mut pairs), tasks, None)?;
                self.fix(&pairs, z)?
            }
            known => known,
        };
        let constants = self.constants(scale);
        let mut parts = session.room::<f32>(tasks as usize * width)?;
        let mut losses = session.room(tasks as usize)?;
        self.rows((&mut parts).into(), (&mut losses).into(), tasks, Some(constants.shift))?;
        let mut grad = session.room(self.count * width)?;
        let total_values = extent(session.op, "the gradient", self.count * width, MOST)?;
        let kernel = session.kernel(&CRD_ADD_PARTS)?;
        let spans = spans as u32;
        let args =
            args![&mut grad, &parts, total_values, self.anchors.width, spans, self.inverse()];
        let launch = Launch::over(self.count * width, 256);
        // SAFETY: parts is `(B, S, P)`, grad `(B, P)`.
        unsafe { session.launch(&kernel, launch, args)? };
        self.refuse_if_flagged()?;
        let value = total(&session, &losses)? + constants.excess * self.negatives();
        Ok((value, grad))
    }

    /// Losses and gradients of spans with a shift, sums of exponentials without.
    fn rows(&self, parts: Arg<'_>, losses: Arg<'_>, tasks: u32, shift: Option<f32>) -> Result<()> {
        let session = self.session;
        let spans = tasks / self.count as u32;
        let inverse = if shift.is_some() { self.inverse() } else { self.inverse2() };
        let kernel = session.kernel(&CRD_ROWS)?;
        let args = args![
            parts,
            losses,
            self.flag.arg(),
            self.anchors.x.at(),
            self.table.values(),
            self.rows,
            self.anchors.x.stride,
            self.anchors.width,
            self.slots,
            self.n_data,
            spans,
            tasks,
            u32::from(shift.is_some()),
            inverse,
            shift.unwrap_or(0.0),
        ];
        let launch = Launch::new([tasks.div_ceil(4), 1, 1], [32, 4, 1]);
        let launch = launch.dynamic_shared(32 * self.anchors.width);
        // SAFETY: anchors, bank and rows have the extents given, no index past the bank is followed;
        // parts is `(B, S, P)` where there is a shift, losses has eight bytes a span.
        unsafe { session.launch(&kernel, launch, args) }
    }
}
