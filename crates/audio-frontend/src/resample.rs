//! Band-limited resampling by a polyphase windowed sinc.
//!
//! With the rates divided by their greatest common divisor to `M` (from) and `L` (to), output `n` sits at
//! input time `n M / L`, and is a weighted sum of the inputs around it:
//!
//! ```text
//! y[n] = sum_k x[k] h(k - n M / L)
//! h(t) = c sinc(c t) w(c t / Z),   c = rolloff * min(1, L / M)
//! ```
//!
//! where `w` is a Kaiser window and `Z` the number of zero crossings on either side. There are `L`
//! different sets of weights (phases), computed once in f64.
//!
//! # Source
//!
//! J. O. Smith, *Digital Audio Resampling*. The default filter has the parameters of resampy's
//! `kaiser_best` and the sampling grid, scale and length rule of `torchaudio.functional.resample` with
//! `sinc_interp_kaiser`: a golden file holds the two together. [`Filter::HANN`] is torchaudio's default.

use crate::error::{AudioError, Result};

/// Rows a zero crossing of a table to interpolate in. Linear interpolation then errs by about
/// `(pi / 4096)^2 / 8` of the filter's height, below 1e-7.
const ROWS_PER_CROSSING: f64 = 4096.0;
/// Larger ratios than this, either way, are a mistake in a rate.
const MAX_RATIO: u32 = 1024;
/// Partial sums of the dot product: enough independent lanes for the vector units.
const LANES: usize = 16;

/// The shape of the low-pass filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// Zero crossings of the sinc on either side (`lowpass_filter_width` in torchaudio).
    pub zero_crossings: u32,
    /// Cut-off as a share of the lower Nyquist frequency, in 0.1..=1.
    pub rolloff: f64,
    /// The window over the sinc.
    pub window: Window,
}

/// Windows over the sinc.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Window {
    /// `cos^2(pi t / 2)`.
    Hann,
    /// `I0(beta sqrt(1 - t^2)) / I0(beta)`.
    Kaiser {
        /// Trades transition width against stop-band attenuation; 0 to 100.
        beta: f64,
    },
}

impl Filter {
    /// resampy's `kaiser_best`: flat to 90 % of the lower Nyquist frequency, aliases below -80 dB.
    pub const KAISER_BEST: Filter = Filter {
        zero_crossings: 64,
        rolloff: 0.947_593_716_739_959_6,
        window: Window::Kaiser { beta: 14.769_656_459_379_492 },
    };

    /// torchaudio's default: ten times shorter, and audibly less sharp.
    pub const HANN: Filter = Filter { zero_crossings: 6, rolloff: 0.99, window: Window::Hann };

    /// `sinc(t) w(t / Z)` at each `t`, in zero crossings from the centre, times `w`'s constant.
    fn at<const N: usize>(&self, t: [f64; N]) -> [f64; N] {
        let z = f64::from(self.zero_crossings);
        let window = match self.window {
            Window::Hann => t.map(|t| (std::f64::consts::FRAC_PI_2 * t / z).cos().powi(2)),
            Window::Kaiser { beta } => {
                bessel_i0(t.map(|t| beta * (1.0 - (t / z).powi(2)).max(0.0).sqrt()), beta)
            }
        };
        std::array::from_fn(|i| match std::f64::consts::PI * t[i] {
            _ if t[i].abs() >= z => 0.0,
            0.0 => window[i],
            x => x.sin() / x * window[i],
        })
    }
}

/// Modified Bessel function of the first kind, order 0, by its power series, of values up to `largest`.
///
/// Several at a time, because a sum of this kind is a chain of dependent steps.
fn bessel_i0<const N: usize>(x: [f64; N], largest: f64) -> [f64; N] {
    let quarter = x.map(|x| x * x / 4.0);
    let (mut term, mut sum) = ([1.0; N], [1.0; N]);
    for inverse_square in &INVERSE_SQUARES[..series_len(largest)] {
        for i in 0..N {
            term[i] *= quarter[i] * inverse_square;
            sum[i] += term[i];
        }
    }
    sum
}

/// Terms of the series of `I0(x)` that change the sum; smaller `x` have no more of them.
fn series_len(x: f64) -> usize {
    let (mut term, mut sum) = (1.0, 1.0);
    let negligible = INVERSE_SQUARES.iter().position(|inverse_square| {
        term *= x * x / 4.0 * inverse_square;
        sum += term;
        term < 1e-17 * sum
    });
    negligible.unwrap_or(INVERSE_SQUARES.len())
}

/// `1 / k^2`: divisions are most of the cost of the series. Enough terms for any sensible `beta` (< 100).
const INVERSE_SQUARES: [f64; 150] = {
    let mut table = [0.0; 150];
    let mut k = 0;
    while k < table.len() {
        let n = (k + 1) as f64;
        table[k] = 1.0 / (n * n);
        k += 1;
    }
    table
};

