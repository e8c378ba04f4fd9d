//! The work that is timed, as data and closures, shared by criterion and by `compare`.
//!
//! Names and shapes are those of the scripts in `benches/peers`, which do the same work in PyTorch.
//! The alignment kernels and whole models at work have definitions and peers of their own: [`kernels`]
//! and [`models`].

use std::process::ExitCode;

mod bert;
pub mod device;
pub mod kernels;
mod log_mel;
mod matmul;
pub mod models;
mod samples;
mod whisper;

pub use bert::BertWork;
pub use log_mel::{LOG_MEL_CASES, LogMelCase, signal};
pub use matmul::{GEMM_SHAPES, GemmShape, Operands};
pub use samples::percentiles;
pub use whisper::WhisperWork;

/// What a program of this crate does with its work: memory is kept, an error printed once.
pub fn program(run: fn() -> anyhow::Result<()>) -> ExitCode {
    tensor_core::keep_freed_memory();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One measurement: what a peer's line of the same name does.
pub struct Workload {
    /// Name of the peer's line.
    pub bench: &'static str,
    /// Shape, for people.
    pub shape: String,
    /// Number format.
    pub dtype: &'static str,
    /// Whether it runs on one thread, however many there are.
    pub one_thread: bool,
    /// Does the work once.
    pub run: Box<dyn FnMut() -> anyhow::Result<()>>,
}

/// All of them, in the order of the peers' scripts.
///
/// # Errors
///
/// When a model cannot be made.
pub fn workloads() -> anyhow::Result<Vec<Workload>> {
    let mut all = BertWork::workloads()?;
    all.extend(WhisperWork::workloads()?);
    all.extend(matmul::workloads()?);
    all.extend(log_mel::workloads());
    Ok(all)
}
