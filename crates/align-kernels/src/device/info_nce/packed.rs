//! The points of a batch of layers, packed, and the lists that kernels go by.

use gpu_runtime::{Arg, DeviceBuffer, Launch, args};

use super::Task;
use super::index::NONE;
use super::kernels::{Cut, Form};
use super::plan::{self, BlockShape, PAD, TILE, Window};
use crate::device::clouds::Clouds;
use crate::device::parcel::{Delivered, Parcel, Place};
use crate::device::session::{Session, extent};
use crate::error::Result;
use crate::gradient_sides::GradientSides;
use crate::info_nce::{Options, Similarity};

/// Points of a side are below this, and partial sums and slots of a batch below its double.
const MOST_POINTS: u32 = 1 << 30;
/// Elements of a point are below this.
const MOST_WIDTH: u32 = 1 << 24;
/// Elements of packed points come in chunks of this.
const CHUNK: u32 = 64;
/// Slots of a tile of slopes, for the temperature.
const SLOTS: u32 = 8;

/// Layers of one form on the device.
pub(super) struct Batch<'s, 't, T: Form> {
    pub session: &'s Session<'s>,
    pub layers: Vec<Layer<'t, T>>,
    pub cosine: bool,
    pub symmetric: bool,
    pub wanted: GradientSides,
    /// Packed rows and columns of all layers, padding included.
    pub rows: u32,
    pub columns: u32,
    pub row_parts: u32,
    pub col_parts: u32,
    pub slots: u32,
    /// Factor, reach, inverse length and power of two of each packed point.
    pub row_sides: DeviceBuffer<f32>,
    pub col_sides: DeviceBuffer<f32>,
    pub cut: Cut,
    pub shape: BlockShape,
    pub rounds: Vec<Vec<Window>>,
    /// Slopes of the largest round.
    pub most_slopes: u64,
    pub lists: Lists,
    delivered: Delivered,
}

/// One layer of a batch.
pub(super) struct Layer<'t, T: Form> {
    pub task: &'t Task<'t>,
    /// Its number among all tasks.
    pub at: usize,
    /// Points that count; 0 on both sides when one side has none.
    pub n: u32,
    pub m: u32,
    pub width: u32,
    /// Elements from one packed point to the next.
    pub pitch: u32,
    pub x: DeviceBuffer<T>,
    pub y: DeviceBuffer<T>,
    /// The same points, as warpgroups read them.
    x_image: Option<DeviceBuffer<T>>,
    y_image: Option<DeviceBuffer<T>>,
    pub rows_first: u32,
    pub cols_first: u32,
    pub slots_first: u32,
}

/// Where the lists of a batch are.
pub(super) struct Lists {
    row_sources: Place,
    col_sources: Place,
    pub column_of: Place,
    pub row_of: Place,
    pub layers: Place,
    pub blocks: Place,
    pub block_count: u32,
    pub row_blocks: Place,
    pub row_block_count: u32,
    pub col_blocks: Place,
    pub col_block_count: u32,
    pub shares: Place,
    /// A list a round.
    pub windows: Vec<Place>,
    pub ranges: Place,
}

/// Starts of what layers have in common lists.
#[derive(Default)]
struct Starts {
    rows: usize,
    columns: usize,
    row_parts: usize,
    col_parts: usize,
    slots: usize,
}

