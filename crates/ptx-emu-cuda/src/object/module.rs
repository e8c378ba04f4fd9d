//! Modules: PTX files on a device.

use std::collections::HashMap;
use std::sync::Arc;

use ptx_emu::Program;

use super::context::Context;
use crate::types::CUfunction;

/// A module.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) context: Arc<Context>,
    pub(crate) program: Arc<Program>,
    /// Handles that were given to its kernels.
    pub(crate) functions: HashMap<String, CUfunction>,
}
