//! Losses that bring two clouds of vectors into agreement, with their gradients.
//!
//! Inputs are [`ndarray`] views in f32, bf16 or f16; values and gradients come out as plain arrays.
//! Batches are ragged: items of their own lengths packed one after another ([`Ragged`]), never padded.
//! Every loss has a twin in [`reference`](mod@reference): f64, one item, plain loops, written to be read.
//!
//! Results have the same bits on any number of threads. Errors say where, what, expected and got.
//!
//! [`sinkhorn`](fn@sinkhorn::sinkhorn), its gradients and [`pairwise_cost`](fn@pairwise_cost::pairwise_cost)
//! also run on a GPU: pass clouds of `device::DevicePoints`. The feature `cuda`, on unless
//! turned off, brings that; it needs no CUDA to build, and a driver only when a device is opened.
//!
//! # Which loss
//!
//! | you have | and want | call | cost of a pair of `N` and `M` points of width `D` |
//! |---|---|---|---|
//! | two clouds of any lengths | each point matched with its like, softly; a plan to look at | [`sinkhorn`](fn@sinkhorn::sinkhorn) | `N M (D + iterations)` |
//! | samples of two distributions | the distributions alike, no matter who is whose partner | [`mmd`](fn@mmd::mmd) | `N M D`; linear kernel `(N + M) D` |
//! | a teacher's and a student's activations | neurons that fire alike, whatever their order | [`nst`](mod@nst) | as `mmd` |
//! | vectors in pairs | each nearer to its partner than to the others of the batch | [`info_nce`](fn@info_nce::info_nce) | `N M D` |
//! | clouds in pairs: texts and their recordings | the same of clouds, without pooling them | [`wasserstein_info_nce`](fn@wasserstein_info_nce::wasserstein_info_nce) | `N M (D + iterations)`, `N` and `M` of whole batches |
//! | vectors in pairs and small batches | the same against many stored negatives | [`crd`](mod@crd) | `6 N C P`, or `K` rows of a bank |
//!
//! ```text
//! sinkhorn               min over P with sums a, b of  <P, C> + eps KL(P | a b'),  less half of each own
//! mmd                    mean k(x, x') + mean k(y, y') - 2 mean k(x, y)
//! nst                    mmd of neurons: rows are activations over positions, k(x, y) = (x . y)^2
//! info_nce               mean over i of  ln sum_j exp(s_ij) - s_ii,   s_ij = cos(x_i, y_j) / temperature
//! wasserstein_info_nce   the same with  s_ij = -sinkhorn(x_i, y_j) / temperature
//! crd                    sum of softplus(-t) over pairs and softplus(t) over others,
//!                        t = x . y / temperature - ln(negatives / data)
//! ```
//!
//! `sinkhorn` sees geometry at any distance and has a gradient where clouds do not overlap; a Gaussian
//! `mmd` has none beyond its bandwidth, and a linear one sees means alone. The contrastive losses also push
//! others away, so their points cannot collapse into one; the more items a batch has, the more they say.
//!
//! # Precision
//!
//! Points, costs, kernels and gradients are f32 (bf16 and f16 are widened exactly), long sums and values
//! f64. Each call says under *Numerics* where f32 shows. NaN stays in the items and pairs it is in, and
//! points that are masked or weigh nothing are never read. The references are f64 throughout.
//!
//! # Examples
//!
//! The folder `examples/` begins with `01-transport-plan`. `divergence` is a program that computes any of
//! these losses, with gradients, for the arrays of a safetensors file.

pub mod crd;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
mod gradient_sides;
pub mod info_nce;
pub mod mmd;
pub mod nst;
pub mod pairwise_cost;
mod place;
mod points;
mod ragged;
pub mod reference;
#[cfg(feature = "cuda")]
pub mod registry;
pub mod sinkhorn;
mod vector;
pub mod wasserstein_info_nce;

pub use error::{ErrorKind, KernelError, Result};
pub use gradient_sides::GradientSides;
pub use place::{Host, Place, Placed};
pub use points::Points;
pub use ragged::Ragged;
