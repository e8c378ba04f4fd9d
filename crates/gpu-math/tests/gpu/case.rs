//! One product: operands as stored, what it should be, and what a plain loop makes of it.

use gpu_math::reference::matmul::matmul as twin;
use gpu_math::{Element, Matrix, MatrixMut, Products, Scale, matmul};
use gpu_runtime::{DeviceBuffer, Stream};
use half::bf16;

/// Elements that tests can make.
pub trait Number: Element + std::fmt::Debug {
    /// Half the distance of neighbours, relative to a number.
    const ROUNDING: f64;
    fn of(value: f32) -> Self;
    fn value(self) -> f32;
}

impl Number for f32 {
    const ROUNDING: f64 = 6e-8;

    fn of(value: f32) -> Self {
        value
    }

    fn value(self) -> f32 {
        self
    }
}

impl Number for bf16 {
    const ROUNDING: f64 = 1.0 / 256.0;

    fn of(value: f32) -> Self {
        bf16::from_f32(value)
    }

    fn value(self) -> f32 {
        self.to_f32()
    }
}

/// Extents and how operands are stored.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `m, n, k`.
    pub extents: [usize; 3],
    /// Whether a and b are stored as their transposes.
    pub turned: [bool; 2],
    /// Elements between the end of a row and the next, of a, b and out.
    pub gaps: [usize; 3],
    /// Elements before the first of a, b and out.
    pub offset: usize,
    pub scale: Scale,
    pub seed: u32,
}

/// A row-major matrix with gaps, as it lies in memory: NaN wherever nothing may be read.
pub struct Stored<T> {
    pub values: Vec<T>,
    rows: usize,
    cols: usize,
    stride: usize,
    offset: usize,
}

impl<T: Number> Stored<T> {
    pub fn random([rows, cols]: [usize; 2], gap: usize, offset: usize, seed: u32) -> Self {
        let stride = cols + gap;
        let mut values = vec![T::of(f32::NAN); offset + rows * stride + 3];
        let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
        for at in 0..rows * cols {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let value = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            values[offset + at / cols * stride + at % cols] = T::of(value);
        }
        Self { values, rows, cols, stride, offset }
    }

    pub fn send(&self, stream: &Stream) -> DeviceBuffer<T> {
        DeviceBuffer::from_slice(stream, &self.values).unwrap()
    }

    pub fn view<'a>(&self, sent: &'a DeviceBuffer<T>, is_turned: bool) -> Matrix<'a, T> {
        let values = sent.slice(self.offset..).unwrap();
        let matrix = Matrix::new(values, self.rows, self.cols, self.stride).unwrap();
        if is_turned { matrix.transposed() } else { matrix }
    }

    pub fn output<'a>(&self, sent: &'a mut DeviceBuffer<T>) -> MatrixMut<'a, T> {
        let values = sent.slice_mut(self.offset..).unwrap();
        MatrixMut::new(values, self.rows, self.cols, self.stride).unwrap()
    }

    /// Where element `(i, j)` lies.
    pub fn at(&self, i: usize, j: usize) -> usize {
        self.offset + i * self.stride + j
    }

    fn is_padding(&self, at: usize) -> bool {
        let Some(at) = at.checked_sub(self.offset) else { return true };
        at % self.stride.max(1) >= self.cols || at / self.stride.max(1) >= self.rows
    }

    /// Row by row, or column by column.
    fn wide(&self, is_turned: bool) -> Vec<f64> {
        let (rows, cols) = if is_turned { (self.cols, self.rows) } else { (self.rows, self.cols) };
        let at = |i, j| if is_turned { self.at(j, i) } else { self.at(i, j) };
        let of_row = |i| (0..cols).map(move |j| at(i, j));
        (0..rows).flat_map(of_row).map(|at| f64::from(self.values[at].value())).collect()
    }
}

impl Case {
    pub fn new(extents: [usize; 3], turned: [bool; 2]) -> Self {
        Self { extents, turned, gaps: [0; 3], offset: 0, scale: Scale::default(), seed: 1 }
    }

