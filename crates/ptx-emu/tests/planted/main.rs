//! Kernels with a bug in them, and the same kernels without.
//!
//! Every bug is written as a difference: lines that start with `-` stand in the kernel with the bug
//! alone, lines that start with `+` in the one without. The bug must be caught under every seed and
//! named by file, line and lane (or warp); without it the kernel must pass.

mod addresses;
mod barriers;
mod case;
mod copies;
mod launches;
mod orders;
mod patterns;
mod races;
mod sharing;
mod values;
