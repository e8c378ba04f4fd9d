//! A case on a card, timed by events.
//!
//! Three numbers: a call whose inputs may lie in the second-level cache from the call before (`warm`);
//! one after that cache was overwritten (`cold`); and every kernel of a call by itself, with marks
//! around each launch. The first two take what the host needs between launches along, as a user does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use gpu_runtime::{Device, DeviceBuffer, Event, GpuError, Stream};

use super::cards::is_interpreted;
use super::cases::{Case, Run};
use crate::percentiles;

/// Whether times mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// A GPU's: the whole case, many times.
    Gpu,
    /// None: the interpreter goes once through the same steps with the part that it bears, to show that
    /// they work. What comes out is no measurement and is marked wherever it is written.
    Rehearsal,
}

/// Calls before the clock starts: kernels are assembled, memory is pooled, clocks rise.
const WARM_UP: usize = 3;
/// Samples of a call that are enough.
const MOST_SAMPLES: usize = 50;
/// Samples below which a median says little.
const LEAST_SAMPLES: usize = 5;

/// Medians of a case, in microseconds, with the 20th and 80th percentile around.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timing {
    /// Calls back to back.
    pub warm: [f64; 3],
    /// Calls after the second-level cache was overwritten.
    pub cold: [f64; 3],
    /// Timed calls of either kind.
    pub samples: usize,
    /// By kernel: launches of a call, and the median over calls of the sum of their times.
    pub kernels: BTreeMap<String, (usize, f64)>,
}

impl Timing {
    /// All kernels of a call without what is between them, in microseconds.
    pub fn kernels_us(&self) -> f64 {
        self.kernels.values().map(|kernel| kernel.1).sum()
    }
}

/// Times the whole case within about `budget`, the making of its inputs not counted.
///
/// # Errors
///
/// When the device fails, or is of the other kind than the clock.
pub fn time(
    case: &Case,
    device: &Device,
    clock: Clock,
    budget: Duration,
) -> anyhow::Result<Timing> {
    expect(clock, &device.facts().name)?;
    let stream = Stream::new(device)?;
    let (work, warm_up) = match clock {
        Clock::Gpu => (case.full, WARM_UP),
        Clock::Rehearsal => (case.interpreted(), 0),
    };
    let run = work.prepare(&stream).with_context(|| case.name())?;
    let samples = (clock == Clock::Rehearsal).then_some(1);
    measure(run, &stream, warm_up, samples, budget).with_context(|| case.name())
}

/// Refuses to take the interpreter for a GPU, and the other way round.
///
/// # Errors
///
/// In these cases.
pub fn expect(clock: Clock, product: &str) -> anyhow::Result<()> {
    match clock {
        Clock::Gpu => ensure!(
            !is_interpreted(product),
            "expected a GPU, got {product}, which has no clock of one (hint: --emulate rehearses on it)"
        ),
        Clock::Rehearsal => ensure!(
            is_interpreted(product),
            "--emulate: expected the interpreter, got {product} (hint: is its folder in LD_LIBRARY_PATH)"
        ),
    }
    Ok(())
}

/// The clock itself.
fn measure(
    mut run: Run<'_>,
    stream: &Stream,
    warm_up: usize,
    samples: Option<usize>,
    budget: Duration,
) -> anyhow::Result<Timing> {
    let device = stream.device();
    for _ in 0..warm_up {
        run()?;
    }
    let samples = match samples {
        Some(samples) => samples,
        None => {
            stream.synchronize()?;
            let began = Instant::now();
            run()?;
            stream.synchronize()?;
            samples_within(budget, began.elapsed())
        }
    };
    let mut warm = Vec::new();
    for _ in 0..samples {
        warm.push(one(&mut run, stream)?);
    }
    let mut cold = Vec::new();
    let mut other = DeviceBuffer::<u32>::uninit(stream, device.facts().l2_bytes as usize / 2)?;
    for _ in 0..samples {
        other.as_slice_mut().fill_zero(stream)?;
        cold.push(one(&mut run, stream)?);
    }
    let mut sums: BTreeMap<String, (usize, Vec<f64>)> = BTreeMap::new();
    for _ in 0..samples.min(10) {
        let (done, times) = device
            .time_launches(|| Ok::<_, GpuError>(run()))
            .context("times of single launches")?;
        done?;
        let mut call: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
        for time in &times {
            let sum = call.entry(&time.kernel).or_default();
            *sum = (sum.0 + 1, sum.1 + f64::from(time.ms) * 1e3);
        }
        for (kernel, (launches, us)) in call {
            let all = sums.entry(kernel.to_owned()).or_default();
            all.0 = launches;
            all.1.push(us);
        }
    }
    let median = |(kernel, (launches, us)): (String, (usize, Vec<f64>))| {
        (kernel, (launches, percentiles(&us)[1]))
    };
    let kernels = sums.into_iter().map(median).collect();
    Ok(Timing { warm: percentiles(&warm), cold: percentiles(&cold), samples, kernels })
}

/// One call between two events, in microseconds.
fn one(run: &mut Run<'_>, stream: &Stream) -> anyhow::Result<f64> {
    let (start, end) = (Event::timed(stream.device())?, Event::timed(stream.device())?);
    stream.synchronize()?;
    start.record(stream)?;
    run()?;
    end.record(stream)?;
    Ok(f64::from(end.ms_since(&start)?) * 1e3)
}

/// How many samples of each kind fit, when a call takes so long: three kinds, the last with marks.
fn samples_within(budget: Duration, call: Duration) -> usize {
    let calls = budget.as_secs_f64() / 3.0 / call.as_secs_f64().max(1e-6);
    (calls as usize).clamp(LEAST_SAMPLES, MOST_SAMPLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_calls_get_many_samples_and_long_ones_a_few() {
        let within = |ms| samples_within(Duration::from_secs(3), Duration::from_millis(ms));
        assert_eq!((within(0), within(50), within(5000)), (MOST_SAMPLES, 20, LEAST_SAMPLES));
    }

    #[test]
    fn the_interpreter_and_a_gpu_are_not_taken_for_one_another() {
        assert!(expect(Clock::Gpu, "NVIDIA H200").is_ok());
        assert!(expect(Clock::Rehearsal, "Emulated NVIDIA H200").is_ok());
        let error = expect(Clock::Gpu, "Emulated NVIDIA H200").unwrap_err().to_string();
        assert!(error.contains("--emulate"), "{error}");
        assert!(expect(Clock::Rehearsal, "NVIDIA H200").is_err());
    }

    #[test]
    fn kernels_are_added_up() {
        let kernels = BTreeMap::from([("a".to_owned(), (2, 3.0)), ("b".to_owned(), (1, 4.5))]);
        assert_eq!(Timing { kernels, ..Timing::default() }.kernels_us(), 7.5);
    }
}