    /// Checks a product of random numbers, and gives its bits: within twice the error of a plain f32
    /// loop; four times it for tensor cores, which cut off addends where it rounds.
    #[track_caller]
    pub fn check<T: Number, C: Number>(&self, setup: &(Stream, Products)) -> Vec<u32> {
        let factor = if T::ROUNDING > 1e-3 { 4.0 } else { 2.0 };
        self.run::<T, C>(setup, factor, 0.0)
    }

    /// As [`Case::check`], for f32 operands that are rounded to TF32: each is off by 2^-11 of itself.
    #[track_caller]
    pub fn check_rounded<C: Number>(&self, setup: &(Stream, Products)) -> Vec<u32> {
        self.run::<f32, C>(setup, 4.0, 2f64.powi(-10))
    }

    #[track_caller]
    fn run<T: Number, C: Number>(
        &self,
        (stream, products): &(Stream, Products),
        factor: f64,
        off: f64,
    ) -> Vec<u32> {
        let [m, n, k] = self.extents;
        let turn =
            |turned, [rows, cols]: [usize; 2]| if turned { [cols, rows] } else { [rows, cols] };
        let a = turn(self.turned[0], [m, k]);
        let b = turn(self.turned[1], [k, n]);
        let a = Stored::<T>::random(a, self.gaps[0], self.offset, self.seed);
        let b = Stored::<T>::random(b, self.gaps[1], self.offset, self.seed + 1);
        let mut c = Stored::<C>::random([m, n], self.gaps[2], self.offset, self.seed + 2);
        if self.scale.beta == 0.0 {
            c.values.fill(C::of(f32::NAN));
        }
        let (a_sent, b_sent, mut out) = (a.send(stream), b.send(stream), c.send(stream));
        let (a_view, b_view) = (a.view(&a_sent, self.turned[0]), b.view(&b_sent, self.turned[1]));
        matmul(products, stream, a_view, b_view, c.output(&mut out), self.scale).unwrap();
        let got = out.to_vec().unwrap();
        for (at, got) in got.iter().enumerate().filter(|&(at, _)| c.is_padding(at)) {
            assert!(got.value().is_nan(), "{self:?}: wrote {got:?} to padding, at {at}");
        }
        let wide = [a.wide(self.turned[0]), b.wide(self.turned[1]), c.wide(false)];
        let got = Stored { values: got, ..c };
        self.compare::<C>(&got.wide(false), &wide, factor, off);
        got.values.iter().map(|value| value.value().to_bits()).collect()
    }

    /// Within a factor of the error of a plain f32 loop, and `off` of the sum of `|a b|`. An output in bf16
    /// is rounded once more.
    #[track_caller]
    fn compare<C: Number>(&self, got: &[f64], [a, b, c]: &[Vec<f64>; 3], factor: f64, off: f64) {
        let [m, n, k] = self.extents;
        let Scale { alpha, beta } = self.scale;
        let want = twin(self.extents, a, b, c, alpha.into(), beta.into());
        let sizes = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let sizes = twin(self.extents, &sizes(a), &sizes(b), c, alpha.abs().into(), 0.0);
        let mut error = 0f64;
        for i in 0..m {
            for j in 0..n {
                let sum =
                    (0..k).fold(0f32, |sum, t| sum + a[i * k + t] as f32 * b[t * n + j] as f32);
                let old = if beta == 0.0 { 0.0 } else { beta * c[i * n + j] as f32 };
                error = error.max((f64::from(alpha * sum + old) - want[i * n + j]).abs());
            }
        }
        let largest = want.iter().fold(0f64, |most, value| most.max(value.abs()));
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            let rounding = if C::ROUNDING > 1e-3 { C::ROUNDING * want.abs() } else { 0.0 };
            let bound = factor * error + 1.2e-7 * largest + off * sizes[at] + rounding;
            let apart = (got - want).abs();
            assert!(apart <= bound, "{self:?}: element {at} is {got}, want {want}: over {bound:e}");
        }
    }
}
