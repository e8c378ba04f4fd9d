//! A launch that the driver takes.

use std::sync::Arc;
use std::time::Instant;

use ptx_emu::{Gpu, LaunchConfig};

use super::function::Function;
use super::launch_log;
use crate::error::{Error, Failure};

/// A launch that the driver takes.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) function: Arc<Function>,
    pub(crate) config: LaunchConfig,
    pub(crate) params: Vec<u8>,
}

impl Launch {
    /// Runs it; the context's queue is held.
    pub(crate) fn run(&self, gpu: &Gpu) -> std::result::Result<(), Failure> {
        let Launch { function, config, params } = self;
        let start = Instant::now();
        let counters = gpu
            .launch_bytes(&function.program, &function.name, config, params)
            .map_err(|fault| Error::launch(&fault))?;
        launch_log::append(function, config, &counters, start.elapsed());
        Ok(())
    }
}
