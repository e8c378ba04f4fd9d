//! A case: an operation with its extents, what is interpreted of it, and what is expected.

use std::fmt::Debug;

use gpu_runtime::Stream;

/// One row of the reports.
#[derive(Debug)]
pub struct Case {
    /// Operation, as `--op` names it.
    pub op: &'static str,
    /// Shape, as `--shape` names it.
    pub shape: &'static str,
    /// What tells it from others of that shape: dtype, iterations, gradients.
    pub variant: &'static str,
    /// Why it is here.
    pub reason: &'static str,
    /// What a card does.
    pub full: &'static dyn Work,
    /// What the interpreter does instead; `None` where it does the whole.
    pub fraction: Option<Fraction>,
    /// What the designs say it takes on an H200.
    pub predicted: &'static [Prediction],
}

/// An operation with its extents.
pub trait Work: Debug + Sync {
    /// Extents, for people.
    fn extents(&self) -> String;

    /// The least that any implementation does.
    fn ideal(&self) -> Ideal;

    /// Makes inputs on the stream's device; each call of the closure does the work once.
    ///
    /// # Errors
    ///
    /// When the device fails.
    fn prepare<'a>(&'a self, stream: &'a Stream) -> anyhow::Result<Run<'a>>;
}

/// A prepared call.
pub type Run<'a> = Box<dyn FnMut() -> anyhow::Result<()> + 'a>;

/// A part of a case whose kernels do a known share of the whole.
#[derive(Debug)]
pub struct Fraction {
    /// The part.
    pub work: &'static dyn Work,
    /// By the beginning of a kernel's name, how many times its counts go into the whole; the first that
    /// fits. 0 is for a kernel that the part alone takes. The last one has the empty name.
    pub times: &'static [(&'static str, f64)],
}

/// Operations and bytes of a case at the least: each input read once, each result written once.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ideal {
    /// f32 operations outside tensor cores.
    pub flop: f64,
    /// Operations that tensor cores can take, a multiply-add counting two.
    pub mma_flop: f64,
    /// Those of them that have to be of TF32 at least, which take tensor cores twice as long.
    pub tf32_flop: f64,
    /// Exponentials and other special functions.
    pub special: f64,
    /// Bytes of inputs and results.
    pub bytes: f64,
}

/// A time that a design names before anything was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Of which part, or under which assumption.
    pub what: &'static str,
    /// On an H200.
    pub seconds: f64,
}

impl Case {
    /// Operation, shape, extents and variant, for people.
    pub fn name(&self) -> String {
        format!("{} {}, {}, {}", self.op, self.shape, self.full.extents(), self.variant)
    }

    /// What the interpreter runs.
    pub fn interpreted(&self) -> &'static dyn Work {
        self.fraction.as_ref().map_or(self.full, |fraction| fraction.work)
    }

    /// How many times a kernel's interpreted counts go into the whole case.
    pub fn times(&self, kernel: &str) -> f64 {
        let times = self.fraction.as_ref().map_or(&[][..], |fraction| fraction.times);
        times.iter().find(|(name, _)| kernel.starts_with(name)).map_or(1.0, |(_, times)| *times)
    }
}
