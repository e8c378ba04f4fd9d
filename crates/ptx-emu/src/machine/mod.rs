//! The state of a running kernel: registers, the memory of a warp, a CTA and the device, and what is
//! on its way between them. [`access::Access`] is what an instruction sees of it.

pub(crate) mod access;
pub(crate) mod bulk_landing;
pub(crate) mod bulk_queue;
pub(crate) mod bytes;
pub(crate) mod copy_queue;
pub(crate) mod cta_memory;
pub(crate) mod device;
pub(crate) mod end;
pub(crate) mod late;
pub(crate) mod matrix_descriptor;
pub(crate) mod mbarrier;
pub(crate) mod products;
pub(crate) mod reduce;
pub(crate) mod registers;
pub(crate) mod warp_memory;
pub(crate) mod warpgroups;
