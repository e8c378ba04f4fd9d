//! What all CTAs of a launch share.

use std::collections::HashMap;

use crate::memory::global::View;
use crate::memory::global_race::Fences;
use crate::options::Options;

/// What all CTAs of a launch share.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) view: View,
    pub(crate) fences: Fences,
    pub(crate) options: Options,
    /// The kernel's parameters.
    pub(crate) params: Vec<u8>,
    /// CTAs along x, y and z.
    pub(crate) grid: [u32; 3],
    /// Address and size of the module's variables.
    pub(crate) variables: HashMap<String, (u64, u64)>,
}