/// Resamples a whole waveform with [`Filter::KAISER_BEST`].
///
/// The result has `ceil(n * to / from)` samples. Equal rates copy.
///
/// # Errors
///
/// As [`Resampler::new`].
///
/// # Examples
///
/// ```
/// let half_second = vec![0.0; 22_050];
/// assert_eq!(audio_frontend::resample(&half_second, 44_100, 16_000)?.len(), 8000);
/// # Ok::<(), audio_frontend::AudioError>(())
/// ```
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut resampler = Resampler::new(from, to)?;
    let mut out = Vec::with_capacity(resampler.output_len(samples.len() as u64) as usize + 1);
    resampler.process(samples, &mut out);
    resampler.finish(&mut out);
    Ok(out)
}

/// A resampler that takes its input in blocks of any size.
///
/// The concatenated output is bit for bit that of the whole input at once.
#[derive(Debug, Clone)]
pub struct Resampler {
    /// `M`: the input rate over the greatest common divisor.
    m: u64,
    /// `L`: the output rate over the greatest common divisor.
    l: u64,
    phases: Phases,
    /// Inputs `first .. first + history.len()`, of which those before 0 are zeros.
    history: Vec<f32>,
    /// Index of `history[0]`, shifted by `half_width` so that it is never negative.
    first: u64,
    /// Inputs seen.
    n_in: u64,
    /// Index of the next output.
    next_out: u64,
}

#[derive(Debug, Clone)]
struct Phases {
    /// Row `p` holds the weights for the output at `p / n_rows` past an input: `(n_rows + 1, taps)`.
    weights: Vec<f32>,
    taps: usize,
    half_width: usize,
    n_rows: u64,
    /// The rows are a grid to interpolate in, not the phases themselves.
    interpolated: bool,
}

impl Resampler {
    /// Makes a resampler with [`Filter::KAISER_BEST`].
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when a rate is 0 or one is more than 1024 times the other.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        Self::with_filter(from, to, Filter::KAISER_BEST)
    }

    /// Makes a resampler with a filter of one's own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and when the filter has no or more than 1024 zero crossings, a rolloff outside
    /// 0.1..=1 or a `beta` outside 0..=100.
    pub fn with_filter(from: u32, to: u32, filter: Filter) -> Result<Self> {
        if from == 0 || to == 0 || from / to.max(1) > MAX_RATIO || to / from.max(1) > MAX_RATIO {
            return Err(AudioError::option(
                "resample",
                format!(
                    "rates, expected at least 1 Hz and within 1:{MAX_RATIO}, got {from} to {to}"
                ),
                "16000 is what the encoders take",
            ));
        }
        let sane = (1..=1024).contains(&filter.zero_crossings)
            && (0.1..=1.0).contains(&filter.rolloff)
            && match filter.window {
                Window::Hann => true,
                Window::Kaiser { beta } => (0.0..=100.0).contains(&beta),
            };
        if !sane {
            return Err(AudioError::option(
                "resample",
                format!(
                    "filter, expected 1 to 1024 zero crossings, 0.1 <= rolloff <= 1 and 0 <= beta <= 100, got {filter:?}"
                ),
                "Filter::KAISER_BEST suits speech and music",
            ));
        }
        let divisor = gcd(from, to);
        let (m, l) = (u64::from(from / divisor), u64::from(to / divisor));
        let phases = if m == l { Phases::identity() } else { Phases::new(m, l, &filter) };
        let history = vec![0.0; phases.half_width];
        Ok(Self { m, l, phases, history, first: 0, n_in: 0, next_out: 0 })
    }

    /// Samples that `n_in` inputs give in all: `ceil(n_in * to / from)`.
    pub fn output_len(&self, n_in: u64) -> u64 {
        (u128::from(n_in) * u128::from(self.l)).div_ceil(u128::from(self.m)) as u64
    }

    /// Takes a block and appends the outputs that are complete.
    pub fn process(&mut self, input: &[f32], out: &mut Vec<f32>) {
        self.n_in += input.len() as u64;
        if self.m == self.l {
            out.extend_from_slice(input);
            self.next_out = self.n_in;
            return;
        }
        self.history.extend_from_slice(input);
        self.emit(u64::MAX, out);
    }

    /// Appends the last outputs, as if silence followed, and makes the resampler new.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        if self.m != self.l {
            let n_out = self.output_len(self.n_in);
            self.history.resize(self.history.len() + self.phases.taps, 0.0);
            self.emit(n_out, out);
        }
        self.history.clear();
        self.history.resize(self.phases.half_width, 0.0);
        (self.first, self.n_in, self.next_out) = (0, 0, 0);
    }

    /// `M`, the input rate over the greatest common divisor of the rates.
    pub(crate) fn reduced_from(&self) -> u64 {
        self.m
    }

    /// `L`, the output rate over the greatest common divisor of the rates.
    pub(crate) fn reduced_to(&self) -> u64 {
        self.l
    }

    /// Inputs that an output depends on, on either side of its place.
    pub(crate) fn half_width(&self) -> usize {
        self.phases.half_width
    }

    /// Appends outputs while their inputs are here and their index is below `limit`.
    fn emit(&mut self, limit: u64, out: &mut Vec<f32>) {
        let taps = self.phases.taps;
        // Whole input steps and phase of an output advance by a constant, so no division in the loop.
        let at = u128::from(self.next_out) * u128::from(self.m);
        let mut start = (at / u128::from(self.l)) as u64 - self.first;
        let mut phase = (at % u128::from(self.l)) as u64;
        let (whole_step, phase_step) = (self.m / self.l, self.m % self.l);
        while self.next_out < limit {
            let Some(window) = self.history.get(start as usize..start as usize + taps) else {
                break;
            };
            out.push(self.phases.apply(window, phase, self.l));
            self.next_out += 1;
            start += whole_step;
            phase += phase_step;
            if phase >= self.l {
                phase -= self.l;
                start += 1;
            }
        }
        // Inputs before the next window are spent. Moving the rest costs at most one window a block.
        let spent = (start as usize).min(self.history.len());
        self.history.drain(..spent);
        self.first += spent as u64;
    }
}