impl<'s, 't, T: Form> Batch<'s, 't, T> {
    pub fn pack(
        session: &'s Session<'s>,
        tasks: &'t [Task<'t>],
        own: &[usize],
        options: &Options<'_>,
    ) -> Result<Self> {
        let (op, cut) = (session.op, Cut::of::<T>(session));
        let mut layers = Vec::new();
        for &at in own {
            layers.push(Layer::<T>::room(session, &tasks[at], at, cut.is_wide)?);
        }
        let extents: Vec<_> = layers.iter().map(|layer| (layer.n, layer.m)).collect();
        let shape = BlockShape::choose(cut.tiles, cut.ctas, &extents);
        let bytes = size_of::<T>() as u64;
        let (rounds, most_slopes) = plan::windows(&extents, bytes, (cut.tiles.columns, cut.ctas));

        // Everything goes to the device in one copy.
        let (mut starts, mut parcel, mut heads) =
            (Starts::default(), Parcel::default(), Vec::<[u32; 16]>::new());
        let (mut sources, mut partners) = ([vec![], vec![]], [vec![], vec![]]);
        for layer in &mut layers {
            let (rows, columns) = (layer.n.next_multiple_of(PAD), layer.m.next_multiple_of(PAD));
            let small = |what, value| extent(op, what, value, 2 * MOST_POINTS);
            layer.rows_first = small("the rows of all layers", starts.rows)?;
            layer.cols_first = small("the columns of all layers", starts.columns)?;
            layer.slots_first = small("the tiles of all layers", starts.slots)?;
            let row_parts = small("the partial sums of rows", starts.row_parts)?;
            let col_parts = small("the partial sums of columns", starts.col_parts)?;
            let halves = |address: u64| [address as u32, (address >> 32) as u32];
            let ([x, x_high], [y, y_high]) = (halves(layer.x.address()), halves(layer.y.address()));
            let image = |image: &Option<DeviceBuffer<T>>| image.as_ref().map_or(0, |i| i.address());
            let ([u, u_high], [v, v_high]) =
                (halves(image(&layer.x_image)), halves(image(&layer.y_image)));
            let (n, m) = (layer.n, layer.m);
            let (first, chunks) = ((layer.rows_first, layer.cols_first), layer.pitch / CHUNK);
            heads.push([
                x, x_high, y, y_high, u, u_high, v, v_high, n, m, first.0, first.1, row_parts,
                col_parts, chunks, 0,
            ]);
            let index = &layer.task.index;
            for (list, kept, padded) in [(0, &index.rows, rows), (1, &index.columns, columns)] {
                if padded > 0 {
                    sources[list].extend(kept.sources(padded as usize));
                }
            }
            for (list, of, padded) in [(0, &index.column_of, rows), (1, &index.row_of, columns)] {
                let end = partners[list].len() + padded as usize;
                partners[list].extend(of.iter().take(padded as usize));
                partners[list].resize(end, NONE);
            }
            starts.rows += rows as usize;
            starts.columns += columns as usize;
            starts.row_parts += rows as usize * m.div_ceil(shape.columns) as usize;
            starts.col_parts += columns as usize * n.div_ceil(shape.rows) as usize;
            starts.slots += layer.slots() as usize;
        }
        let small = |what, value| extent(op, what, value, 2 * MOST_POINTS);
        let rows = small("the rows of all layers", starts.rows)?;
        let columns = small("the columns of all layers", starts.columns)?;
        let row_parts = small("the partial sums of rows", starts.row_parts)?;
        let col_parts = small("the partial sums of columns", starts.col_parts)?;
        let slots = small("the tiles of all layers", starts.slots)?;

        let blocks = shape.blocks(&extents);
        let row_blocks = plan::anchor_blocks(extents.iter().map(|&(n, _)| n));
        let col_blocks = plan::anchor_blocks(extents.iter().map(|&(_, m)| m));
        // The slopes are by products in units of log2.
        let share = |layer: &Layer<'_, T>| (layer.task.share * std::f64::consts::LN_2) as f32;
        let shares: Vec<f32> = layers.iter().map(share).collect();
        let ranges: Vec<_> =
            layers.iter().map(|layer| [layer.slots_first, layer.slots()]).collect();
        let window = |window: &Window| {
            let layer = &layers[window.layer];
            let (low, high) = (window.start as u32, (window.start >> 32) as u32);
            let (at, pitch) = (window.layer as u32, plan::pitch(layer.m));
            [at, window.first, window.rows, layer.slots_first, low, high, pitch, 0]
        };
        let lists = Lists {
            row_sources: parcel.put(&sources[0]),
            col_sources: parcel.put(&sources[1]),
            column_of: parcel.put(&partners[0]),
            row_of: parcel.put(&partners[1]),
            layers: parcel.put(&heads),
            block_count: u32::try_from(blocks.len()).unwrap_or(u32::MAX),
            blocks: parcel.put(&blocks),
            row_block_count: row_blocks.len() as u32,
            row_blocks: parcel.put(&row_blocks),
            col_block_count: col_blocks.len() as u32,
            col_blocks: parcel.put(&col_blocks),
            shares: parcel.put(&shares),
            windows: rounds
                .iter()
                .map(|round| parcel.put(&round.iter().map(window).collect::<Vec<_>>()))
                .collect(),
            ranges: parcel.put(&ranges),
        };
        let mut batch = Self {
            session,
            cosine: options.similarity == Similarity::Cosine,
            symmetric: options.symmetric,
            wanted: options.gradients,
            rows,
            columns,
            row_parts,
            col_parts,
            slots,
            row_sides: session.room(4 * rows as usize)?,
            col_sides: session.room(4 * columns as usize)?,
            cut,
            shape,
            rounds,
            most_slopes,
            delivered: parcel.send(session)?,
            lists,
            layers,
        };
        batch.fill()?;
        Ok(batch)
    }

    /// The address of a list.
    pub fn list(&self, place: Place) -> Arg<'_> {
        self.delivered.at(place)
    }

    /// The address of a list, from entry `first` of `words` words each.
    pub fn list_from(&self, place: Place, first: u32, words: u32) -> Arg<'_> {
        self.delivered.within(place, first as usize * words as usize)
    }

    /// The lists of the places of packed rows and columns.
    pub fn sources(&self) -> (Place, Place) {
        (self.lists.row_sources, self.lists.col_sources)
    }

    /// Copies the points.
    fn fill(&mut self) -> Result<()> {
        let session = self.session;
        let kernel = session.kernel(T::PACK)?;
        let cosine = u32::from(self.cosine);
        for layer in self.layers.iter().filter(|layer| layer.n > 0) {
            let task = layer.task;
            // f32 copies of bf16 points live until the stream has read them.
            let clouds = match T::IS_HALF {
                true => None,
                false => Some(Clouds::wide(session, task.x, task.y)?),
            };
            let factor = (std::f64::consts::LOG2_E / task.temperature) as f32;
            let sides = [
                (&layer.x, task.x, layer.n, &self.row_sides, layer.rows_first, factor),
                (&layer.y, task.y, layer.m, &self.col_sides, layer.cols_first, 1.0),
            ];
            for (side, (packed, points, count, out, first, factor)) in sides.into_iter().enumerate()
            {
                let list = [self.lists.row_sources, self.lists.col_sources][side];
                let (at, stride) = match &clouds {
                    Some(clouds) => {
                        let rows = [&clouds.x, &clouds.y][side];
                        (rows.at(), rows.stride)
                    }
                    None => {
                        let stride = points.row_stride();
                        let stride = extent(session.op, "the row stride", stride, MOST_POINTS)?;
                        (Arg::address(points.values().address()), stride)
                    }
                };
                let padded = count.next_multiple_of(PAD);
                let out = Arg::address(out.address() + 16 * u64::from(first));
                let common = args![
                    at,
                    self.list_from(list, first, 1),
                    padded,
                    layer.width,
                    stride,
                    layer.pitch,
                    factor,
                    cosine
                ];
                let mut args = vec![Arg::from(packed), out];
                if T::IS_HALF {
                    let image = [&layer.x_image, &layer.y_image][side].as_ref();
                    let image = image.map_or(Arg::address(0), Arg::from);
                    args.extend([image, Arg::from(side as u32)]);
                }
                args.extend_from_slice(common);
                let launch = Launch::new([padded.div_ceil(8), 1, 1], [32, 8, 1]);
                // SAFETY: the packed points and their sides have `padded` rows; the list names points
                // of the cloud alone.
                unsafe { session.launch(&kernel, launch, &args)? };
            }
        }
        Ok(())
    }
}

