//! Pairs of clouds for the tests, on the host and on a device.

use align_kernels::device::{DevicePoints, DeviceValues};
use align_kernels::info_nce::{Options, Output, Similarity, info_nce};
use align_kernels::reference::info_nce as twin;
use gpu_runtime::{DeviceBuffer, Stream};
use half::bf16;
use ndarray::Array2;

/// How points lie in device memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// f32, row after row.
    Tight,
    /// f32, rows three values further apart than they are long.
    Gaps,
    /// bf16, rows at odd places.
    Half,
}

pub const FORMS: [Form; 3] = [Form::Tight, Form::Gaps, Form::Half];

/// Two clouds and the options of their loss, which own their masks.
#[derive(Debug, Clone)]
pub struct Case {
    pub x: Array2<f32>,
    pub y: Array2<f32>,
    pub form: Form,
    pub temperature: f64,
    pub similarity: Similarity,
    pub symmetric: bool,
    pub offset: isize,
    pub row_mask: Option<Vec<bool>>,
    pub column_mask: Option<Vec<bool>>,
}

/// Noise in `[-0.5, 0.5)`.
pub fn noise(seed: usize) -> impl FnMut() -> f32 {
    let mut state = seed as u64 * 7919 + 1;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

impl Case {
    /// Partners that resemble each other, so that the loss is a trained one.
    pub fn new((n, m, d): (usize, usize, usize), form: Form, seed: usize) -> Self {
        let offset = m.saturating_sub(n).min(3);
        let mut noise = noise(seed);
        let x = Array2::from_shape_fn((n, d), |_| noise());
        let mut y = Array2::from_shape_fn((m, d), |_| noise());
        for i in 0..n.min(m.saturating_sub(offset)) {
            let mixed = &x.row(i) * 0.8 + &y.row(i + offset) * 0.6;
            y.row_mut(i + offset).assign(&mixed);
        }
        let mut case = Self {
            x,
            y,
            form,
            temperature: 0.1,
            similarity: Similarity::Cosine,
            symmetric: true,
            offset: offset as isize,
            row_mask: None,
            column_mask: None,
        };
        case.round();
        case
    }

    /// To what the form can hold.
    pub fn round(&mut self) {
        if self.form == Form::Half {
            [&mut self.x, &mut self.y]
                .into_iter()
                .for_each(|points| points.mapv_inplace(|v| bf16::from_f32(v).to_f32()));
        }
    }

    /// Every fifth row and seventh column counts no more and holds NaN.
    pub fn with_masks(mut self) -> Self {
        let row_mask: Vec<bool> = (0..self.x.nrows()).map(|i| i % 5 != 2).collect();
        let column_mask: Vec<bool> = (0..self.y.nrows()).map(|j| j % 7 != 3).collect();
        for (points, mask) in [(&mut self.x, &row_mask), (&mut self.y, &column_mask)] {
            for (mut row, _) in points.rows_mut().into_iter().zip(mask).filter(|(_, mask)| !**mask)
            {
                row.fill(f32::NAN);
            }
        }
        (self.row_mask, self.column_mask) = (Some(row_mask), Some(column_mask));
        self
    }

    pub fn options(&self) -> Options<'_> {
        Options {
            temperature: self.temperature,
            similarity: self.similarity,
            symmetric: self.symmetric,
            positive_offset: self.offset,
            row_mask: self.row_mask.as_deref(),
            column_mask: self.column_mask.as_deref(),
            ..Options::default()
        }
    }

    pub fn name(&self) -> String {
        let (n, m, d) = (self.x.nrows(), self.y.nrows(), self.x.ncols());
        let (form, similarity, symmetric) = (self.form, self.similarity, self.symmetric);
        format!("{n}x{m} of {d}, {form:?} {similarity:?} {symmetric} t {}", self.temperature)
    }

    pub fn twin(&self) -> twin::InfoNce {
        let wide = |points: &Array2<f32>| points.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        twin::info_nce(&wide(&self.x), &wide(&self.y), self.x.ncols(), &self.options()).unwrap()
    }

    pub fn host(&self) -> Output {
        info_nce(self.x.view(), self.y.view(), &self.options()).unwrap()
    }

    pub fn device(&self, stream: &Stream) -> Got {
        let (x, y) = (send(stream, &self.x, self.form), send(stream, &self.y, self.form));
        Got::of(&info_nce(x.points(), y.points(), &self.options()).unwrap())
    }
}

/// What a device gave, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Got {
    pub value: f64,
    pub grad_x: Vec<f32>,
    pub grad_y: Vec<f32>,
    pub grad_temperature: f64,
    pub row_lse: Vec<f64>,
    pub column_lse: Vec<f64>,
    pub positives: Vec<f64>,
}

impl Got {
    pub fn of(output: &Output<DeviceBuffer<f32>>) -> Self {
        Self {
            value: output.value,
            grad_x: output.grad_x.to_vec().unwrap(),
            grad_y: output.grad_y.to_vec().unwrap(),
            grad_temperature: output.grad_temperature,
            row_lse: output.row_lse.clone(),
            column_lse: output.column_lse.clone(),
            positives: output.positives.clone(),
        }
    }

    /// All numbers as bits, in order: NaN is equal to itself.
    pub fn bits(&self) -> Vec<u64> {
        let wide = [&self.row_lse, &self.column_lse, &self.positives];
        let wide = wide.into_iter().flatten().chain([&self.value, &self.grad_temperature]);
        let narrow = self.grad_x.iter().chain(&self.grad_y).map(|v| u64::from(v.to_bits()));
        wide.map(|v| v.to_bits()).chain(narrow).collect()
    }
}

/// A cloud in device memory.
pub struct Sent {
    memory: Memory,
    stream: Stream,
    shape: (usize, usize),
    stride: usize,
}

enum Memory {
    Single(DeviceBuffer<f32>),
    Half(DeviceBuffer<bf16>),
}

/// A copy on the device, with NaN between the rows and behind them.
pub fn send(stream: &Stream, points: &Array2<f32>, form: Form) -> Sent {
    let (count, width) = points.dim();
    let stride = match form {
        Form::Tight => width,
        Form::Gaps => width + 3,
        Form::Half => (width + 1) | 1,
    };
    let mut values = vec![f32::NAN; count * stride];
    for (row, slot) in points.rows().into_iter().zip(values.chunks_exact_mut(stride.max(1))) {
        row.iter().zip(slot).for_each(|(x, slot)| *slot = *x);
    }
    let memory = if form == Form::Half {
        let half: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
        Memory::Half(DeviceBuffer::from_slice(stream, &half).unwrap())
    } else {
        Memory::Single(DeviceBuffer::from_slice(stream, &values).unwrap())
    };
    Sent { memory, stream: stream.clone(), shape: (count, width), stride }
}

impl Sent {
    pub fn points(&self) -> DevicePoints<'_> {
        let values: DeviceValues<'_> = match &self.memory {
            Memory::Single(buffer) => buffer.into(),
            Memory::Half(buffer) => buffer.into(),
        };
        let (count, width) = self.shape;
        DevicePoints::strided(&self.stream, values, count, width, self.stride).unwrap()
    }
}
