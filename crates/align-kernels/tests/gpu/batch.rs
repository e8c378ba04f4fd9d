//! Clouds for the tests, on the host and on a device.

use align_kernels::device::{DevicePoints, DeviceValues, Gpu};
use align_kernels::{Points, Ragged};
use gpu_runtime::{DeviceBuffer, Stream};
use half::bf16;
use ndarray::{Array2, ArrayView2, s};

/// How points lie in device memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// f32, row after row.
    Tight,
    /// f32, rows three values further apart than they are long.
    Gaps,
    /// bf16, rows at multiples of 16 bytes.
    Half,
    /// bf16, rows anywhere.
    OddHalf,
}

pub const FORMS: [Form; 4] = [Form::Tight, Form::Gaps, Form::Half, Form::OddHalf];

impl Form {
    pub fn is_half(self) -> bool {
        matches!(self, Self::Half | Self::OddHalf)
    }

    fn stride(self, width: usize) -> usize {
        match self {
            Self::Tight => width,
            Self::Gaps => width + 3,
            Self::Half => width.next_multiple_of(8) + 8,
            Self::OddHalf => (width + 1) | 1,
        }
    }
}

/// Noise in `[0, 1)`.
pub fn noise(seed: usize) -> impl FnMut() -> f32 {
    let mut state = seed as u64 * 7919 + 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// One side of a ragged batch on the host, with weights.
#[derive(Clone)]
pub struct Cloud {
    pub points: Array2<f32>,
    pub offsets: Vec<usize>,
    pub weights: Vec<f32>,
}

impl Cloud {
    /// Points of squared length about 1, in a few clusters, and uneven weights of sum 1 an item.
    pub fn new(lengths: &[usize], width: usize, seed: usize) -> Self {
        let mut offsets = vec![0];
        lengths.iter().for_each(|n| offsets.push(offsets[offsets.len() - 1] + n));
        let (mut noise, scale) = (noise(seed), 1.5 / (width as f32).sqrt());
        let count = offsets[lengths.len()];
        let points = Array2::from_shape_fn((count, width), |(i, d)| {
            scale * (noise() - 0.5) + 0.5 * f32::from(u8::from((i + d) % 3 == 0)) * scale
        });
        let mut weights = Vec::new();
        weights.resize_with(count, || 0.2 + noise());
        Self { points, offsets, weights }.normalised()
    }

    /// Every fifth point gets the weight 0 and holds NaN.
    pub fn with_holes(mut self) -> Self {
        for k in (0..self.weights.len()).skip(2).step_by(5) {
            self.weights[k] = 0.0;
            self.points.row_mut(k).fill(f32::NAN);
        }
        self.normalised()
    }

    fn normalised(mut self) -> Self {
        for k in 0..self.items() {
            let weights = &mut self.weights[self.offsets[k]..self.offsets[k + 1]];
            let sum = weights.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            weights.iter_mut().for_each(|w| *w /= sum);
        }
        self
    }

    /// All of an item's weights are 0, and its points hold NaN.
    pub fn without_mass(mut self, item: usize) -> Self {
        let range = self.offsets[item]..self.offsets[item + 1];
        self.weights[range.clone()].fill(0.0);
        self.points.slice_mut(s![range, ..]).fill(f32::NAN);
        self
    }

    /// The points that a form can hold.
    pub fn rounded(mut self, form: Form) -> Self {
        if form.is_half() {
            self.points.mapv_inplace(|x| bf16::from_f32(x).to_f32());
        }
        self
    }

    pub fn items(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn width(&self) -> usize {
        self.points.ncols()
    }

    /// Points of an item.
    pub fn item(&self, k: usize) -> ArrayView2<'_, f32> {
        self.points.slice(s![self.offsets[k]..self.offsets[k + 1], ..])
    }

    pub fn item_weights(&self, k: usize) -> &[f32] {
        &self.weights[self.offsets[k]..self.offsets[k + 1]]
    }

    /// The batch on the host.
    pub fn host(&self) -> Ragged<'_> {
        Ragged::new(Points::from(self.points.view()), &self.offsets).unwrap()
    }

    /// A copy on the device, with NaN between the rows and behind them.
    pub fn send(&self, stream: &Stream, form: Form) -> Sent {
        let stride = form.stride(self.width());
        let mut values = vec![f32::NAN; self.points.nrows() * stride];
        let slots = values.chunks_exact_mut(stride.max(1));
        for (row, slot) in self.points.rows().into_iter().zip(slots) {
            row.iter().zip(slot).for_each(|(x, slot)| *slot = *x);
        }
        let memory = if form.is_half() {
            let half: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
            Memory::Half(DeviceBuffer::from_slice(stream, &half).unwrap())
        } else {
            Memory::Single(DeviceBuffer::from_slice(stream, &values).unwrap())
        };
        let (count, width) = self.points.dim();
        let offsets = self.offsets.clone();
        Sent { memory, stream: stream.clone(), count, width, stride, offsets }
    }
}

/// A cloud in device memory.
pub struct Sent {
    memory: Memory,
    stream: Stream,
    count: usize,
    width: usize,
    stride: usize,
    offsets: Vec<usize>,
}

enum Memory {
    Single(DeviceBuffer<f32>),
    Half(DeviceBuffer<bf16>),
}

impl Sent {
    pub fn points(&self) -> DevicePoints<'_> {
        let values: DeviceValues<'_> = match &self.memory {
            Memory::Single(buffer) => buffer.into(),
            Memory::Half(buffer) => buffer.into(),
        };
        DevicePoints::strided(&self.stream, values, self.count, self.width, self.stride).unwrap()
    }

    pub fn ragged(&self) -> Ragged<'_, Gpu> {
        Ragged::on_device(self.points(), &self.offsets).unwrap()
    }
}

/// As f64.
pub fn wide<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<f64> {
    values.into_iter().map(|&x| f64::from(x)).collect()
}
