//! Memory pools: what is in use, and what is kept for later.

use crate::types::{CUdevice, CUmemoryPool};

/// A pool takes memory from the device in steps of this many bytes.
const STEP: u64 = 2 << 20;

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) device: CUdevice,
    /// Whether to reuse memory across streams: kept, without effect.
    pub(crate) reuse: [u32; 3],
    pub(crate) threshold: u64,
    pub(crate) used: u64,
    pub(crate) used_high: u64,
    pub(crate) reserved: u64,
    pub(crate) reserved_high: u64,
}

/// Memory that came from a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) pool: CUmemoryPool,
    pub(crate) bytes: u64,
}

impl Pool {
    pub(crate) fn new(device: CUdevice) -> Pool {
        let (used, used_high, reserved, reserved_high) = (0, 0, 0, 0);
        Pool { device, reuse: [1; 3], threshold: 0, used, used_high, reserved, reserved_high }
    }

    pub(crate) fn take(&mut self, bytes: u64) {
        self.used += bytes;
        self.used_high = self.used_high.max(self.used);
        self.reserved = self.reserved.max(self.used.next_multiple_of(STEP));
        self.reserved_high = self.reserved_high.max(self.reserved);
    }

    /// Counts memory that was given back.
    pub(crate) fn give(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
        self.trim(self.threshold);
    }

    /// Keeps no more than `keep` bytes, and what is in use.
    pub(crate) fn trim(&mut self, keep: u64) {
        let least = self.used.next_multiple_of(STEP);
        self.reserved = self.reserved.min(keep.max(least));
    }
}
