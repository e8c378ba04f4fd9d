//! Execution: warps of a CTA, CTAs of a cluster, clusters of a grid.

pub(crate) mod access;
pub(crate) mod barrier;
pub(crate) mod cluster;
mod cluster_barrier;
pub(crate) mod cta;
pub(crate) mod grid;
mod groups;
pub(crate) mod registers;
mod teams;
pub(crate) mod warp;