impl<'t, T: Form> Layer<'t, T> {
    /// Memory for the points that count.
    fn room(session: &Session<'_>, task: &'t Task<'t>, at: usize, is_wide: bool) -> Result<Self> {
        let op = session.op;
        let n = extent(op, "the number of points of x", task.x.count(), MOST_POINTS)?;
        let m = extent(op, "the number of points of y", task.y.count(), MOST_POINTS)?;
        let width = extent(op, "the width", task.x.width(), MOST_WIDTH)?;
        let (rows, columns) = (&task.index.rows, &task.index.columns);
        let is_empty = rows.count == 0 || columns.count == 0;
        let (n, m) = match is_empty {
            true => (0, 0),
            false => (n.min(rows.count as u32), m.min(columns.count as u32)),
        };
        let pitch = width.next_multiple_of(CHUNK);
        let room =
            |count: u32| session.room::<T>(count.next_multiple_of(PAD) as usize * pitch as usize);
        let image = |count: u32| if is_wide { room(count).map(Some) } else { Ok(None) };
        Ok(Self {
            task,
            at,
            n,
            m,
            width,
            pitch,
            x: room(n)?,
            y: room(m)?,
            x_image: image(n)?,
            y_image: image(m)?,
            rows_first: 0,
            cols_first: 0,
            slots_first: 0,
        })
    }

    /// Slots for the temperature: 8 a tile, rows of tiles padded as columns are.
    fn slots(&self) -> u32 {
        self.n.div_ceil(TILE) * (self.m.next_multiple_of(PAD) / TILE) * SLOTS
    }
}
