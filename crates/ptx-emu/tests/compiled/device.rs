//! A simulated device with one compiled file on it, and the numbers to feed it.

use std::fs;
use std::path::{Path, PathBuf};

use ptx_emu::{Approx, Arg, Gpu, LaunchConfig, Module, Options, Plain, Program};

/// Half a unit in the last place of an `f32`, relative: what one rounding costs.
pub const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// Most that one unit in the last place of an `f32` is, relative to the value.
pub const ULP: f64 = 2.0 * ROUNDING;

/// A device that holds one file.
pub struct Device {
    gpu: Gpu,
    program: Program,
    /// The file was built with `--use_fast_math`.
    pub fast: bool,
}

/// Makes an argument list from values of mixed types.
macro_rules! args {
    ($($value:expr),* $(,)?) => { [$(ptx_emu::Arg::from($value)),*] };
}
pub(crate) use args;

/// Runs `check` on every build of the source `name`, under each way a device can behave.
pub fn on_each(name: &str, check: impl Fn(&Device)) {
    let ways = [(0, Approx::Nearest), (1, Approx::Worst), (2, Approx::Worst)];
    let files = files(&format!("{name}."));
    assert!(!files.is_empty(), "no PTX of {name}");
    for file in files {
        let module = Module::parse(&file, &source(&file)).unwrap_or_else(|error| panic!("{error}"));
        for (seed, approx) in ways {
            // Shown if the check fails.
            println!("{file}, seed {seed}, {approx:?}");
            let gpu = Gpu::new(Options { seed, approx, ..Options::default() });
            let program = gpu.load(&module).unwrap_or_else(|fault| panic!("{fault}"));
            check(&Device { gpu, program, fast: file.contains(".fast.") });
        }
    }
}

/// Names of the PTX files that start with `prefix`, sorted.
pub fn files(prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(prefix) && name.ends_with(".ptx"))
        .collect();
    names.sort();
    names
}

/// The text of a PTX file.
pub fn source(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compiled")
}

impl Device {
    /// Address of a copy of `values`.
    pub fn put<T: Plain>(&self, values: &[T]) -> u64 {
        self.gpu.upload(values).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Address of fresh memory for `count` values, not yet written.
    pub fn room<T: Plain>(&self, count: usize) -> u64 {
        self.gpu.alloc(count * size_of::<T>()).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// The `count` values at `ptr`.
    pub fn get<T: Plain>(&self, ptr: u64, count: usize) -> Vec<T> {
        self.gpu.download(ptr, count).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Runs a kernel to its end.
    #[track_caller]
    pub fn launch(&self, kernel: &str, config: LaunchConfig, args: &[Arg]) {
        if let Err(fault) = self.gpu.launch(&self.program, kernel, &config, args) {
            panic!("{fault}");
        }
    }
}

/// A launch of enough blocks of `block` threads for `count` elements.
pub fn cover(count: usize, block: u32) -> LaunchConfig {
    LaunchConfig::linear((count as u32).div_ceil(block), block)
}

/// A launch of `grid` by `block`, for what [`LaunchConfig::linear`] does not say.
pub fn shaped(grid: [u32; 3], block: [u32; 3]) -> LaunchConfig {
    LaunchConfig { grid, block, ..LaunchConfig::linear(1, 1) }
}

/// Seeded noise (splitmix64).
pub struct Noise(pub u64);

impl Noise {
    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A whole number of `low..high`.
    pub fn whole(&mut self, low: i32, high: i32) -> i32 {
        low + (self.bits() % (high - low) as u64) as i32
    }

    /// A real number of `low..high`.
    pub fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `count` multiples of 1/4 below 16 in size: a few thousand of them add up exactly in `f32`.
    pub fn quarters(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.whole(-64, 65) as f32 / 4.0).collect()
    }

    /// `count` reals of `low..high`, rounded to `f32`.
    pub fn floats(&mut self, count: usize, low: f64, high: f64) -> Vec<f32> {
        (0..count).map(|_| self.real(low, high) as f32).collect()
    }
}

/// Checks one result against its exact value; `allowed` is absolute.
#[track_caller]
pub fn assert_near(got: impl Into<f64>, exact: f64, allowed: f64, what: &str) {
    let got = got.into();
    let same = got == exact || got.is_nan() && exact.is_nan();
    let error = (got - exact).abs();
    assert!(
        same || error <= allowed,
        "{what}: got {got:e}, expected {exact:e}; error {error:e} is over {allowed:e}"
    );
}