impl Phases {
    fn identity() -> Self {
        Self { weights: Vec::new(), taps: 0, half_width: 0, n_rows: 0, interpolated: false }
    }

    fn new(m: u64, l: u64, filter: &Filter) -> Self {
        let cutoff = filter.rolloff * (l as f64 / m as f64).min(1.0);
        let half_width = (f64::from(filter.zero_crossings) / cutoff).ceil() as usize;
        let taps = (2 * half_width + 1).next_multiple_of(LANES);
        // A filter for a lower rate is wider, and needs fewer rows: the table has one size for all rates.
        let grid = (ROWS_PER_CROSSING * cutoff).ceil() as u64;
        let interpolated = l > grid;
        let n_rows = l.min(grid);
        // One row past the end serves the interpolation of the last.
        let mut weights = vec![0.0; (n_rows as usize + 1) * taps];
        let scale = cutoff / filter.at([0.0])[0];
        let last = 2 * half_width + 1;
        let half = n_rows as usize / 2;
        for (p, row) in weights.chunks_exact_mut(taps).take(half + 1).enumerate() {
            let frac = p as f64 / n_rows as f64;
            for (part, weights) in row.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let place = |i| (part * LANES + i) as f64 - half_width as f64 - frac;
                let values = filter.at(std::array::from_fn::<f64, LANES, _>(|i| cutoff * place(i)));
                *weights = values.map(|value| (scale * value) as f32);
            }
        }
        // The filter is even: the row at 1 - frac is the row at frac, backwards.
        for p in half + 1..=n_rows as usize {
            let mirror = (n_rows as usize - p) * taps;
            for k in 0..=last {
                weights[p * taps + k] = weights[mirror + last - k];
            }
        }
        Self { weights, taps, half_width, n_rows, interpolated }
    }

    fn apply(&self, window: &[f32], phase: u64, l: u64) -> f32 {
        let row = |p: usize| &self.weights[p * self.taps..(p + 1) * self.taps];
        if !self.interpolated {
            return dot(window, row(phase as usize));
        }
        let place = phase as f64 / l as f64 * self.n_rows as f64;
        let (p, frac) = (place as usize, place.fract() as f32);
        let (low, high) = (dot(window, row(p)), dot(window, row(p + 1)));
        low + frac * (high - low)
    }
}

/// Sum of products in [`LANES`] independent f32 sums. Lengths are equal multiples of `LANES`.
///
/// Not inlined: within a larger loop the compiler has been seen to spill the sums.
#[inline(never)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_is_the_integral_it_stands_for() {
        // I0(x) is the mean of exp(x cos a) over the circle; equal steps converge geometrically.
        for beta in [0.5, 14.769_656_459_379_492, 100.0] {
            let x = [0.0, 1e-3, 0.3, 0.5, 0.99, 1.0].map(|share| share * beta);
            for (got, x) in bessel_i0(x, beta).into_iter().zip(x) {
                let angles = (0..400).map(|i| std::f64::consts::TAU * f64::from(i) / 400.0);
                let want = angles.map(|a| (x * a.cos()).exp()).sum::<f64>() / 400.0;
                assert!((got / want - 1.0).abs() < 1e-13, "{x}: {got} {want}");
            }
        }
    }

    #[test]
    fn no_pair_of_rates_makes_a_large_table() {
        // A damaged header may hold any rate.
        for (from, to) in
            [(3_072_000, 16_000), (3_071_999, 16_000), (3_071_996, 16_000), (101, 16_000)]
        {
            let weights = Resampler::new(from, to).unwrap().phases.weights.len();
            assert!(weights < 700_000, "{from} to {to}: {weights} weights");
        }
    }
}
