//! Execution: warps of a CTA, CTAs of a cluster, clusters of a grid.

mod barrier;
mod barriers;
pub(crate) mod cluster;
mod cluster_barrier;
pub(crate) mod cta;
pub(crate) mod grid;
mod groups;
mod located;
mod teams;
pub(crate) mod warp;
