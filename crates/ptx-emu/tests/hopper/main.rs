//! What Hopper added: mbarriers, bulk copies, tensor maps, products of warpgroups, clusters.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test, helpers included")]

mod bulk;
mod cluster;
mod cluster_copies;
mod gemm;
mod harness;
mod layout;
mod mbarrier;
mod misuse;
mod pipeline;
mod products;
mod tensor;
mod tensor_misuse;
mod warpgroup;
