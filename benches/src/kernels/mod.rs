//! `bench-kernels`: the alignment kernels beside the libraries that people use for the same losses.
//!
//! | file | holds |
//! |---|---|
//! | `definitions` | every case as data: numbers, peers, aims, and a reason |
//! | `sinkhorn`, `mmd`, `nst`, `info_nce`, `wasserstein`, `crd` | how a case of an operation is made, run and checked |
//! | `inputs`, `check`, `memory`, `turns` | arrays from seeds, errors, peak memory, the clock |
//! | `peers` | a Python process for each library, asked over pipes |
//! | `session` | one case: check first, then everybody in turn |
//! | `options`, `table`, `record` | what was asked, and what is said about it |
//!
//! A result that disagrees with the f64 reference gets no time. Both sides read the same arrays, run
//! at the same precision, temperature and number of iterations, with the same number of threads, and
//! take turns, so that whatever else the machine does disturbs them alike.

mod check;
mod crd;
pub mod definitions;
mod info_nce;
mod inputs;
pub(crate) mod memory;
mod mmd;
mod nst;
mod options;
pub(crate) mod peers;
pub mod record;
mod session;
mod sinkhorn;
mod table;
mod turns;
mod wasserstein;

pub(crate) use inputs::clustered;
pub use options::Options;
pub use session::{CaseResult, run_case};
pub(crate) use sinkhorn::offsets;
pub use table::{csv, json, list, readme_table, text_table};

use ndarray::Array2;
use serde_json::Value;

use check::Errors;
use definitions::Problem;
use inputs::Input;

/// A case with its inputs made.
trait Work: Send + Sync {
    /// Does the work once and keeps what came out.
    fn run(&mut self) -> anyhow::Result<()>;

    /// Compares what came out of the first run with the reference.
    fn check(&self) -> anyhow::Result<Errors>;

    /// What came out, in the numbers that a peer sends too.
    fn answer(&self) -> Answer;

    /// The arrays that peers work on.
    fn inputs(&self) -> Vec<Input<'_>>;

    /// The rest of what they need to know.
    fn parameters(&self) -> Value;
}

/// Numbers that tell whether two implementations computed the same.
#[derive(Debug, Clone, Default, PartialEq)]
struct Answer {
    /// Values, one a pair or one in all.
    values: Vec<f64>,
    /// Length of all gradients as one vector.
    grad_norm: Option<f64>,
}

impl Problem {
    fn prepare(&self) -> anyhow::Result<Box<dyn Work>> {
        Ok(match *self {
            Self::Sinkhorn(case) => Box::new(sinkhorn::SinkhornWork::new(case)),
            Self::Mmd(case) => Box::new(mmd::MmdWork::new(case)),
            Self::Nst(case) => Box::new(nst::NstWork::new(case)),
            Self::InfoNce(case) => Box::new(info_nce::InfoNceWork::new(case)),
            Self::Wasserstein(case) => Box::new(wasserstein::WassersteinWork::new(case)),
            Self::Crd(case) => Box::new(crd::CrdWork::new(case)?),
        })
    }
}

/// Length of several arrays as one vector, in f64.
fn norm<'a>(arrays: impl IntoIterator<Item = &'a Array2<f32>>) -> f64 {
    let squares = |array: &Array2<f32>| array.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    arrays.into_iter().map(squares).sum::<f64>().sqrt()
}
