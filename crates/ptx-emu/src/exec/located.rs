//! Where a warp was when something failed.

use crate::fault::Trouble;

/// A fault with the line at which it happened.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) line: u32,
    pub(crate) trouble: Trouble,
}
